"""``--help`` within 80 columns: groups, summaries and examples."""

from __future__ import annotations

import shlex

import pytest

from omasgan import cli
from omasgan.cli.options.help import EXAMPLES, OTHERS, PANELS
from tests.cli.calls import omasgan
from tests.test_docs_commands import parse


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_an_example_that_is_parsed(verb: str) -> None:
    for line in EXAMPLES[verb].splitlines():
        program, *arguments = shlex.split(line.partition(" > ")[0])
        assert program == "omasgan" and arguments[0] == verb
        parse(*arguments)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_option_stands_in_a_group(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan(verb, "--help") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    others = text.split(f"{OTHERS}:\n")[1].split("\n\n")[0]
    left = [line.split()[0] for line in others.splitlines()]
    assert left == ["--help"]
    assert text.rstrip().endswith(EXAMPLES[verb].splitlines()[-1])


def test_a_sweep_has_its_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("sweep", "--help") == 0
    text = capsys.readouterr().out
    assert [panel for panel in PANELS if f"\n{panel}:\n" in text] == list(PANELS)


def test_summaries_are_not_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert omasgan("--help") == 0
    cut = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "..." in line]
    assert [word for word in cut if word in cli.VERBS] == []
