"""Sweeps whose detectors need no training, on two small folds of digits."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from omasgan import detectors
from omasgan.backends.local import LocalBackend
from omasgan.config import BenchmarkSpec, load_benchmark
from omasgan.data import protocols
from omasgan.data.datasets import Dataset
from omasgan.data.selection import TRIAL_SEEDS
from omasgan.errors import BackendError, ConfigError, StoreError
from omasgan.experiments.sweep import SweepSpec, check, sweep
from omasgan.progress import EpochEnded, Event, Note, OnEvent, StudyChanged, TrialEnded
from omasgan.report.results.inputs import read_study
from omasgan.store.journal import read_json
from omasgan.store.results import Store, params_id
from omasgan.study.record import FILE
from omasgan.study.search import Search
from omasgan.study.space import Space
from omasgan.training.jobs import CheckpointPolicy
from omasgan.training.trials import Trial
from tests.experiments.staged import StagedDetector
from tests.toy import CURVE_SPACE


@pytest.fixture
def spec(small_spec: BenchmarkSpec) -> SweepSpec:
    return SweepSpec(
        benchmark=small_spec,
        detector="tests.toy:CurveDetector",
        space=Space.from_dict(CURVE_SPACE),
        rule="nested",
        n_trials=3,
        inner=2,
    )


def trials(store: Store, name: str = "fold-0") -> list[Trial]:
    """The ended trials of a study, without when they ended and what they cost."""
    (folder,) = (folder for folder in store.studies() if folder.name == name)
    ended = []
    for trial in read_study(folder).ended:
        assert trial.ending is not None
        ending = replace(trial.ending, seconds=None, peak_memory_mb=None, gpu_peak_memory_mb=None)
        ended.append(replace(trial, ended_at=None, ending=ending))
    return ended


def studies(store: Store) -> dict[str, dict[str, Any]]:
    """What is on disk of each study."""
    return {
        folder.name: {
            "study": read_json(folder / "study.json"),
            "winner": read_json(folder / "winner.json"),
            "trials": trials(store, folder.name),
        }
        for folder in store.studies()
    }


def test_what_a_lost_record_leaves_is_not_taken_for_other_trials(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    """A checkpoint of other params under the same number would give the trial another state."""
    spec = replace(spec, folds=(0,), checkpoints=CheckpointPolicy(keep=True))
    lost, whole = Store(tmp_path / "lost"), Store(tmp_path / "whole")
    # What is left over is the state of trials of another space, at their last epoch.
    others = replace(spec, space=Space.from_dict({"lr": 0.9, "epochs": 1}))
    sweep([others], lost, LocalBackend(), small_dataset)
    (folder,) = lost.studies()
    assert len(list(folder.glob("trials/*/*.safetensors"))) == 6
    for name in (FILE, "study.json", "winner.json"):
        (folder / name).unlink()
    sweep([spec], lost, LocalBackend(), small_dataset)
    sweep([spec], whole, LocalBackend(), small_dataset)
    assert trials(lost) == trials(whole)
    epochs = [sorted(s.root.rglob("epochs.jsonl")) for s in (lost, whole)]
    assert [p.read_bytes() for p in epochs[0] if "trials" in p.parts] == [
        p.read_bytes() for p in epochs[1] if "trials" in p.parts
    ]


class StoppedError(Exception):
    pass


def stop_after(n: int) -> OnEvent:
    """The driver goes away when ``n`` trials of the second study have ended."""

    def on_event(event: Event) -> None:
        name = event.study.name if isinstance(event, EpochEnded) and event.study else None
        if isinstance(event, EpochEnded) and (name, event.done) == ("fold-1", n):
            raise StoppedError("here")

    return on_event


def test_each_fold_gets_its_own_winner_trained_anew(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    events: list[Event] = []
    result = sweep([spec], store, LocalBackend(), small_dataset, on_event=events.append)
    assert [winner.study for winner in result.winners] == ["fold-0", "fold-1"]
    on_disk = studies(store)
    for fold, winner in enumerate(result.winners):
        of_study = on_disk[winner.study]
        assert of_study["study"]["status"] == "complete"
        assert of_study["study"]["n_trials"] == 3
        assert of_study["winner"] == {
            "number": winner.number,
            "params": winner.params,
            "params_id": params_id(winner.params),
            "objective": winner.objective,
            "n_trials": 3,
            "enqueued": None,
            "lengthened_from": [],
        }
        # The winner's params are complete, so that they mean the same with other defaults.
        assert set(winner.params) == {"lr", "epochs", "collapse"}
        assert winner.objective == max(trial.objective for trial in of_study["trials"])
        rows = [row for row in result.rows if row["fold"] == fold]
        assert [row["params"] for row in rows] == [winner.params] * 3
    assert {row["seed"] for row in result.rows} == set(spec.benchmark.seeds)
    assert max(spec.benchmark.seeds) < TRIAL_SEEDS
    assert {row["selection"] for row in result.rows} == {"nested"}
    assert store.results() == sorted(result.rows, key=lambda r: (r["params_id"], r["seed"]))
    changes = [(e.status, e.study.name) for e in events if isinstance(e, StudyChanged)]
    names = ["fold-0", "fold-1"]
    assert changes == [("running", n) for n in names] + [("complete", n) for n in names]


def test_the_folder_of_a_study_holds_its_identity_its_record_and_its_winner(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    sweep([replace(spec, folds=(0,))], store, LocalBackend(), small_dataset)
    (folder,) = store.studies()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    epochs = {f"trials/{number:04d}/epochs.jsonl" for number in range(3)}
    assert names == {"study.json", FILE, "winner.json", "winner.toml", *epochs}
    params = {
        k: v for k, v in read_json(folder / "winner.json")["params"].items() if v is not None
    }
    assert tomllib.loads((folder / "winner.toml").read_text()) == params


def test_a_sweep_that_is_done_does_nothing_and_a_longer_one_goes_on(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    first = sweep([spec], store, LocalBackend(), small_dataset)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    events: list[Event] = []
    again = sweep([spec], store, LocalBackend(), small_dataset, on_event=events.append)
    assert again == first
    assert not [event for event in events if isinstance(event, EpochEnded | TrialEnded)]
    assert {path: path.read_bytes() for path in before} == before
    longer = replace(spec, n_trials=5)
    sweep([longer], store, LocalBackend(), small_dataset)
    whole = Store(tmp_path / "whole")
    sweep([longer], whole, LocalBackend(), small_dataset)
    lengthened, undisturbed = studies(store), studies(whole)
    for name in lengthened:
        # The first three trials' winner has met the test set, and that stays known.
        assert lengthened[name]["winner"].pop("lengthened_from") == [3]
        assert undisturbed[name]["winner"].pop("lengthened_from") == []
    assert lengthened == undisturbed


def test_a_study_says_from_which_lengths_it_was_lengthened(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    # One that is shorter than what is there is the one that is there.
    for n_trials, lengths in ((2, []), (3, [2]), (3, [2]), (1, [2]), (5, [2, 3])):
        one = replace(spec, n_trials=n_trials, folds=(0,))
        (winner,) = sweep([one], store, LocalBackend(), small_dataset).winners
        assert list(winner.lengthened_from) == lengths
        (study,) = map(read_study, store.studies())
        assert study.winner is not None
        assert study.winner["lengthened_from"] == lengths
        assert study.winner["n_trials"] == study.about["n_trials"] == winner.n_trials


def test_a_search_that_stopped_before_its_winner_was_frozen_was_not_lengthened(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store, spec = Store(tmp_path), replace(spec, folds=(1,))
    with pytest.raises(StoppedError):
        sweep([spec], store, LocalBackend(), small_dataset, on_event=stop_after(2))
    longer = replace(spec, n_trials=4)
    (winner,) = sweep([longer], store, LocalBackend(), small_dataset).winners
    assert winner.lengthened_from == ()


def test_a_stopped_sweep_goes_on_and_ends_as_if_never_stopped(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = replace(spec, sampler="TPESampler(n_startup_trials=2)", n_trials=4)
    store = Store(tmp_path / "stopped")
    with pytest.raises(StoppedError, match="here"):
        sweep([spec], store, LocalBackend(), small_dataset, on_event=stop_after(2))
    assert store.results() == []
    assert [read_json(d / "study.json")["status"] for d in store.studies()] == ["running"] * 2
    resumed = sweep([spec], store, LocalBackend(), small_dataset)
    whole_store = Store(tmp_path / "whole")
    whole = sweep([spec], whole_store, LocalBackend(), small_dataset)
    assert resumed.winners == whole.winners
    assert [row["auroc"] for row in resumed.rows] == [row["auroc"] for row in whole.rows]
    assert studies(store) == studies(whole_store)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"space": Space.from_dict({"lr": {"low": 1e-4, "high": 0.5, "log": True}})},
            r"study 'fold-0' .* is another one: space.epochs: 2 -> absent; "
            r"space.lr.high: 1.0 -> 0.5; give another --out",
        ),
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"sampler": "RandomSampler"}, 'sampler: "TPESampler" -> "RandomSampler"'),
        ({"pruner": "MedianPruner"}, 'pruner: "NopPruner" -> "MedianPruner"'),
        ({"inner": 1}, "inner: 2 -> 1"),
        ({"prune_collapsed": True}, "prune_collapsed: false -> true"),
        ({"enqueue": "defaults"}, 'enqueue: null -> "defaults"'),
    ],
)
def test_a_changed_study_is_refused_with_the_difference(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    spec = replace(spec, n_trials=1, folds=(0,))
    store = Store(tmp_path)
    sweep([spec], store, LocalBackend(), small_dataset)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(StoreError, match=message) as caught:
        sweep([replace(spec, **change)], store, LocalBackend(), small_dataset)
    assert "\n" not in str(caught.value)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_changed_benchmark_is_refused(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    spec = replace(spec, n_trials=1, folds=(0,))
    sweep([spec], store, LocalBackend(), small_dataset)
    changed = spec.benchmark.model_copy(update={"split_seed": 5})
    with pytest.raises(StoreError, match=r"benchmark.split_seed: 0 -> 5"):
        sweep([replace(spec, benchmark=changed)], store, LocalBackend(), small_dataset)


def test_folds_ask_for_params_of_their_own_and_a_repeated_sweep_for_the_same(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    """With a seed in common ten folds of ten trials would try ten settings, not a hundred."""
    asked = {}
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        store = Store(tmp_path / name)
        sweep([replace(spec, seed=seed)], store, LocalBackend(), small_dataset)
        rates = [[t.params["lr"] for t in trials(store, f"fold-{fold}")] for fold in (0, 1)]
        assert len(set(rates[0] + rates[1])) == 6
        asked[name] = rates
    assert asked["one"] == asked["again"]
    assert asked["one"] != asked["other"]
    # A fold's study does not depend on which others are searched beside it.
    store = Store(tmp_path / "alone")
    sweep([replace(spec, folds=(1,))], store, LocalBackend(), small_dataset)
    assert [trial.params["lr"] for trial in trials(store, "fold-1")] == asked["one"][1]


def test_the_defaults_are_the_first_trial_where_that_is_asked_for(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    wide = Space.from_dict({"lr": {"low": 1e-4, "high": 1.0, "log": True}})
    spec = replace(spec, space=wide, enqueue="defaults")
    result = sweep([spec], store, LocalBackend(), small_dataset)
    for study in map(read_study, store.studies()):
        first, *others = study.trials
        assert (first["params"], first["enqueued"]) == ({"lr": 0.01}, "defaults")
        assert {row["enqueued"] for row in others} == {None}
        # They are the best there is, and the winner says where it comes from.
        assert study.winner is not None
        assert (study.winner["number"], study.winner["enqueued"]) == (0, "defaults")
    assert [winner.enqueued for winner in result.winners] == ["defaults"] * 2
    defaults = detectors.check_params(detectors.load(spec.detector), {})
    assert [winner.params for winner in result.winners] == [defaults] * 2


def test_a_replay_repeats_a_sweep(spec: SweepSpec, small_dataset: Dataset, tmp_path: Path) -> None:
    recorded = sweep([spec], Store(tmp_path / "a"), LocalBackend(), small_dataset)
    folder = Store(tmp_path / "a").studies()[0].parent
    again = replace(spec, seed=0, sampler="RandomSampler(seed=9)", replay=folder)
    replayed = sweep([again], Store(tmp_path / "b"), LocalBackend(), small_dataset)
    assert [w.params for w in replayed.winners] == [w.params for w in recorded.winners]
    assert trials(Store(tmp_path / "b")) == trials(Store(tmp_path / "a"))
    one_study = replace(spec, replay=folder / "fold-0" / FILE)
    with pytest.raises(ConfigError, match="is one study, but the sweep has several"):
        sweep([one_study], Store(tmp_path / "c"), LocalBackend(), small_dataset)
    assert not (tmp_path / "c").exists()
    alone = sweep(
        [replace(one_study, folds=(0,))], Store(tmp_path / "c"), LocalBackend(), small_dataset
    )
    assert alone.winners[0].params == recorded.winners[0].params


def test_a_study_without_a_good_trial_is_told_after_the_others_are_done(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    bad = Space.from_dict({"lr": {"low": 0.5, "high": 1.0}})
    good = replace(spec, folds=(0,))
    lost = replace(spec, detector="tests.toy:DivergingDetector", space=bad)
    store = Store(tmp_path)
    message = r"study 'fold-0' of .*Detector ended ok \(3 diverged; last error: loss is not finite"
    with pytest.raises(ConfigError, match=message):
        sweep([lost, good], store, LocalBackend(), small_dataset)
    assert {row["detector"] for row in store.results()} == {good.detector}


class Counting(LocalBackend):
    """Counts the trainings that trials take."""

    trainings = 0

    def search(self, searches: Sequence[Search], on_event: OnEvent) -> None:
        before = StagedDetector.trainings
        super().search(searches, on_event)
        self.trainings += StagedDetector.trainings - before


def test_all_stages_of_a_trial_are_judged_and_the_winner_names_the_best(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    choices = ["last", "middle", "first"]
    space = Space.from_dict({"lr": {"low": 0.005, "high": 0.02}, "stage": {"choices": choices}})
    spec = replace(
        spec, detector="tests.experiments.staged:StagedDetector", space=space, folds=(0,)
    )
    store, backend = Store(tmp_path), Counting()
    result = sweep([spec], store, backend, small_dataset)
    assert backend.trainings == spec.n_trials * 2  # tasks, and not times three stages
    for trial in trials(store):
        assert "stage" not in trial.params
        means = {s: np.mean([values[s] for values in trial.values.values()]) for s in choices}
        assert trial.ending is not None and trial.ending.stage == "first"
        assert trial.objective == means["first"] == max(means.values())
    (winner,) = result.winners
    assert winner.params["stage"] == "first"
    assert winner.objective == max(trial.objective or 0 for trial in trials(store))
    # The run's own score is that stage, and the others stand beside it.
    for row in result.rows:
        assert row["params"]["stage"] == "first"
        assert row["auroc"] == row["auroc.first"] > row["auroc.last"]
    (study,) = map(read_study, store.studies())
    assert study.trials[0]["values"].keys() == set(study.about["tasks"])
    again = sweep([spec], store, LocalBackend(), small_dataset)
    assert again == result


def test_exhausted_params_end_a_study_well(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    space = Space.from_dict({"lr": {"choices": [0.01, 0.1]}, "epochs": {"low": 1, "high": 2}})
    spec = replace(spec, space=space, sampler="BruteForceSampler", n_trials=7, folds=(1,))
    store = Store(tmp_path)
    with pytest.raises(StoppedError):
        sweep([spec], store, LocalBackend(), small_dataset, on_event=stop_after(2))
    for _ in range(2):
        events: list[Event] = []
        (winner,) = sweep(
            [spec], store, LocalBackend(), small_dataset, on_event=events.append
        ).winners
        assert winner.params["lr"] == 0.01 and winner.params["epochs"] == 2
        assert read_json(store.studies()[0] / "study.json")["status"] == "complete"
        assert len(trials(store, "fold-1")) == 4
        notes = [event.text for event in events if isinstance(event, Note)]
        assert notes == [
            "study 'fold-1' of tests.toy:CurveDetector is complete with 4 of 7 trials: its "
            "sampler has handed out all different params that there are for it"
        ]


def copied(tmp_path: Path) -> dict[str, list[optuna.trial.FrozenTrial]]:
    url = f"sqlite:///{tmp_path}/shared.db"
    return {
        name: optuna.load_study(study_name=name, storage=url).trials
        for name in optuna.get_all_study_names(url)
    }


def test_several_folders_share_a_storage(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = replace(spec, storage=f"sqlite:///{tmp_path}/shared.db", n_trials=2)
    for name in "ab":
        sweep([spec], Store(tmp_path / name), LocalBackend(), small_dataset)
    assert studies(Store(tmp_path / "a")) == studies(Store(tmp_path / "b"))
    copies = copied(tmp_path)
    assert sorted(name.rpartition("/")[0] for name in copies) == sorted(
        f"{spec.benchmark.id}/tests.toy:CurveDetector/nested/fold-{fold}" for fold in (0, 0, 1, 1)
    )
    own = [t.params["lr"] for t in trials(Store(tmp_path / "a"))]
    of_fold_0 = [trials for name, trials in copies.items() if "/fold-0/" in name]
    assert [[t.params["lr"] for t in trials] for trials in of_fold_0] == [own, own]


def test_a_study_without_a_storage_gets_its_copy_when_asked_again(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = replace(spec, n_trials=2, folds=(0,))
    sweep([spec], Store(tmp_path / "a"), LocalBackend(), small_dataset)
    with_copy = replace(spec, storage=f"sqlite:///{tmp_path}/shared.db")
    sweep([with_copy], Store(tmp_path / "a"), LocalBackend(), small_dataset)
    (copy,) = copied(tmp_path).values()
    assert len(copy) == 2


def test_a_storage_with_another_history_is_refused(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = replace(spec, storage=f"sqlite:///{tmp_path}/shared.db", folds=(0,), n_trials=2)
    store = Store(tmp_path / "a")
    sweep([spec], store, LocalBackend(), small_dataset)
    (store.studies()[0] / FILE).unlink()
    with pytest.raises(StoreError, match=r"holds another study under .* \(2 trials, 0 here\)"):
        sweep([spec], store, LocalBackend(), small_dataset)


def test_an_unusable_storage_is_told_before_anything_is_written(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    spec = replace(spec, storage=f"sqlite:///{tmp_path}/absent/shared.db")
    with pytest.raises(BackendError, match="cannot use the storage"):
        sweep([spec], Store(tmp_path / "a"), LocalBackend(), small_dataset)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["study.json", "winner.json"])
@pytest.mark.parametrize("damage", [None, b"", b'{"number": 0'])
def test_a_file_beside_the_record_that_is_gone_or_damaged_is_made_anew_or_named(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path, name: str, damage: bytes | None
) -> None:
    spec, store = replace(spec, folds=(0,)), Store(tmp_path)
    first = sweep([spec], store, LocalBackend(), small_dataset)
    path = store.studies()[0] / name
    before = path.read_bytes()
    path.unlink() if damage is None else path.write_bytes(damage)
    if damage is not None:
        with pytest.raises(StoreError, match=rf"cannot read '.*{name}'.*; delete it and run"):
            sweep([spec], store, LocalBackend(), small_dataset)
        path.unlink()
    assert sweep([spec], store, LocalBackend(), small_dataset) == first
    assert path.read_bytes() == before


def test_ended_trials_keep_their_state_only_if_asked_and_within_the_budget(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    keep = {"checkpoints": CheckpointPolicy(keep=True)}
    states = {}
    for name, change in {
        "none": {},
        "kept": keep,
        "budget": keep | {"checkpoint_budget": 1},
    }.items():
        sweep([replace(spec, **change)], Store(tmp_path / name), LocalBackend(), small_dataset)
        states[name] = list((tmp_path / name).rglob("trials/*/*.safetensors"))
    # One for each of the two tasks of every trial of both studies.
    assert {name: len(paths) for name, paths in states.items()} == {
        "none": 0, "kept": 2 * 2 * spec.n_trials, "budget": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_trials": 0}, "trials must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"sampler": "TPE"}, "unknown sampler 'TPE'"),
        ({"sampler": "TPESampler(n_startup_trials='x')"}, "n_startup_trials: Input should be a"),
        ({"sampler": "TPESampler(n_ei_candidates=0)"}, "cannot search this space"),
        ({"sampler": "BruteForceSampler"}, "cannot search this space: .*step must be given"),
        ({"pruner": "None"}, "unknown pruner 'None'|pruner must be written"),
        ({"pruner": "MedianPruner(n_warmup_steps='x')"}, "n_warmup_steps: Input should be a"),
        ({"space": Space.from_dict({"lrr": 1.0})}, "unknown parameter of CurveDetector 'lrr'"),
        ({"replay": Path("absent")}, "'absent' holds no trials to replay; give a study's folder"),
        ({"enqueue": "default"}, "--enqueue must be 'defaults', got 'default'"),
        ({"enqueue": "defaults", "replay": Path("x")}, "--enqueue and --replay exclude each"),
        (
            {"enqueue": "defaults", "space": Space.from_dict({"lr": {"low": 0.1, "high": 1.0}})},
            "lr = 0.01 is not in the search space, which has .*; widen the space, or don't enq",
        ),
        (
            {"enqueue": "defaults", "sampler": "GridSampler(search_space={'lr': [0.1]})"},
            "--enqueue and a GridSampler exclude each other",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check(replace(spec, **change))
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=message):
        sweep([replace(spec, **change)], Store(tmp_path / "out"), LocalBackend(), small_dataset)
    assert not (tmp_path / "out").exists()


def test_transfer_chooses_on_another_benchmark(
    spec: SweepSpec, small_dataset: Dataset, tmp_path: Path
) -> None:
    other = load_benchmark("two-gaussians-2d")
    source = protocols.load_data(other, root=None, download=False)
    spec = replace(spec, rule="transfer", source=other, n_trials=2)
    result = sweep([spec], Store(tmp_path), LocalBackend(), small_dataset, source=source)
    (winner,) = result.winners
    assert winner.study == "shared"
    assert read_json(Store(tmp_path).studies()[0] / "study.json")["folds"] == [0, 1]
    assert {row["fold"] for row in result.rows} == {0, 1}
    with pytest.raises(ConfigError, match="needs another benchmark"):
        sweep([replace(spec, source=None)], Store(tmp_path), LocalBackend(), small_dataset)
