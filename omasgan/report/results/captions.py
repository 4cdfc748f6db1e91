"""The words of a report: what its tables and figures show, and how far they can be trusted."""

from __future__ import annotations

from omasgan.report.statistics import LEVEL, MIN_FOLDS

FOLDS = {
    "leave-one-out": "fold k: class k is the anomaly, all other classes are normal",
    "one-vs-rest": "fold k: class k is normal, all other classes are anomalies",
    "semi-supervised": "fold k: class k is the anomaly, all other classes are normal; detectors "
    "have been shown {labelled} of its training samples as anomalies",
    "out-of-dataset": "one fold: {dataset} is normal, the test split of {anomalies} anomalous",
}
"""What a fold is, by protocol."""
MEANS = (
    "Means are taken over a fold's seeds, then over folds. sd: sample standard deviation over "
    "folds; worst: the lowest AUROC of a fold."
)
BY_FOLD = (
    "The answer in numbers: AUROC, mean over the seeds of the fold; the best of each fold is bold."
)
INTERVAL = (
    "interval: 95 % bootstrap interval of the mean AUROC. It covers other seeds on the same folds "
    "and test samples, not other folds, data or params. It has no width for a detector without "
    "randomness, and is - where a fold has only one seed."
)
COUNTS = (
    "folds, seeds and runs: how many of the benchmark's are in this folder; failed: runs that "
    "ended without a score; seconds: mean time of a run."
)
FPR95 = "fpr95: false positive rate at 95 % true positive rate, lower is better."
ORACLE = "The rule oracle looks at the test anomalies: it measures optimism and is no result."
DIFFERENT_FOLDS = (
    "Not all entries have the same folds: compare them fold by fold, not by their means."
)
DIFFERENT_DEVICES = (
    "Not all runs used the same kind of device (column device): the same seed gives slightly "
    "different numbers on another one, and seconds and memory cannot be compared."
)
RANKS = (
    "average rank: 1 is the best AUROC of a fold, ties are averaged. against: the entry that this "
    "one is compared with, omasgan under the same rule or else the best mean. difference: between "
    "the two mean AUROCs. P(better): how often this entry has the higher AUROC if each has one "
    "seed on the same fold, ties count half; interval: 95 %, over other seeds on the same folds."
)
TESTS = (
    "p Holm: two-sided signed-rank test of the folds' means, corrected for the {n} tests of this "
    "table, so that it cannot be below {least:.3f}. Folds share training samples, which makes p "
    "slightly too small."
)
NO_TESTS = f"No p: with fewer than {MIN_FOLDS} folds no test can reach {LEVEL}."
NOT_SIGNIFICANT = "a bar joins entries without a significant difference"
OPTIMISM = (
    "default: rule fixed, at the detector's defaults if it was run with several params. selected: "
    "by the named rule, without test anomalies. oracle: selected on the test anomalies. gap: "
    "oracle - selected, what a look at the test set is worth. All are means over the folds that "
    "the entries of the row have in common."
)
GEOMETRY = (
    "nearer: share of a fold's anomalies that are nearer to the normal training samples than the "
    "median normal test sample, by 1-NN on the raw values. knn and gmm: AUROC. A fold is "
    "ill-posed, since distance points the wrong way, where nearer is above 0.5 or knn below 0.5."
)
PUBLISHED = (
    "Numbers for the same data, protocol and metric only, with a note on how far each can be "
    "trusted; sd: over folds. Ours are means over the folds in this folder."
)
FAILURES = (
    "Runs and trials without a number, by outcome and cause; first: where the cause occurred "
    "first. Errors that differ only in numbers count as one cause."
)
SETTINGS = (
    "not at their defaults: the params that differ from the detector's defaults; seeds: of the "
    "trainings; code: package version and commit; hours: all runs together; "
    "command: see the list below."
)
OBJECTIVE = (
    "The objective is the mean AUROC over the selection rule's own tasks, not a test result."
)
WINNER = "A winner's params lie in its study's folder, as winner.toml for --params of omasgan run."
WINNERS = "Params of each study's best trial; those that all of them have by default are left out."
LENGTHENED = (
    "A study that was lengthened after its winner met the test set is no longer blind to it: "
    "whoever knew the test result decided to go on searching, so the test scores of its new "
    "winner are optimistic."
)
