#!/usr/bin/env bash
# The comparisons in benchmarks/results: every detector at its defaults, a small budget for two
# CPU cores. MNIST needs its files in OMASGAN_DATA. Usage: scripts/results.sh [OUT]
set -euo pipefail
out="${1:-out/results}"

omasgan compare digits-loo --seeds 0,1,2 --out "$out/digits-loo"
omasgan compare digits-occ --seeds 0,1,2 --out "$out/digits-occ"
# The yardsticks on all folds, the networks on two of them, all with one seed.
omasgan compare mnist-loo --detectors ocsvm --seeds 0 --out "$out/mnist-loo"
omasgan compare mnist-loo --folds 0,1 --seeds 0 --out "$out/mnist-loo"

for name in digits-loo digits-occ mnist-loo; do
    omasgan report "$out/$name"
    mkdir -p "benchmarks/results/$name"
    cp "$out/$name/report/summary.md" "$out/$name/report/runs.csv" "benchmarks/results/$name/"
    cp "$out/$name"/report/figures/*-boxes.png "$out/$name"/report/figures/*average-ranks*.png \
        "benchmarks/results/$name/"
done
