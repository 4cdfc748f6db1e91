from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from omasgan import config
from omasgan.data import datasets
from omasgan.data import published as literature
from omasgan.data.published import Number
from omasgan.errors import DataError
from omasgan.report.page import plain
from omasgan.report.page.blocks import Page
from omasgan.report.results import averages, content, published
from omasgan.report.results.inputs import Benchmark, read_benchmark
from omasgan.report.results.runs import runs
from omasgan.store.journal import read_json, write_json
from tests.results import SPEC, STAGES, add_run, claimed

NUMBER = Number(
    "digits", "leave-one-out", "", "omasgan", "auroc", None, 0.85, 0.036, "the paper", "recalled"
)
HEAD = "dataset,protocol,anomalies,detector,metric,fold,value,sd,source,trust\n"
LINE = "mnist,leave-one-out,,vae,auroc,,0.855,0.11,a thesis,read there\n"


def benchmark(name: str, n_folds: int = 10) -> Benchmark:
    spec = config.load_benchmark(name)
    return Benchmark(spec.id, spec.identity(), n_folds)


def test_every_shipped_line_is_valid_and_of_known_data() -> None:
    numbers = literature.read()
    known = set(datasets.names())
    assert {n.dataset for n in numbers} | {n.anomalies for n in numbers} - {""} <= known
    for protocol in ("leave-one-out", "one-vs-rest", "out-of-dataset"):
        assert protocol in {n.protocol for n in numbers}
    (paper,) = (
        n.value for n in numbers
        if n.source == "OMASGAN paper, Figures 4 and 5" and n.dataset == "mnist"
    )  # fmt: skip
    assert paper == 0.85


def test_printed_means_agree_with_their_folds() -> None:
    numbers = literature.read()
    for mean in (n for n in numbers if n.fold is None):
        folds = [
            n.value for n in numbers
            if n.fold is not None and replace(n, fold=None, value=0, sd=None, trust="")
            == replace(mean, value=0, sd=None, trust="")
        ]  # fmt: skip
        if len(folds) == 10:
            assert sum(folds) / 10 == pytest.approx(mean.value, abs=0.006), mean


@pytest.mark.parametrize(
    ("name", "detectors"),
    [
        ("mnist-loo", {"omasgan", "vae"}),
        (
            "mnist-occ",
            {"adgan", "agad", "anogan", "arnet", "deep-svdd", "esad", "geotrans", "ocgan"},
        ),
        ("mnist-vs-kmnist", {"omasgan"}),
        ("digits-loo", set()),
        ("fashion-mnist-loo", set()),
    ],
)  # fmt: skip
def test_protocols_are_never_mixed(name: str, detectors: set[str]) -> None:
    about = benchmark(name).about
    numbers = literature.read()
    for folds in (False, True):
        for n in literature.numbers_of(about, numbers, folds=folds):
            assert (n.dataset, n.protocol) == (about["dataset"], about["protocol"])
            assert n.anomalies == (about["anomalies"] or "")
    assert {n.detector for n in literature.numbers_of(about, numbers, folds=False)} == detectors


def test_other_metrics_and_unknown_benchmarks_have_no_lines() -> None:
    about = SPEC.identity() | {"metrics": ["fpr95"]}
    assert literature.numbers_of(about, [NUMBER], folds=False) == []
    assert literature.numbers_of({}, [NUMBER], folds=False) == []


def test_ours_are_beside_the_same_detector(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    for fold in range(3):
        add_run(store, stages=STAGES, fold=fold)
    add_run(store, selection="nested", shift=3.0)
    add_run(store, "knn", {"k": 1})
    frame = runs(store.results())
    toy = read_benchmark(store.root, SPEC.id, store.results())
    numbers = [NUMBER, replace(NUMBER, metric="auroc.j", value=0.84, sd=None)]
    lines = published.means(frame, toy, numbers).to_dict("records")
    assert [(line["detector"], line["source"], line["trust"]) for line in lines] == [
        ("omasgan", "this folder: omasgan · nested", "1 of 3 folds"),
        ("omasgan", "this folder: omasgan · fixed", ""),
        ("omasgan", "the paper", "recalled"),
        ("omasgan (j)", "this folder: omasgan · fixed", ""),
        ("omasgan (j)", "the paper", "recalled"),
    ]
    expected = averages.means(r for r in store.results() if r["selection"] == "fixed"
                            and r["detector"] == "omasgan")  # fmt: skip
    assert lines[1]["ours"] == pytest.approx(expected["auroc"])
    assert lines[1]["sd"] == pytest.approx(expected["auroc_sd"])
    assert lines[3]["ours"] == pytest.approx(expected["auroc.j"])
    assert pd.isna(lines[1]["published"]) and pd.isna(lines[2]["ours"])
    assert (lines[2]["published"], lines[2]["sd"]) == (0.85, 0.036)


def test_folds_are_columns() -> None:
    numbers = [replace(NUMBER, fold=fold, value=fold / 10, sd=None) for fold in (10, 2)]
    numbers.append(replace(NUMBER, fold=2, source="a list", sd=None))
    table = published.by_fold(Benchmark("b-v1", SPEC.identity(), 3), [NUMBER, *numbers])
    assert list(table.columns) == ["detector", "source", "fold 2", "fold 10", "trust"]
    assert table["fold 2"].tolist() == [0.85, 0.2]
    assert table["fold 10"].isna().tolist() == [True, False]


def test_a_report_shows_the_geometry_and_the_literature(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    for fold, shift in enumerate((3.0, -3.0)):
        add_run(store, "knn", {"k": 1}, fold=fold, shift=shift)
    add_run(store)
    (contents,) = content.read(store)
    section = content.section(store, contents, with_scores=False)
    titles = [table.title for table in section.tables]
    assert "Geometry card" in titles
    assert "Published numbers" not in titles, "nothing is printed about these data"

    path = store.root / SPEC.id / "benchmark.json"
    write_json(path, read_json(path) | {"dataset": "mnist"})
    (contents,) = content.read(store)
    section = content.section(store, contents, with_scores=False)
    summary = plain.summary(Page("", (), (section,)))
    assert "| fold 0 | 0.000 | 0.9" in summary and "| - | ill-posed | 1 |" in summary
    assert "### Published numbers by fold" in summary
    assert "| omasgan | 0.850 | 0.036 | - | OMASGAN paper, Figures 4 and 5 |" in summary
    assert "1 of 3 folds" in summary
    assert "Deep SVDD" not in summary, "another protocol's"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("0.855", "85.5", r"line 2: value must be in \[0, 1\], got 85.5"),
        ("0.855", "high", "line 2: could not convert"),
        ("leave-one-out", "loo", "line 2: unknown protocol 'loo'"),
        ("leave-one-out", "out-of-dataset", "line 2: anomalies must be given"),
        ("auroc", "accuracy", "line 2: unknown metric 'accuracy'"),
        ("0.11", "-1", r"line 2: sd must be in \[0, 1\]"),
        ("auroc,,", "auroc,3,", "line 2: sd goes with a mean"),
        ("read there", "", "line 2: trust must not be empty"),
        (",read there", "", "line 2: must have 10 cells, got 9"),
        (LINE, LINE * 2, "line 3: the same number stands there twice"),
        ("dataset,", "data,", "the columns must be dataset,protocol"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "published.csv"
    path.write_text((HEAD + LINE).replace(old, new, 1))
    with pytest.raises(DataError, match=words):
        literature.read(path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        literature.read(tmp_path / "none.csv")
