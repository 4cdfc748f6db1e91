"""The words of a study's page: what its numbers mean, and that they select nothing."""

from __future__ import annotations

WARNING = (
    "No result, sensitivity only: these trainings were tested on the benchmark's own anomalies. "
    "The curves describe and select nothing; params picked from them are selected on the test set."
)
EFFECT = (
    "effect: mean AUROC at the best value less that at the worst. interval: 95 %, over folds and "
    "the seeds within each; best and worst value are selected anew in each resample, which makes "
    "it slightly too wide. chance: the effect stays below it in 95 of 100 cases if the values "
    "make no difference (values permuted within each fold and seed). p Holm: the share of such "
    "cases that reach the effect, corrected for the params of this table. Only a significant "
    "effect has a best and a worst value."
)
DIFFERENCE = (
    "difference: to the base, on the same folds with the same seeds; interval: 95 %, over folds "
    "and the seeds within each."
)
COST = (
    "seconds: of all trainings and tests together; spared: training seconds that the stage cache "
    "saved, which would have been spent besides."
)
