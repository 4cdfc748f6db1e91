"""Selection rules: what a trial receives, and what it never does."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from omasgan import detectors
from omasgan.config import BenchmarkSpec, load_benchmark
from omasgan.data import protocols, selection
from omasgan.data.datasets import Dataset, Split, as_float
from omasgan.errors import ConfigError, DataError
from omasgan.study.space import Space

HONEST = ["nested", "nested-shared", "proxy"]


@pytest.fixture(scope="module")
def spec() -> BenchmarkSpec:
    return load_benchmark("digits-loo")


@pytest.fixture(scope="module")
def digits(spec: BenchmarkSpec) -> Dataset:
    return protocols.load_data(spec)


def hashes(X: NDArray[np.uint8]) -> list[str]:
    return [hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest() for x in X]


def arrays(obj: object) -> Iterator[NDArray[np.generic]]:
    """Every array that can be reached from an unpickled object."""
    if isinstance(obj, np.ndarray):
        yield obj
        if obj.base is not None:
            yield from arrays(obj.base)
    elif isinstance(obj, list | tuple):
        for item in obj:
            yield from arrays(item)
    elif hasattr(obj, "__dict__"):
        yield from arrays(tuple(vars(obj).values()))


def sent_images(study: selection.Study) -> set[str]:
    """The hashes of all images on the wire; other arrays must be rows and labels."""
    images: set[str] = set()
    for array in arrays(pickle.loads(pickle.dumps(study.data))):
        if array.dtype == np.uint8:
            images |= set(hashes(array.reshape(-1, 1, 8, 8)))
        else:
            assert array.dtype == np.int64
            assert array.ndim == 1
    return images


@pytest.mark.parametrize("rule", HONEST)
def test_no_test_image_is_sent(rule: str, spec: BenchmarkSpec, digits: Dataset) -> None:
    test = set(hashes(digits.test.X)) - set(hashes(digits.train.X))
    assert len(test) > 300
    for study in selection.studies(rule, spec, digits):
        assert not sent_images(study) & test


@pytest.mark.parametrize("rule", ["nested", "proxy"])
def test_no_image_of_the_anomalous_class_is_sent(
    rule: str, spec: BenchmarkSpec, digits: Dataset
) -> None:
    for study in selection.studies(rule, spec, digits, [0, 3, 9]):
        (k,) = study.folds
        images = set(hashes(digits.train.X[digits.train.classes == k]))
        assert len(images) > 100
        assert not sent_images(study) & images


def test_only_the_folds_own_samples_are_sent(spec: BenchmarkSpec, digits: Dataset) -> None:
    fold = protocols.folds(spec, digits)[3]
    allowed = set(hashes(digits.train.X[np.concatenate([fold.train, fold.validation])]))
    for rule in ("nested", "proxy"):
        (study,) = selection.studies(rule, spec, digits, [3])
        assert sent_images(study) <= allowed


def test_what_is_sent_does_not_depend_on_the_test_split(
    spec: BenchmarkSpec, digits: Dataset
) -> None:
    blank = Split(np.zeros_like(digits.test.X), digits.test.classes)
    other = Dataset("digits", digits.train, blank, digits.class_names, "0")
    for rule in HONEST:
        pairs = zip(
            *(selection.studies(rule, spec, data) for data in (digits, other)), strict=True
        )
        for a, b in pairs:
            assert pickle.dumps(a.data) == pickle.dumps(b.data)


def test_nested_takes_the_playing_class_out_of_training(
    spec: BenchmarkSpec, digits: Dataset
) -> None:
    class_of = dict(zip(hashes(digits.train.X), digits.train.classes.tolist(), strict=True))
    (study,) = selection.studies("nested", spec, digits, [3], inner=4)
    assert len(study.data.tasks) == 4
    for task in study.data.tasks:
        played = int(task.name.removeprefix("class-"))
        assert played != 3
        trained, judged = (
            [class_of[h] for h in hashes(study.data.pool[rows])]
            for rows in (task.train, task.judged)
        )
        assert set(trained) == set(range(10)) - {3, played}
        assert [c == played for c in judged] == task.labels.astype(bool).tolist()
        assert not set(task.train) & set(task.judged)
        assert task.labels.mean() <= 0.5


def test_nested_has_a_study_for_each_fold(spec: BenchmarkSpec, digits: Dataset) -> None:
    studies = selection.studies("nested", spec, digits, [0, 7])
    assert [(s.name, s.folds) for s in studies] == [("fold-0", (0,)), ("fold-7", (7,))]


def test_nested_shared_spreads_its_tasks_over_folds(spec: BenchmarkSpec, digits: Dataset) -> None:
    (study,) = selection.studies("nested-shared", spec, digits, inner=3)
    assert (study.name, study.folds) == ("shared", tuple(range(10)))
    folds = [task.name.split("-")[1] for task in study.data.tasks]
    assert len(set(folds)) == 3


def test_more_inner_classes_than_there_are(digits: Dataset) -> None:
    spec = load_benchmark("digits-loo")
    (study,) = selection.studies("nested", spec, digits, [0], inner=50)
    assert len(study.data.tasks) == 9


def test_same_seed_same_plan(spec: BenchmarkSpec, digits: Dataset) -> None:
    a, b, c = (
        selection.studies("nested", spec, digits, [0], inner=3, seed=seed)[0].data
        for seed in (0, 0, 1)
    )
    assert pickle.dumps(a) == pickle.dumps(b)
    assert [t.name for t in a.tasks] != [t.name for t in c.tasks]
    assert (a.seed, c.seed) == (1_000_000, 1_000_001)


def test_a_fold_is_planned_alike_whatever_other_folds_there_are(
    spec: BenchmarkSpec, digits: Dataset
) -> None:
    alone = selection.studies("nested", spec, digits, [7])[0].data
    among = selection.studies("nested", spec, digits)[7].data
    assert pickle.dumps(alone) == pickle.dumps(among)


def test_nested_needs_two_normal_classes() -> None:
    spec = load_benchmark("digits-occ")
    with pytest.raises(ConfigError, match=r"at least 2 normal classes.*--selection proxy"):
        selection.studies("nested", spec, protocols.load_data(spec))


def test_oracle_is_the_test_split(spec: BenchmarkSpec, digits: Dataset) -> None:
    (study,) = selection.studies("oracle", spec, digits, [2])
    (task,) = study.data.tasks
    fold = protocols.folds(spec, digits)[2]
    assert np.array_equal(study.data.pool[task.judged], digits.test.X[fold.test])
    assert np.array_equal(study.data.pool[task.train], digits.train.X[fold.train])
    assert np.array_equal(task.labels, digits.test.classes == 2)


def test_transfer_is_judged_on_the_other_benchmark(digits: Dataset) -> None:
    spec, other = load_benchmark("ring-2d"), load_benchmark("digits-loo")
    ring = protocols.load_data(spec)
    (study,) = selection.studies("transfer", spec, ring, inner=2, source=(other, digits))
    assert (study.name, study.folds) == ("shared", (0,))
    assert [task.name for task in study.data.tasks] == ["fold-0", "fold-1"]
    assert study.data.pool.shape[1:] == digits.train.X.shape[1:]


def test_transfer_refuses_the_same_data(spec: BenchmarkSpec, digits: Dataset) -> None:
    occ = load_benchmark("digits-occ")
    with pytest.raises(ConfigError, match=r"choose on other data, but .* both use digits"):
        selection.studies("transfer", occ, digits, source=(spec, digits))


def test_transfer_and_its_source_go_together(spec: BenchmarkSpec, digits: Dataset) -> None:
    with pytest.raises(ConfigError, match="--transfer-from"):
        selection.studies("transfer", spec, digits)
    with pytest.raises(ConfigError, match="only it takes one, got 'nested'"):
        selection.studies("nested", spec, digits, source=(spec, digits))


def test_bad_arguments(spec: BenchmarkSpec, digits: Dataset) -> None:
    with pytest.raises(ConfigError, match="unknown selection rule 'nestd'; did you mean 'nested'"):
        selection.studies("nestd", spec, digits)
    with pytest.raises(ConfigError, match="inner must be at least 1, got 0"):
        selection.studies("nested", spec, digits, inner=0)
    with pytest.raises(ConfigError, match="no fold 12"):
        selection.studies("nested", spec, digits, [12])


def test_pool_is_a_read_only_copy(spec: BenchmarkSpec, digits: Dataset) -> None:
    (study,) = selection.studies("nested", spec, digits, [0])
    assert not np.shares_memory(study.data.pool, digits.train.X)
    with pytest.raises(ValueError, match="read-only"):
        study.data.pool[0] = 0


def zeros(X: NDArray[Any]) -> NDArray[np.float64]:
    return np.zeros(len(X))


def stages(**scores: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """A detector's scores by stage."""
    return lambda X: {stage: score(X) for stage, score in scores.items()}


