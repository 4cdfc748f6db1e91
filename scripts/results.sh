#!/usr/bin/env bash
# The comparisons in benchmarks/results: every detector at its defaults. MNIST needs its files in
# OMASGAN_DATA, and a GPU: there it takes some minutes, on two CPU cores a day and more.
# Usage: scripts/results.sh [OUT]; SHARE=0.1 scripts/results.sh for trainings on a tenth of a GPU
set -euo pipefail
out="${1:-out/results}"
on_gpu=(${SHARE:+--gpus-per-trial "$SHARE"})

omasgan compare digits-loo --seeds 0 --out "$out/digits-loo"
omasgan compare digits-occ --seeds 0,1,2 --out "$out/digits-occ"
omasgan compare mnist-loo --detectors ocsvm --seeds 0 --out "$out/mnist-loo"
omasgan compare mnist-loo --seeds 0 "${on_gpu[@]}" --out "$out/mnist-loo"
omasgan compare fashion-mnist-loo --detectors omasgan,rapp,vae --seeds 0 "${on_gpu[@]}" \
    --out "$out/fashion-mnist-loo"

for name in digits-loo digits-occ mnist-loo fashion-mnist-loo; do
    omasgan report "$out/$name" --figures png
    mkdir -p "benchmarks/results/$name"
    cp "$out/$name/report/summary.md" "$out/$name/report/runs.csv" "benchmarks/results/$name/"
    cp "$out/$name"/report/figures/*-boxes.png "$out/$name"/report/figures/*average-ranks*.png \
        "benchmarks/results/$name/"
done
