from __future__ import annotations

import socket
from pathlib import Path

import pytest

from omasgan import __version__, cli
from omasgan.store.lock import driver_lock
from omasgan.store.results import Store
from tests.cli.calls import CURVE, SCRIPTED, SPACE, in_a_process, omasgan, run


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("list") == 0
    text = capsys.readouterr().out
    for name in ("digits-loo", "mnist-vs-kmnist", "omasgan", "fashion-mnist", "nested-shared"):
        assert name in text


@pytest.mark.parametrize(
    "verb", [[], *([verb] for verb in cli.VERBS)], ids=lambda verb: " ".join(verb) or "omasgan"
)
def test_help_exits_with_0(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan(*verb, "--help") == 0
    assert "Usage: omasgan" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("--version") == 0
    assert capsys.readouterr().out == f"omasgan {__version__}\n"


BAD_TOML = "bad.toml"
GOOD_TOML = "good.toml"


def sweep_of(**flags: str) -> list[str]:
    """A sweep that is right but for the given flags."""
    options = {"trials": "1", "space": GOOD_TOML} | flags
    pairs = ((f"--{name.replace('_', '-')}", value) for name, value in options.items())
    return ["sweep", "digits-loo", CURVE, *(word for pair in pairs for word in pair)]


PLAN_VAE = ["plan", "digits-loo", "vae", "--set", "train_steps=1"]


REFUSED = {
    "unknown benchmark": (["run", "digit-loo", CURVE], "did you mean 'digits-loo'"),
    "unknown detector": (["run", "digits-loo", "omasgn"], "did you mean 'omasgan'"),
    "no such class": (["run", "digits-loo", "tests.toy:Nothing"], "cannot be imported"),
    "unknown param": (["run", "digits-loo", CURVE, "--set", "lrr=1"], "did you mean 'lr'"),
    "value out of range": (["run", "digits-loo", CURVE, "--set", "lr=-1"], "greater than 0"),
    "no value": (["run", "digits-loo", CURVE, "--set", "lr"], "--set needs name=value"),
    "set twice": (["run", "digits-loo", CURVE, "--set", "lr=1", "--set", "lr=2"], "twice"),
    "bad toml": (["run", "digits-loo", CURVE, "--params", BAD_TOML], "line 1"),
    "no such fold": (["run", "digits-loo", CURVE, "--folds", "77"], "no fold 77"),
    "folds in words": (["run", "digits-loo", CURVE, "--folds", "a"], "--folds must be whole"),
    "negative seed": (["run", "digits-loo", CURVE, "--seeds", "-1"], "--seeds must be whole"),
    "trial seed": (["run", "digits-loo", CURVE, "--seeds", "1000000"], "must be below 1000000"),
    "no such device": (["run", "digits-loo", CURVE, "--device", "x"], "device 'x' cannot be"),
    "out is a file": (["run", "digits-loo", CURVE, "--out", BAD_TOML], "is a file"),
    "out is a web page": (
        ["run", "digits-loo", CURVE, "--out", "https://b/x"],
        "unknown object store 'https'",
    ),
    "no data": (["run", "mnist-loo", CURVE, "--data-root", "empty"], "--download"),
    "cap of none": (["run", "digits-loo", CURVE, "--max-train", "0"], "--max-train"),
    "bad tracking uri": (["run", "digits-loo", CURVE, "--tracking-uri", "ftp://x"], "ftp"),
    "audit of no fold": (["audit", "knn", "digits-loo", "--fold", "77"], "no fold 77"),
    "audit of nothing": (["audit", "kn", "digits-loo"], "did you mean 'knn'"),
    "score with nothing": (["score", "missing", "x.png"], "no folder 'missing'"),
    "score with an empty folder": (["score", ".", "x.png"], "no saved detector in '.'"),
    "score of nothing": (["score", "."], "IMAGES"),
    "unknown flag": (["run", "digits-loo", CURVE, "--nonsense"], "No such option: --nonsense"),
    "unknown rule": (sweep_of(selection="nestd"), "did you mean 'nested'"),
    "fixed is no search": (sweep_of(selection="fixed"), "unknown selection rule 'fixed'"),
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
    "no share": (sweep_of(gpus_per_trial="half"), "must be a number or auto, got 'half'"),
    "budget without a unit": (sweep_of(checkpoint_budget="2"), "B, kB, MB, GB, TB), got '2'"),
    "budget of nonsense": (sweep_of(checkpoint_budget="two GB"), "got 'two GB'"),
    "transfer from nowhere": (sweep_of(selection="transfer"), "without --transfer-from"),
    "from without transfer": (sweep_of(transfer_from="mnist-loo"), "with --transfer-from"),
    "inner of one task": (sweep_of(selection="proxy", inner="2"), "--inner means nothing"),
    "sampler of a replay": (sweep_of(sampler="X", replay=BAD_TOML), "exclude each other"),
    "unknown sampler": (sweep_of(sampler="TPESamplr"), "did you mean 'TPESampler'"),
    "unknown pruner": (sweep_of(pruner="MedianPrunr"), "did you mean 'MedianPruner'"),
    "bad space": (["sweep", "digits-loo", CURVE, "--trials", "1", "--space", BAD_TOML], "line 1"),
    "no space": (["sweep", "digits-loo", CURVE, "--trials", "1"], "give one with --space"),
    "no trials": (sweep_of(trials="0"), "--trials"),
    "how many trials": (["sweep", "digits-loo", CURVE], "--trials"),
    "missing argument": (["run", "digits-loo"], "DETECTOR"),
    "unknown verb": (["runn"], "runn"),
    "plan of nothing": (["plan", "digits-loo", "knn,vea"], "did you mean 'vae'"),
    "plan of two clusters": (
        ["plan", "digits-loo", "knn", "--address", "auto", "--gpus", "2"],
        "leave out --cpus and --gpus",
    ),
    "plan of a local cluster": (
        ["plan", "digits-loo", "knn", "--backend", "local", "--gpus", "2"],
        "one trial at a time",
    ),
    "plan of a rule without a search": (
        ["plan", "digits-loo", "knn", "--selection", "proxy"],
        "add --trials",
    ),
    "plan of a search with params": (
        ["plan", "digits-loo", "knn", "--trials", "2", "--set", "k=2"],
        "are for runs",
    ),
    "plan for small GPUs": (
        [*PLAN_VAE, "--gpus", "1", "--gpu-memory", "0.2GB", "--gpus-per-trial", "auto"],
        "a GPU has 191 MB",
    ),
    "plan for no GPUs": ([*PLAN_VAE, "--gpus-per-trial", "auto"], "fits on no node"),
    "plan for too few CPUs": (
        [*PLAN_VAE, "--cpus", "2", "--cpus-per-trial", "4"],
        "fits on no node",
    ),
    "report of nothing": (["report", "missing"], "no folder 'missing'"),
    "sync nowhere": (["report", ".", "--sync-mlflow", "--tracking-uri", "none"], "contradict"),
    "ui of nothing": (["ui", "missing"], "no folder 'missing'"),
    "ui of an empty folder": (["ui", "."], "holds no results"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_refused_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / BAD_TOML).write_text("lr = = 1\n")
    (tmp_path / GOOD_TOML).write_text(SPACE)
    assert omasgan(*arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("omasgan: ") and output.err.count("\n") == 1
    assert message in output.err
    assert {path.name for path in tmp_path.iterdir()} == {BAD_TOML, GOOD_TOML}


def test_a_cluster_that_cannot_be_reached_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(SPACE)
    flags = {"backend": "ray", "address": "127.0.0.2:1", "space": str(tmp_path / "space.toml")}
    # In a process of its own, for other tests may have left this one connected to a cluster.
    done = in_a_process(*sweep_of(**flags, out=str(tmp_path / "out")))
    assert done.returncode == 2 and done.stdout == ""
    assert "127.0.0.2:1" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_interruption_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fate = ["--folds", "1", "--set", "fate=interrupted"]
    assert run(tmp_path, *fate, detector=SCRIPTED) == cli.INTERRUPTED
    error = capsys.readouterr().err
    assert "interrupted; to go on: omasgan run digits-loo" in error
    assert error.strip().endswith("fate=interrupted")


def test_secrets_are_not_repeated_to_who_interrupts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db?password=sesame"
    fate = ["--folds", "1", "--set", "fate=interrupted", "--tracking-uri", uri]
    assert run(tmp_path, *fate, detector=SCRIPTED) == cli.INTERRUPTED
    error = capsys.readouterr().err
    assert "password=***" in error and "sesame" not in error


def test_a_second_driver_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with driver_lock(tmp_path):
        assert run(tmp_path) == 2
    assert f"in use by a driver on host {socket.gethostname()}" in capsys.readouterr().err
    assert Store(tmp_path).results() == []
    assert run(tmp_path, "--folds", "0", "--seeds", "0") == 0


def test_exit_codes_reach_the_shell() -> None:
    done = in_a_process("run", "digit-loo", "knn")
    assert done.returncode == 2
    assert done.stderr.startswith("omasgan: unknown benchmark 'digit-loo'")
    assert "Traceback" not in done.stderr
