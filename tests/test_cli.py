from __future__ import annotations

import csv
import io
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest
from PIL import Image, ImageDraw

from omasgan import __version__, cli, saved, scoring
from omasgan.store import Store

CURVE = "tests.toy:CurveDetector"
SCRIPTED = "tests.test_evaluate:Scripted"
# A shell may have started the tests with SIGINT ignored, which children inherit.
MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from omasgan.cli import main; sys.exit(main())"
)
SPACE = "lr = {low = 0.001, high = 0.1, log = true}\n"
SMALL = ["--max-folds", "2", "--max-train", "100", "--max-test", "60", "--tracking-uri", "none"]


def omasgan(*arguments: str | Path) -> int:
    return cli.main([str(argument) for argument in arguments])


def run(out: Path, *arguments: str | Path, detector: str = CURVE) -> int:
    return omasgan("run", "digits-loo", detector, *SMALL, "--out", out, *arguments)


def sweep(folder: Path, *arguments: str | Path) -> int:
    (folder / "space.toml").write_text(SPACE)
    place = ["--space", folder / "space.toml", "--out", folder / "out", "--backend", "local"]
    return omasgan("sweep", "digits-loo", CURVE, *SMALL, *place, *arguments)


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("list") == 0
    text = capsys.readouterr().out
    for name in ("digits-loo", "mnist-vs-kmnist", "omasgan", "fashion-mnist", "nested-shared"):
        assert name in text


@pytest.mark.parametrize(
    "verb", [[], *([verb] for verb in ("list", "run", "sweep", "audit", "score", "report", "ui"))]
)
def test_help_exits_with_0(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan(*verb, "--help") == 0
    assert "Usage: omasgan" in capsys.readouterr().out


def test_help_answers_in_under_a_second() -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert in_a_process("run", "--help").returncode == 0
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("--version") == 0
    assert capsys.readouterr().out == f"omasgan {__version__}\n"


def test_run_trains_folds_times_seeds_and_shows_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--seeds", "0,5", "--set", "lr=0.02") == 0
    rows = Store(tmp_path).results()
    assert {(row["fold"], row["seed"]) for row in rows} == {(0, 0), (0, 5), (1, 0), (1, 5)}
    assert {row["benchmark"] for row in rows} == {"digits-loo-v1-f2-train100-test60"}
    assert rows[0]["params"] == {"lr": 0.02, "epochs": 3, "collapse": False}
    assert {row["outcome"] for row in rows} == {"ok"}
    text = capsys.readouterr().out
    assert "runs: 4 of 4, ok" in text
    assert CURVE in text and f"omasgan report {tmp_path}" in text


def test_a_run_that_is_there_is_not_trained_again(tmp_path: Path) -> None:
    assert run(tmp_path, "--folds", "1", "--seeds", "0") == 0
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert run(tmp_path, "--folds", "1", "--seeds", "0", "--set", "lr=0.01") == 0
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert len(Store(tmp_path).results()) == 1


def test_set_wins_over_the_params_file(tmp_path: Path) -> None:
    file = tmp_path / "params.toml"
    file.write_text("[params]\nlr = 0.03\nepochs = 2\n")
    one = ["--folds", "0", "--seeds", "0", "--params", file, "--set", "epochs=1"]
    assert run(tmp_path / "out", *one) == 0
    (row,) = Store(tmp_path / "out").results()
    assert row["params"] == {"lr": 0.03, "epochs": 1, "collapse": False}


def test_a_failed_run_is_told_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fate = ["--folds", "1", "--seeds", "0", "--set", "fate=failed"]
    assert run(tmp_path, *fate, detector=SCRIPTED) == 1
    assert "omasgan: fold 1, seed 0: failed: ValueError: a bug" in capsys.readouterr().err


def test_an_interruption_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fate = ["--folds", "1", "--set", "fate=interrupted"]
    assert run(tmp_path, *fate, detector=SCRIPTED) == cli.INTERRUPTED
    error = capsys.readouterr().err
    assert "interrupted; to go on: omasgan run digits-loo" in error
    assert error.strip().endswith("fate=interrupted")


BAD_TOML = "bad.toml"
GOOD_TOML = "good.toml"


def sweep_of(**flags: str) -> list[str]:
    """A sweep that is right but for the given flags."""
    options = {"trials": "1", "space": GOOD_TOML} | flags
    pairs = ((f"--{name.replace('_', '-')}", value) for name, value in options.items())
    return ["sweep", "digits-loo", CURVE, *(word for pair in pairs for word in pair)]


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
    "out is an address": (["run", "digits-loo", CURVE, "--out", "s3://b/x"], "must be a folder"),
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


def test_another_benchmark_under_the_same_id_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "mine.toml"
    text = 'name="mine"\nversion=1\nprotocol="leave-one-out"\ndataset="digits"\nmax_folds=1\n'
    toml.write_text(text)
    arguments = ["run", toml, CURVE, "--seeds", "0", "--out", tmp_path / "out"]
    arguments += ["--tracking-uri", "none"]
    assert omasgan(*arguments) == 0
    toml.write_text(text + "split_seed=1\n")
    assert omasgan(*arguments) == 2
    assert "split_seed: 0 -> 1" in capsys.readouterr().err


def test_report_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--seeds", "0") == 0
    assert omasgan("report", tmp_path) == 0
    assert "report/index.html" in capsys.readouterr().out
    assert (tmp_path / "report" / "index.html").stat().st_size > 0


def test_sweep_searches_then_trains_the_winners_on_fresh_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path, "--trials", "2") == 0
    store = Store(tmp_path / "out")
    assert [folder.name for folder in store.studies()] == ["fold-0", "fold-1"]
    rows = store.results()
    assert {(row["fold"], row["seed"]) for row in rows} == {
        (f, s) for f in (0, 1) for s in range(3)
    }
    assert {row["selection"] for row in rows} == {"nested"}
    text = capsys.readouterr().out
    assert "fold-1: 2 of 2, ok" in text and "runs: 6 of 6, ok" in text

    assert sweep(tmp_path, "--trials", "3", "--folds", "0") == 0
    assert len(list(store.studies()[0].glob("trials/*/trial.json"))) == 3
    assert sweep(tmp_path, "--trials", "3", "--folds", "0", "--seed", "1") == 2
    assert "seed: 0 -> 1" in capsys.readouterr().err


