#!/usr/bin/env bash
# What labelled anomalies are worth: 0 to 50 training samples of the digit left out, on the four
# hardest folds of digits. About 10 CPU minutes. Usage: scripts/labels.sh [OUT]
set -euo pipefail
out="${1:-out/labels}"
for labelled in 0 1 5 10 50; do
    for detector in deep-sad omasgan random-forest; do
        omasgan run digits-few-labels "$detector" --labelled "$labelled" \
            --folds 1,3,8,9 --seeds 0 --out "$out"
    done
done
omasgan report "$out"