def distance_to_mean(pool: NDArray[np.uint8], rows: NDArray[np.int64]):
    mean = as_float(pool[rows]).mean(axis=0)
    return lambda X: ((as_float(X) - mean) ** 2).reshape(len(X), -1).sum(axis=1)


@pytest.mark.parametrize("rule", [*HONEST, "oracle"])
def test_a_value_is_an_auroc_and_repeats(rule: str, spec: BenchmarkSpec, digits: Dataset) -> None:
    data = selection.studies(rule, spec, digits, [0])[0].data
    for task in data.tasks:
        score = distance_to_mean(data.pool, task.train)
        first = selection.values(task, stages(far=score, nothing=zeros), data.pool)
        assert 0 <= first["far"] <= 1 and first["nothing"] == 0.5
        assert selection.values(task, stages(far=score), data.pool) == {"far": first["far"]}


def test_the_value_of_proxies_is_their_mean(spec: BenchmarkSpec, digits: Dataset) -> None:
    data = selection.studies("proxy", spec, digits, [0])[0].data
    (task,) = data.tasks
    normal = set(hashes(data.pool[task.judged]))

    def knows_normals(X: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.array([h not in normal for h in hashes(X)], dtype=np.float32)

    assert task.proxies == selection.PROXIES
    score = stages(knows=knows_normals, nothing=zeros)
    values = selection.values(task, score, data.pool)
    assert values["knows"] > 0.98 and values["nothing"] == 0.5


def test_scores_that_are_not_finite_have_no_value(spec: BenchmarkSpec, digits: Dataset) -> None:
    data = selection.studies("nested", spec, digits, [0])[0].data
    with pytest.raises(DataError, match="scores must be finite"):
        selection.values(data.tasks[0], stages(bad=lambda X: np.full(len(X), np.nan)), data.pool)


@pytest.mark.parametrize("kind", selection.PROXIES)
@pytest.mark.parametrize("shape", [(8, 1, 8, 8), (8, 3, 33, 30)])
def test_pseudo_anomalies(kind: str, shape: tuple[int, ...]) -> None:
    X = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    before = X.copy()
    pseudo = selection.pseudo_anomalies(kind, X)
    assert np.array_equal(X, before)
    assert (pseudo.shape, pseudo.dtype) == (X.shape, X.dtype)
    assert np.array_equal(pseudo, selection.pseudo_anomalies(kind, X))
    assert all(not np.array_equal(a, b) for a, b in zip(pseudo, X, strict=True))


def test_patch_shuffle_keeps_the_pixels_and_half_swap_the_left_half() -> None:
    X = np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8), dtype=np.uint8)
    shuffled = selection.pseudo_anomalies("patch-shuffle", X)
    assert np.array_equal(np.sort(shuffled.reshape(8, -1)), np.sort(X.reshape(8, -1)))
    swapped = selection.pseudo_anomalies("half-swap", X)
    assert np.array_equal(swapped[..., :4], X[..., :4])
    assert {h.tobytes() for h in swapped[..., 4:]} == {h.tobytes() for h in X[..., 4:]}