def compare(out: Path, *arguments: str | Path) -> int:
    place = ["--backend", "local", "--out", out]
    return omasgan("compare", "digits-loo", *SMALL, *place, *arguments)


def test_compare_sets_detectors_beside_the_yardsticks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "pca.toml").write_text("components = 3\n")
    given = ["--detectors", f"vae,{CURVE}", "--params", tmp_path / "params", "--seeds", "0"]
    (tmp_path / "params" / "vae.toml").write_text("[params]\ntrain_steps = 2\n")
    assert compare(tmp_path / "out", *given) == 0
    rows = Store(tmp_path / "out").results()
    assert {row["detector"] for row in rows} == {
        "knn", "pca", "gmm", "isolation-forest", "vae", CURVE
    }  # fmt: skip
    (pca,) = {row["params"]["components"] for row in rows if row["detector"] == "pca"}
    assert pca == 3
    text = capsys.readouterr().out
    assert "Average rank and tests" in text and "Geometry card" in text
    assert compare(tmp_path / "out", *given) == 0
    assert len(Store(tmp_path / "out").results()) == len(rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--detectors", "vea"], "did you mean 'vae'"),
        (["--selection", "nested"], "give --tune N as well"),
        (["--tune", "2", "--selection", "nestd"], "did you mean 'nested'"),
        (["--tune", "2", "--selection", "transfer"], "use omasgan sweep"),
        (["--params", "published"], "unknown benchmark with published params 'digits-loo'"),
        (["--params", "nowhere"], "has no <detector>.toml"),
    ],
)
def test_comparisons_that_make_no_sense_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_interrupted_sweep_is_resumed(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(f"{SPACE}seconds = 0.2\n")
    arguments = ["sweep", "digits-loo", "tests.toy:SlowDetector", *SMALL, "--trials", "3"]
    arguments += ["--backend", "local"]
    arguments += ["--selection", "proxy", "--folds", "0"]
    arguments += ["--space", str(tmp_path / "space.toml"), "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments], stdout=PIPE, stderr=PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert "1 of 3, ok" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        error = process.stderr.read()
    assert process.returncode == cli.INTERRUPTED
    assert error.strip().endswith("--resume") and "Traceback" not in error

    refused = in_a_process(*arguments)
    assert refused.returncode == 2 and "go on with --resume" in refused.stderr
    done = in_a_process(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    (study,) = Store(tmp_path / "out").studies()
    assert len(list(study.glob("trials/*/trial.json"))) == 3


def test_mlflow_shows_a_sweep_and_the_runs(tmp_path: Path) -> None:
    assert sweep(tmp_path, "--trials", "2", "--folds", "0", "--tracking-uri", "") == 0
    assert run(tmp_path / "out", "--folds", "0", "--tracking-uri", "") == 0
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'out' / 'mlflow.db'}")
    (experiment,) = (e for e in client.search_experiments() if e.name.startswith("digits-loo"))
    shown = client.search_runs([experiment.experiment_id])
    assert {r.info.status for r in shown} == {"FINISHED"}
    # A study, its two trials and its winner, and what was run without a search.
    assert len(shown) == 5


def test_audit_shows_every_check_of_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    quick = [f"--set={phase}_steps=3" for phase in ("gan", "boundary", "retrain", "detector")]
    small = ["--max-train", "60", "--max-test", "40", "--fold", "3", "--set", "width=8"]
    assert omasgan("audit", "omasgan", "digits-loo", *quick, *small) == 0
    output = capsys.readouterr()
    assert "omasgan on digits-loo-v1-train60-test40, fold 3" in output.out
    for stage in ("task1", "task3", "j", "neighbours", "combined"):
        lines = [line for line in output.out.splitlines() if f" {stage} " in line]
        assert len(lines) == 4 and all("stays" in line for line in lines)
    assert output.err == ""


def test_audit_exits_with_1_where_a_score_moves(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("audit", "tests.test_audit:DividesByTheBatch", "digits-loo") == 1
    output = capsys.readouterr()
    assert "digits-loo-v1, fold 0" in output.out and "moves" in output.out
    assert output.err.startswith(
        "omasgan: scores of tests.test_audit:DividesByTheBatch move: score in batches: by "
    )
    assert "score one by one: by " in output.err and output.err.count("\n") == 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with an OMASGAN that was saved after few steps on digits but the 1."""
    out = tmp_path_factory.mktemp("trained")
    quick = [f"--set={phase}_steps=30" for phase in ("gan", "boundary", "retrain", "detector")]
    arguments = ["digits-loo", "omasgan", "--folds", "1", "--seeds", "0", "--set", "width=8"]
    more = ["--save", "--tracking-uri", "none", "--out", out]
    assert omasgan("run", *arguments, *quick, *more) == 0
    return out


def draw(folder: Path, size: int = 8) -> list[Path]:
    """A zero, a four and a seven."""
    folder.mkdir()
    k = size // 8
    for name in ("zero", "four", "seven"):
        image = Image.new("RGB", (size, size))
        pen = ImageDraw.Draw(image)
        if name == "zero":
            pen.ellipse((2 * k, k, 5 * k, 6 * k), outline="white", width=k)
        elif name == "four":
            pen.line([(4 * k, 7 * k), (4 * k, k), (2 * k, 4 * k), (6 * k, 4 * k)], "white", k)
        else:
            pen.line([(2 * k, k), (5 * k, k), (3 * k, 6 * k)], "white", k)
        image.save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in ("four", "seven", "zero")]


def test_score_judges_drawn_digits(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = draw(tmp_path / "drawn")
    assert omasgan("score", trained, tmp_path / "drawn") == 0
    output = capsys.readouterr()
    lines = list(csv.DictReader(io.StringIO(output.out)))
    assert [line["file"] for line in lines] == [str(file) for file in files]
    assert list(lines[0]) == ["file", "index", "score", "p_value"]

    loaded = saved.load(saved.find(trained), device="cpu")
    X = np.stack([np.asarray(Image.open(file).convert("L"))[None] for file in files])
    scores = loaded.detector.decision_function(X)
    np.testing.assert_allclose([float(line["score"]) for line in lines], scores, rtol=1e-6)
    p = scoring.p_values(scores, loaded.calibration)
    np.testing.assert_allclose([float(line["p_value"]) for line in lines], p, rtol=1e-5)
    n = len(loaded.calibration)
    assert n > 100 and f"against {n} held-out normals of digits-loo-v1, fold 1" in output.err

    out = tmp_path / "new" / "scores.csv"
    assert omasgan("score", saved.find(trained), *files, "--out", out) == 0
    again = capsys.readouterr()
    assert again.out == "" and out.read_text() == output.out


def test_score_refuses_what_it_cannot_judge_and_writes_nothing(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, *_ = draw(tmp_path / "small")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "pickled.npy").write_bytes(pickle.dumps({}))
    large, *_ = draw(tmp_path / "large", size=16)
    out = tmp_path / "scores.csv"
    for bad in (tmp_path / "text.png", tmp_path / "pickled.npy", large, tmp_path / "missing.png"):
        assert omasgan("score", trained, good, bad, "--out", out) == 2
        output = capsys.readouterr()
        assert output.out == "" and output.err.count("\n") == 1
        assert output.err.startswith("omasgan: ") and str(bad) in output.err
        assert not out.exists()
    assert omasgan("score", trained, good, large, "--resize", "--out", out) == 0
    assert len(out.read_text().splitlines()) == 3


def test_score_lists_the_detectors_to_choose_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--seeds", "0", "--save") == 0
    capsys.readouterr()
    assert omasgan("score", tmp_path, "x.png") == 2
    error = capsys.readouterr().err
    assert "holds 2 saved detectors, give one: " in error and error.count("\n") == 1
    assert error.count("/seed-0/fold-") == 2
    chosen = saved.find(next(tmp_path.rglob("fold-1")))
    assert omasgan("score", chosen, "x.png") == 2
    assert "'tests.toy:CurveDetector', which is not of this package" in capsys.readouterr().err


def test_exit_codes_reach_the_shell() -> None:
    done = in_a_process("run", "digit-loo", "knn")
    assert done.returncode == 2
    assert done.stderr.startswith("omasgan: unknown benchmark 'digit-loo'")
    assert "Traceback" not in done.stderr
