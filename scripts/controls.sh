#!/usr/bin/env bash
# What J learns from each kind of negatives: the method and its controls on four folds of MNIST.
# About 2 CPU minutes a run, 20 runs. Usage: scripts/controls.sh [OUT]
set -euo pipefail
out="${1:-out/controls}"
for negatives in boundary random noise patch-shuffle early-generator; do
    omasgan run mnist-loo omasgan --folds 0,1,4,7 --seeds 0 --set "negatives=$negatives" --out "$out"
done
omasgan run mnist-loo knn --folds 0,1,4,7 --seeds 0 --out "$out"
omasgan report "$out"
