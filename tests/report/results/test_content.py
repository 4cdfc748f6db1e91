from __future__ import annotations

import itertools
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from omasgan.report.page import html, plain
from omasgan.report.page.blocks import Details, Page, Section
from omasgan.report.results import content
from omasgan.store.journal import read_json, write_json
from omasgan.store.results import Store
from omasgan.training import extremes
from tests.results import add_run, add_study, claimed


def section(store: Store, with_scores: bool = False) -> Section:
    (contents,) = content.read(store)
    return content.section(store, contents, with_scores=with_scores)


def summary(store: Store) -> str:
    return plain.summary(Page("", (), (section(store),)))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Section:
    """Four entries on six folds with two seeds each."""
    store = claimed(tmp_path_factory.mktemp("out"))
    for fold, seed in itertools.product(range(6), range(2)):
        run = {"fold": fold, "seed": seed, "n": 40, "epochs": 0}
        for kind in ("boundary", "early-generator"):
            add_run(store, params={"negatives": kind}, **run)
        add_run(store, "isolation-forest", {"k": 5}, shift=2.0, **run)
        add_run(store, selection="nested-shared", **run)
    return section(store)


def test_a_comparison_is_ranked_and_tested(compared: Section) -> None:
    names = [figure.name for figure in compared.figures]
    assert "toy-loo-v1-average-ranks-on-6-folds" in names
    text = plain.summary(Page("", (), (compared,)))
    for words in (
        "### Average rank and tests on 6 folds",
        "rules: fixed, nested-shared.",
        "| omasgan · fixed · negatives=early-generator |",
        "corrected for the 3 tests of this table, so that it cannot be below 0.094",
    ):
        assert words in text, words


