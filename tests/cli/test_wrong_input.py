"""Every mistake on a command line ends in one line and exit 2, before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omasgan.data import image_files
from tests.cli.calls import CURVE, SPACE, omasgan
from tests.experiments.sensitivity.staged import NAME as STAGED

BAD_TOML = "bad.toml"
GOOD_TOML = "good.toml"

Case = tuple[list[str], str]
"""The arguments, and a part of the line that says what is wrong."""


def run_of(*arguments: str) -> list[str]:
    return ["run", "digits-loo", CURVE, *arguments]


def sweep_of(**flags: str) -> list[str]:
    """A sweep that is right but for these flags."""
    options = {"trials": "1", "space": GOOD_TOML} | flags
    pairs = ((f"--{name.replace('_', '-')}", value) for name, value in options.items())
    return ["sweep", "digits-loo", CURVE, *(word for pair in pairs for word in pair)]


def compare_of(*arguments: str) -> list[str]:
    return ["compare", "digits-loo", *arguments]


def sensitivity_of(*arguments: str, detector: str = "omasgan") -> list[str]:
    return ["sensitivity", "digits-loo", detector, *arguments]


PLAN_VAE = ["plan", "digits-loo", "vae", "--set", "train_steps=1"]
NO_DATA = ["--data-root", "empty"]

ARGUMENTS: dict[str, Case] = {
    "unknown verb": (["runn"], "runn"),
    "unknown flag": (run_of("--nonsense"), "No such option: --nonsense"),
    "missing argument": (["run", "digits-loo"], "DETECTOR"),
    "flag without its value": (run_of("--out"), "--out"),
    "no trials": (sweep_of(trials="0"), "--trials"),
    "how many trials": (["sweep", "digits-loo", CURVE], "--trials"),
    "cap of none": (run_of("--max-train", "0"), "--max-train"),
    "empty detector": (["run", "digits-loo", ""], "an argument is empty"),
    "empty --out": (run_of("--out", ""), "--out is empty"),
    "empty --out=": (run_of("--out="), "--out is empty"),
    "empty --folds": (run_of("--folds", ""), "--folds is empty"),
    "empty --seeds": (run_of("--seeds", ""), "--seeds is empty"),
    "empty --detectors": (compare_of("--detectors", ""), "--detectors is empty"),
    "empty --params": (run_of("--params", ""), "--params is empty"),
    "empty --sampler": (sweep_of(sampler=""), "--sampler is empty"),
    "report of an empty name": (["report", ""], "an argument is empty"),
}

NAMES: dict[str, Case] = {
    "unknown benchmark": (["run", "digit-loo", CURVE], "did you mean 'digits-loo'"),
    "unknown detector": (["run", "digits-loo", "omasgn"], "did you mean 'omasgan'"),
    "no such class": (["run", "digits-loo", "tests.toy:Nothing"], "tests.toy:Nothing"),
    "no such module": (["run", "digits-loo", "tests.nothing:Toy"], "tests.nothing:Toy"),
    "no class but a function": (["run", "digits-loo", "os:system"], "os:system"),
    "a class that is no detector": (["run", "digits-loo", "pathlib:Path"], "pathlib:Path"),
    "a file and no class": (["run", "digits-loo", "./nothing.py:Toy"], "there is no file"),
    "a module without a class": (["run", "digits-loo", "tests.toy:"], "tests.toy:"),
    "unknown param": (run_of("--set", "lrr=1"), "did you mean 'lr'"),
    "value out of range": (run_of("--set", "lr=-1"), "greater than 0"),
    "infinite value": (["run", "digits-loo", "omasgan", "--set", "mu=inf"], "mu"),
    "value that is no number": (["run", "digits-loo", "omasgan", "--set", "mu=nan"], "mu"),
    "no value": (run_of("--set", "lr"), "--set needs name=value, got 'lr'"),
    "no name": (run_of("--set", "=1"), "--set needs name=value, got '=1'"),
    "set twice": (run_of("--set", "lr=1", "--set", "lr=2"), "twice"),
    "bad toml": (run_of("--params", BAD_TOML), "line 1"),
    "params in a folder": (run_of("--params", "."), "Is a directory"),
    "benchmark in a folder": (["run", "./", CURVE], "has no folder for a class"),
}

FOLDS_AND_SEEDS: dict[str, Case] = {
    "no such fold": (run_of("--folds", "77"), "no fold 77"),
    "folds in words": (run_of("--folds", "a"), "--folds must be whole numbers"),
    "folds with a gap": (run_of("--folds", "0,,1"), "--folds must be whole numbers"),
    "a comma alone": (run_of("--folds", ","), "--folds must be whole numbers"),
    "negative seed": (run_of("--seeds", "-1"), "--seeds must be whole"),
    "trial seed": (run_of("--seeds", "1000000"), "must be below 1000000"),
    "cap below the classes": (run_of("--max-train", "3"), "cap must be at least"),
    "enormous seed of a sweep": (sweep_of(seed=str(2**70)), "--seed"),
}

OUTPUT: dict[str, Case] = {
    "out is a file": (run_of("--out", BAD_TOML), "is a file"),
    "out is in a file": (run_of("--out", f"{BAD_TOML}/x"), "is a file"),
    "out cannot be created": (run_of("--out", "/proc/omasgan"), "/proc"),
    "out of a sweep cannot be created": (sweep_of(out="/proc/omasgan"), "/proc"),
    "out of a comparison cannot be created": (compare_of("--out", "/proc/omasgan"), "/proc"),
    "out of a study cannot be created": (
        sensitivity_of("--params", "mu", "--out", "/proc/omasgan"),
        "/proc",
    ),
    "out of the paper cannot be created": (
        ["paper", "table-1", "--backend", "local", "--out", "/proc/omasgan"],
        "/proc",
    ),
    "out has too long a name": (run_of("--out", "x" * 300), "File name too long"),
    "out is a web page": (run_of("--out", "https://b/x"), "unknown object store 'https'"),
    "out with credentials": (run_of("--out", "s3://ann:pw@b/x"), "holds credentials"),
    "bad tracking uri": (run_of("--tracking-uri", "ftp://x"), "ftp"),
    "scores go to a folder": (["score", ".", BAD_TOML, "--out", "."], "no saved detector"),
}

DATA: dict[str, Case] = {
    "no data": (["run", "mnist-loo", CURVE, *NO_DATA], "'mnist' is missing"),
    "no data for a sweep": (
        ["sweep", "mnist-loo", "knn", "--trials", "1", *NO_DATA],
        "'mnist' is missing",
    ),
    "no data for a comparison": (["compare", "mnist-loo", *NO_DATA], "'mnist' is missing"),
    "no data for a plan": (["plan", "mnist-loo", "knn", *NO_DATA], "'mnist' is missing"),
    "no data for an audit": (["audit", "knn", "mnist-loo", *NO_DATA], "'mnist' is missing"),
    "no data for a study": (
        ["sensitivity", "mnist-loo", "omasgan", "--params", "mu", *NO_DATA],
        "'mnist' is missing",
    ),
    "no data root": (["run", "mnist-loo", CURVE, "--data-root", BAD_TOML], "'mnist' is missing"),
    "download into nothing": (
        ["run", "mnist-loo", CURVE, "--data-root", "/proc/x", "--download"],
        "cannot be downloaded",
    ),
}

DEVICES: dict[str, Case] = {
    "no such device": (run_of("--device", "x"), "device 'x' cannot be"),
    "no such device of a sweep": (sweep_of(device="x"), "device 'x' cannot be"),
    "no such device of an audit": (["audit", "knn", "digits-loo", "--device", "x"], "device 'x'"),
    "address without ray": (
        sweep_of(backend="local", address="1.2.3.4:5"),
        "--address needs --backend ray",
    ),
    "gpus without ray": (
        sweep_of(backend="local", gpus_per_trial="0.5"),
        "--gpus-per-trial needs --backend ray",
    ),
    "trials at once without ray": (sweep_of(backend="local", at_once="2"), "--at-once needs"),
    "stalls without ray": (sweep_of(backend="local", stall_timeout="5"), "--stall-timeout needs"),
    "no winner": (sweep_of(winner="top-1"), "--winner must be best or top-K"),
    "more winners than trials": (sweep_of(winner="top-2"), "at least as many --trials, got 1"),
    "trials of a suite without a pool": (
        ["paper", "figure-4", "--trials", "3"],
        "--trials is for suites with a pool of configurations",
    ),
    "no share": (sweep_of(gpus_per_trial="half"), "must be a number or auto, got 'half'"),
    "negative share": (sweep_of(gpus_per_trial="-1"), "gpus per trial"),
    "share that is no number": (sweep_of(gpus_per_trial="nan"), "gpus per trial"),
    "infinite share": (sweep_of(gpus_per_trial="inf"), "gpus per trial"),
    "share of two and a half": (sweep_of(gpus_per_trial="2.5"), "gpus per trial"),
    "negative CPUs": (sweep_of(cpus_per_trial="-1"), "cpus per trial"),
    "CPUs that are no number": (sweep_of(cpus_per_trial="nan"), "cpus per trial"),
    "a stall of no number": (sweep_of(stall_timeout="nan"), "--stall-timeout"),
    "checkpoints of no number": (sweep_of(checkpoint_seconds="nan"), "--checkpoint-seconds"),
    "budget without a unit": (sweep_of(checkpoint_budget="2"), "B, kB, MB, GB, TB), got '2'"),
    "budget of nonsense": (sweep_of(checkpoint_budget="two GB"), "got 'two GB'"),
    "address of nonsense": (sweep_of(address="nowhere"), "'nowhere'"),
    "address where nobody answers": (sweep_of(address="127.0.0.2:1"), "'127.0.0.2:1'"),
}

SEARCHING: dict[str, Case] = {
    "unknown rule": (sweep_of(selection="nestd"), "did you mean 'nested'"),
    "fixed is no search": (sweep_of(selection="fixed"), "unknown selection rule 'fixed'"),
    "transfer from nowhere": (sweep_of(selection="transfer"), "without --transfer-from"),
    "from without transfer": (sweep_of(transfer_from="mnist-loo"), "with --transfer-from"),
    "transfer from an unknown benchmark": (
        sweep_of(selection="transfer", transfer_from="mnist-lo"),
        "did you mean 'mnist-loo'",
    ),
    "inner of one task": (sweep_of(selection="proxy", inner="2"), "--inner means nothing"),
    "sampler of a replay": (sweep_of(sampler="X", replay=BAD_TOML), "exclude each other"),
    "replay of nothing": (sweep_of(replay="nothing"), "'nothing' holds no trials"),
    "replay of no record": (sweep_of(replay=BAD_TOML), f"'{BAD_TOML}' holds no trials"),
    "replay of an empty folder": (sweep_of(replay="."), "'.' holds no trials"),
    "unknown sampler": (sweep_of(sampler="TPESamplr"), "did you mean 'TPESampler'"),
    "sampler's unknown argument": (sweep_of(sampler="TPESampler(x=1)"), "x"),
    "sampler's argument of a wrong type": (
        sweep_of(sampler="TPESampler(n_startup_trials='x')"),
        "TPESampler",
    ),
    "sampler that is no call": (sweep_of(sampler="TPESampler("), "TPESampler("),
    "unknown pruner": (sweep_of(pruner="MedianPrunr"), "did you mean 'MedianPruner'"),
    "pruner without its argument": (sweep_of(pruner="PercentilePruner"), "PercentilePruner"),
    "pruner's argument of a wrong type": (
        sweep_of(pruner="MedianPruner(n_startup_trials='x')"),
        "MedianPruner",
    ),
    "unknown params to enqueue": (sweep_of(enqueue="default"), "defaults"),
    "storage that is no URL": (sweep_of(storage="nowhere"), "nowhere"),
    "storage that cannot be created": (sweep_of(storage="sqlite:////proc/x/optuna.db"), "/proc/x"),
    "bad space": (["sweep", "digits-loo", CURVE, "--trials", "1", "--space", BAD_TOML], "line 1"),
    "no space": (["sweep", "digits-loo", CURVE, "--trials", "1"], "give one with --space"),
}

LABELS: dict[str, Case] = {
    "labels for who takes none": (
        ["run", "digits-few-labels", "knn"],
        "'knn' takes no labelled anomalies, and 'digits-few-labels' has labelled = 10",
    ),
    "labels for one of several": (
        ["compare", "digits-few-labels", "--detectors", "deep-sad,vae"],
        "use deep-sad, omasgan or random-forest, or --labelled 0",
    ),
    "labels in a study of params": (
        ["sensitivity", "digits-few-labels", "vae"],
        "'vae' takes no labelled anomalies",
    ),
    "labels where the protocol has none": (run_of("--labelled", "3"), "'semi-supervised'"),
    "fewer labels than none": (
        ["run", "digits-few-labels", "deep-sad", "--labelled", "-1"],
        "--labelled",
    ),
    "more labels than samples": (
        ["run", "digits-few-labels", "deep-sad", "--labelled", "5000"],
        "labelled must be at most",
    ),
    "a search with labels": (
        ["sweep", "digits-few-labels", "deep-sad", "--trials", "1"],
        "a sweep trains without labelled anomalies",
    ),
}

COMPARING: dict[str, Case] = {
    "unknown detector": (compare_of("--detectors", "vea"), "did you mean 'vae'"),
    "a detector of no name": (compare_of("--detectors", "knn,,vae"), "--detectors must be names"),
    "a comma at the end": (compare_of("--detectors", "knn,"), "--detectors must be names"),
    "rule without a search": (compare_of("--selection", "nested"), "give --tune N as well"),
    "hours without a search": (compare_of("--hours", "2"), "give --tune N as well"),
    "no hours": (
        compare_of("--detectors", "knn", "--tune", "2", "--hours", "0"),
        "hours must be above 0",
    ),
    "stages without a search": (compare_of("--share-stages", "4"), "give --tune N as well"),
    "stages of none": (
        compare_of("--detectors", "vae", "--tune", "2", "--share-stages", "4"),
        "trials of knn, lof, pca, gmm, isolation-forest, vae cannot share stages",
    ),
    "unknown rule": (compare_of("--tune", "2", "--selection", "nestd"), "did you mean 'nested'"),
    "rules with a gap": (
        compare_of("--tune", "2", "--selection", "nested,,proxy"),
        "--selection must be names",
    ),
    "transfer": (compare_of("--tune", "2", "--selection", "transfer"), "use omasgan sweep"),
    "no published params": (
        compare_of("--params", "published"),
        "unknown benchmark with published params 'digits-loo'",
    ),
    "no params": (compare_of("--params", "nowhere"), "has no <detector>.toml"),
    "params in a file": (compare_of("--params", BAD_TOML), "has no <detector>.toml"),
    "no space": (compare_of("--detectors", CURVE, "--tune", "1"), CURVE),
}

PLANNING: dict[str, Case] = {
    "unknown detector": (["plan", "digits-loo", "knn,vea"], "did you mean 'vae'"),
    "a detector of no name": (["plan", "digits-loo", "knn,"], "DETECTORS must be names"),
    "two clusters": (
        ["plan", "digits-loo", "knn", "--address", "auto", "--gpus", "2"],
        "leave out --cpus and --gpus",
    ),
    "a local cluster": (
        ["plan", "digits-loo", "knn", "--backend", "local", "--gpus", "2"],
        "one trial at a time",
    ),
    "a rule without a search": (
        ["plan", "digits-loo", "knn", "--selection", "proxy"],
        "add --trials",
    ),
    "a search with params": (
        ["plan", "digits-loo", "knn", "--trials", "2", "--set", "k=2"],
        "are for runs",
    ),
    "small GPUs": (
        [*PLAN_VAE, "--gpus", "1", "--gpu-memory", "0.2GB", "--gpus-per-trial", "auto"],
        "a GPU has 191 MB",
    ),
    "no GPUs": ([*PLAN_VAE, "--gpus-per-trial", "auto"], "fits on no node"),
    "too few CPUs": ([*PLAN_VAE, "--cpus", "2", "--cpus-per-trial", "4"], "fits on no node"),
    "memory without a unit": ([*PLAN_VAE, "--gpu-memory", "80"], "--gpu-memory"),
}

OTHER_VERBS: dict[str, Case] = {
    "audit of no fold": (["audit", "knn", "digits-loo", "--fold", "77"], "no fold 77"),
    "audit of nothing": (["audit", "kn", "digits-loo"], "did you mean 'knn'"),
    "audit with an enormous seed": (
        ["audit", "vae", "digits-loo", "--seed", str(2**70)],
        "--seed",
    ),
    "score with nothing": (["score", "missing", "x.png"], "no folder 'missing'"),
    "score with an empty folder": (["score", ".", "x.png"], "no saved detector in '.'"),
    "score of nothing": (["score", "."], "SAMPLES"),
    "report of nothing": (["report", "missing"], "no folder 'missing'"),
    "report of a file": (["report", BAD_TOML], BAD_TOML),
    "sync nowhere": (["report", ".", "--sync-mlflow", "--tracking-uri", "none"], "contradict"),
    "a page alone with files": (["report", ".", "--html", "--figures", "pdf"], "contradict"),
    "an unknown kind of figure": (["report", ".", "--figures", "pdf,gif"], "(valid: pdf, png)"),
    "a suite in no kind of figure": (["paper", "table-1", "--figures", "jpg"], "unknown kind"),
    "ui of nothing": (["ui", "missing"], "no folder 'missing'"),
    "ui of an empty folder": (["ui", "."], "holds no results"),
    "sensitivity of nothing": (["sensitivity"], "give BENCHMARK and DETECTOR"),
    "sensitivity to an unknown param": (sensitivity_of("--params", "mue"), "did you mean 'mu'"),
    "sensitivity to no param": (sensitivity_of("--params", "mu,"), "--params must be names"),
    "sensitivity of an unknown detector": (
        sensitivity_of("--params", "mu", detector="omasgn"),
        "did you mean 'omasgan'",
    ),
    "sensitivity without a range": (sensitivity_of("--params", "residual"), "no range"),
    "unknown design": (sensitivity_of("--params", "mu", "--design", "girl"), "mean 'grid'"),
    "too small a budget": (sensitivity_of("--params", "mu", "--budget", "3"), "--budget 3"),
    "sensitivity on no fold": (sensitivity_of("--params", "mu", "--folds", "77"), "no fold 77"),
    "sensitivity without a space": (sensitivity_of(detector=STAGED), "--params must say"),
    "sensitivity from sweeps with params": (
        ["sensitivity", "--from", ".", "--params", "mu"],
        "--from trains nothing",
    ),
    "sensitivity in an unknown kind of figure": (
        sensitivity_of("--params", "mu", "--figures", "pfd"),
        "did you mean 'pdf'",
    ),
    "sensitivity from no sweeps": (["sensitivity", "--from", "."], "holds no trials"),
    "sensitivity from nowhere": (["sensitivity", "--from", "missing"], "no folder 'missing'"),
    "unknown suite": (["paper", "figre-4"], "did you mean 'figure-4'"),
    "unknown budget": (["paper", "figure-4", "--budget", "smal"], "did you mean 'small'"),
    "a suite and all": (["paper", "figure-4", "--all"], "not both"),
    "suites at once without ray": (
        ["paper", "table-1", "--backend", "local", "--at-once", "2"],
        "needs --backend ray",
    ),
    "a suite without data": (
        ["paper", "table-3", "--backend", "local", *NO_DATA],
        "data set 'cifar10' is missing",
    ),
}

TABLES = {
    "arguments": ARGUMENTS,
    "names": NAMES,
    "folds and seeds": FOLDS_AND_SEEDS,
    "output": OUTPUT,
    "data": DATA,
    "devices": DEVICES,
    "searching": SEARCHING,
    "labels": LABELS,
    "comparing": COMPARING,
    "planning": PLANNING,
    "other verbs": OTHER_VERBS,
}

CASES = {f"{table}: {name}": case for table, t in TABLES.items() for name, case in t.items()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a good and a bad TOML."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMASGAN_DATA", raising=False)
    monkeypatch.delenv("OMASGAN_STORAGE", raising=False)
    (tmp_path / BAD_TOML).write_text("lr = = 1\n")
    (tmp_path / GOOD_TOML).write_text(SPACE)
    return tmp_path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What stderr says, which must be one line and all there is."""
    assert omasgan(*arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("omasgan: ") and output.err.count("\n") == 1
    return output.err


@pytest.mark.parametrize(("arguments", "message"), CASES.values(), ids=CASES.keys())
def test_it_is_refused_in_one_line_and_nothing_is_written(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(arguments, capsys)
    assert {path.name for path in folder.iterdir()} == {BAD_TOML, GOOD_TOML}


@pytest.mark.parametrize(
    "arguments",
    [
        [
            *("sweep", "mnist-loo", "knn", "--trials", "1", "--backend", "local"),
            *("--selection", "transfer", "--transfer-from", "fashion-mnist-loo"),
        ],
        ["compare", "mnist-vs-fashion-mnist", "--backend", "local"],
        ["run", "mnist-vs-fashion-mnist", "knn"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_missing_data_are_told_before_other_data_are_read(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in image_files.SOURCES["mnist"].files:
        (folder / "data" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / file).write_text("damaged, as whoever reads it would say")
    error = refused([*arguments, "--data-root", "data"], capsys)
    assert "data set 'fashion-mnist' is missing" in error
    assert not (folder / "out").exists()


def test_a_refused_sampler_leaves_no_study_that_refuses_the_corrected_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"max_train": "100", "max_test": "60", "folds": "0", "selection": "proxy"}
    small |= {"backend": "local", "tracking_uri": "none"}
    wrong = sweep_of(**small, sampler="TPESampler(n_startup_trials='x')")
    assert "TPESampler" in refused(wrong, capsys)
    assert omasgan(*sweep_of(**small, sampler="TPESampler(n_startup_trials=1)")) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = folder / "locked"
    locked.mkdir(mode=0o500)
    assert "is not writable" in refused(run_of("--out", "locked/out"), capsys)
    assert not list(locked.iterdir())