def test_vectors_get_noise_only() -> None:
    spec = load_benchmark("ring-2d")
    (study,) = selection.studies("proxy", spec, protocols.load_data(spec))
    (task,) = study.data.tasks
    assert task.proxies == ("noise",)
    noisy = selection.pseudo_anomalies("noise", study.data.pool)
    assert noisy.dtype == np.float32
    assert np.abs(noisy).max() <= 1


def test_unknown_pseudo_anomaly() -> None:
    with pytest.raises(ConfigError, match="unknown pseudo-anomaly 'nois'; did you mean 'noise'"):
        selection.pseudo_anomalies("nois", np.zeros((1, 2), dtype=np.float32))


ALIKE = ["boundary", "noise"]
REFUSED_NEGATIVES: dict[str, Any] = {
    "a choice": {"choices": ALIKE},
    "a choice under a condition": {
        "choices": ["noise", "patch-shuffle"],
        "when": {"form": "pixel"},
    },
    "a value under a condition": {"value": "patch-shuffle", "when": {"form": "pixel"}},
}
ALLOWED_NEGATIVES: dict[str, Any] = {
    "a choice of other kinds": {"choices": ["boundary", "deformation", "early-generator"]},
    "one choice": {"choices": ["noise"]},
    "a value": "noise",
    "a value in a table": {"value": "noise"},
}


@pytest.mark.parametrize("entry", REFUSED_NEGATIVES)
def test_proxy_must_not_choose_negatives_like_its_pseudo_anomalies(entry: str) -> None:
    space = Space.from_dict(
        {"negatives": REFUSED_NEGATIVES[entry], "form": {"choices": ["pixel", "deformation"]}}
    )
    with pytest.raises(ConfigError, match=r"'proxy' must not choose negatives .*; leave them out"):
        selection.check_negatives("proxy", space.to_dict())
    for rule in set(selection.RULES) - {"proxy"}:
        selection.check_negatives(rule, space.to_dict())


@pytest.mark.parametrize("entry", ALLOWED_NEGATIVES)
def test_proxy_may_choose_among_other_negatives(entry: str) -> None:
    space = Space.from_dict({"negatives": ALLOWED_NEGATIVES[entry]})
    selection.check_negatives("proxy", space.to_dict())
    selection.check_negatives("proxy", {})


def test_negatives_like_pseudo_anomalies_are_known_by_the_names_of_both() -> None:
    kinds = detectors.parameters(detectors.load("omasgan"))["negatives"].choices
    assert set(selection.NEGATIVES_LIKE_PROXIES) <= set(kinds)
    assert set(selection.NEGATIVES_LIKE_PROXIES.values()) <= set(selection.PROXIES)
    # A kind of the same name would be alike.
    assert set(kinds) & set(selection.PROXIES) <= set(selection.NEGATIVES_LIKE_PROXIES)