def test_groups_of_as_many_other_folds_are_told_apart(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    for fold, names in enumerate((("vae", "pca"), ("ganomaly", "lof"))):
        for name in names:
            add_run(store, name, {}, fold=fold, n=40, epochs=0)
    shown = section(store)
    html.render(Page("", (), (shown,)))
    titles = [table.title for table in shown.tables if "tests on" in table.title]
    expected = [f"Average rank and tests on 1 fold ({fold})" for fold in range(2)]
    assert titles == expected


def test_its_table_for_a_terminal_fits_80_columns(compared: Section) -> None:
    (table,) = (table for table in compared.tables if table.for_terminal)
    for name in list(table.frame)[2:]:
        table.frame[f"{name}0"] = table.frame[name]
    wide = replace(table, shaded=tuple(list(table.frame)[2:12]), frame=table.frame.iloc[:, :12])
    console = Console(width=80, record=True, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(plain.terminal(wide))
    (line,) = (x for x in console.export_text().splitlines() if x.startswith("isolation-forest"))
    assert len(re.findall(r"\d\.\d\d", line)) == 11, "nothing is cut off"


def test_in_a_terminal_a_title_may_be_wider_than_its_table(compared: Section) -> None:
    (table,) = (table for table in compared.tables if table.for_terminal)
    title = "digits-loo-v1-train300-test200: AUROC by fold, in numbers"
    narrow = replace(table, title=title, shaded=(), frame=table.frame.iloc[:, :2])
    console = Console(width=80, record=True, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(plain.terminal(narrow))
    assert console.export_text().startswith(f"{title}\n")


def test_figures_of_scores_are_bounded_and_a_note_says_so(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    for number in range(8):
        add_run(store, "knn", {"k": number}, shift=3.0 + number / 10, n=40, epochs=0)
    for seed in range(5):
        add_run(store, "omasgan", {"mu": 1.0}, seed=seed, shift=0.1, n=40, epochs=0)
    shown = section(store, with_scores=True)
    curves = [figure for figure in shown.figures if figure.name.endswith("-roc")]
    assert len(curves) == 7
    (omasgan,) = (figure for figure in curves if "omasgan" in figure.name)
    assert omasgan is curves[-1], "the worst entry, but the method"
    assert "mean over seeds 0,1,2." in omasgan.caption
    (note,) = (text for text in shown.prose if "are drawn" in text)
    assert "for 7 of 9 entries" in note and "at most 3 seeds of a fold" in note


def test_mixed_devices_and_versions_are_noted(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    for fold in range(2):
        key = add_run(store, "knn", {"k": 1}, fold=fold)
    path = store.run_dir(key) / "result.json"
    write_json(path, read_json(path) | {"device": "cuda:0", "code_version": "0.2.0"})
    text = summary(store)
    assert "knn · fixed · cpu+cuda mixes kinds of device: cpu (1 run), cuda (1 run)." in text
    assert "mixes code versions: 0.1.0 (1 run), 0.2.0 (1 run)." in text
    assert "Not all runs used the same kind of device" in text
    assert "| knn | fixed |" in text and "| cpu+cuda | 0.1.0, 0.2.0 |" in text
    (run,) = section(store).commands
    assert run.produces == ("knn · fixed · cpu+cuda",), "its rows link to its command"


def test_a_sweep_produces_the_entry_that_mixes_devices(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    add_study(store)
    winner = read_json(tmp_path / "toy-loo-v1/omasgan/nested/studies/fold-0/winner.json")
    for fold, device in enumerate(("cpu", "mps")):
        key = add_run(store, params=winner["params"], selection="nested", fold=fold)
        path = store.run_dir(key) / "result.json"
        write_json(path, read_json(path) | {"device": device})
    (sweep,) = section(store).commands
    assert "omasgan · nested · cpu+mps" in sweep.produces


def test_a_lengthened_study_is_explained(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    path = add_study(store) / "winner.json"
    assert "no longer blind" not in summary(store)
    write_json(path, read_json(path) | {"lengthened_from": [4]})
    text = summary(store)
    assert "| lengthened after a test at 4 trials |" in text
    assert "no longer blind to it" in text


def test_a_study_without_results_is_reported(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    add_study(store, status="running", outcomes=("pruned", "ok"))
    assert "none yet" in summary(store)


def test_details_follow_the_tables(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    add_run(store, "knn", {"k": 1}, pictures=True)
    kinds = [type(block) for block in section(store, with_scores=True).blocks]
    (details,) = (b for b in section(store, with_scores=True).blocks if isinstance(b, Details))
    assert kinds[-2] is Details and details.is_open
    assert [figure.title for figure in details.blocks] == [
        "ROC by fold: knn · fixed",
        "Precision and recall by fold: knn · fixed",
        "Test scores by fold: knn · fixed",
        "Training: knn · fixed",
        "Samples: knn · fixed, fold 0, seed 0",
    ]


def test_the_extreme_samples_of_the_weakest_folds_are_shown(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    for fold in range(5):
        key = add_run(store, "knn", {"k": 1}, fold=fold, shift=fold, fold_name=f"digit {fold}")
        scores = store.scores(key)
        columns = {name: scores[name].to_numpy() for name in scores}
        extremes.save(store.run_dir(key), columns, np.zeros((len(scores), 1, 8, 8), np.uint8))
    titles = [figure.title for figure in section(store, with_scores=True).figures]
    assert [title for title in titles if title.startswith("Lowest")] == [
        f"Lowest and highest scores: knn · fixed, digit {fold}" for fold in (0, 1, 2)
    ]


def test_the_best_of_each_fold_is_bold_in_the_heat_map(compared: Section) -> None:
    page = html.render(Page("", (), (compared,)))
    (table,) = re.findall(r'<table class="heat">.*?</table>', page, re.DOTALL)
    first, *others = re.findall(r"<tr>(.*?)</tr>", table.split("<tbody>")[1], re.DOTALL)
    assert first.count(" best") == 6, "isolation-forest has the larger shift on each fold"
    assert not any(" best" in row for row in others)
    assert "shade shade-9" in table


def test_a_hash_leads_to_its_params(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    key = add_run(store, "knn", {"k": 5})
    page = html.render(Page("", (), (section(store),)))
    anchor = f"toy-loo-v1-{key.params_id}"
    assert f'<a href="#{anchor}">{key.params_id[:6]}</a>' in page
    assert f'<tr id="{anchor}">' in page
    assert "k=5" in page, "it is not knn's default"


def test_named_folds_have_their_numbers_in_a_note(tmp_path: Path) -> None:
    store = claimed(tmp_path)
    add_run(store, "knn", {"k": 1}, fold=1, fold_name="cat")
    assert "Folds by number: 1 cat." in summary(store)
    assert "| cat |" in summary(store)
