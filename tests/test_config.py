"""TOML to specs: what is accepted, what is refused and how, identities."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omasgan import config
from omasgan.data import datasets, shifts
from omasgan.errors import ConfigError

VALID = {"name": "toy", "version": 1, "protocol": "leave-one-out", "dataset": "digits"}


def write(folder: Path, **changes: object) -> str:
    """A benchmark TOML with these keys changed; None leaves one out."""
    keys = {key: value for key, value in {**VALID, **changes}.items() if value is not None}
    text = "".join(f"{key} = {value!r}\n" for key, value in keys.items())
    path = folder / "toy.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", config.benchmark_names())
def test_shipped_benchmarks(name: str) -> None:
    spec = config.load_benchmark(name)
    assert spec.name == name
    labelled = "" if spec.labelled is None else f"-labelled{spec.labelled}"
    assert spec.id == f"{name}-v{spec.version}{labelled}"
    assert spec.description.endswith(".")
    assert spec.dataset in datasets.names()
    assert spec.anomalies is None or spec.anomalies in (*datasets.names(), *shifts.SETS)


def test_shipped_benchmarks_are_the_promised_ones() -> None:
    loo = {f"{name}-loo" for name in ("digits", "mnist", "fashion-mnist", "cifar10")}
    versus = {f"mnist-vs-{name}" for name in ("fashion-mnist", "kmnist", "emnist-letters")}
    plane = {f"{name}-2d" for name in ("gaussian", "two-gaussians", "ring", "student-t")}
    promised = loo | versus | plane | {"digits-occ", "mnist-occ", "cifar10-vs-svhn"}
    assert promised <= set(config.benchmark_names())


def test_caps_are_part_of_the_identity() -> None:
    whole = config.load_benchmark("digits-loo")
    capped = config.load_benchmark("digits-loo", max_folds=2, max_train=500, max_test=200)
    assert capped.id == "digits-loo-v1-f2-train500-test200"
    assert config.difference(whole.identity(), capped.identity()) == (
        "max_folds: null -> 2; max_test: null -> 200; max_train: null -> 500"
    )


def test_description_is_not_part_of_the_identity(tmp_path: Path) -> None:
    before = config.load_benchmark(write(tmp_path)).identity()
    assert config.load_benchmark(write(tmp_path, description="x")).identity() == before
    assert config.load_benchmark(write(tmp_path, split_seed=1)).identity() != before


def test_labels_make_a_benchmark_of_another_name() -> None:
    few, fewer = (config.load_benchmark("digits-few-labels", labelled=n) for n in (None, 0))
    assert (few.id, few.labelled) == ("digits-few-labels-v1-labelled10", 10)
    assert (fewer.id, fewer.labelled) == ("digits-few-labels-v1-labelled0", 0)
    assert config.difference(few.identity(), fewer.identity()) == "labelled: 10 -> 0"
    assert "labelled" not in config.load_benchmark("digits-loo").identity()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datset": "digits"}, "unknown key 'datset'; did you mean 'dataset'"),
        ({"version": None}, "version: Field required"),
        ({"version": 0}, "version: .*greater than or equal to 1, got 0"),
        ({"protocol": "loo"}, "protocol: .*'leave-one-out', .*got 'loo'"),
        ({"name": "a/b"}, "name: .*got 'a/b'"),
        ({"validation_fraction": 1.0}, "validation_fraction: .*less than 1, got 1.0"),
        ({"seeds": []}, "seeds: .*at least 1 item"),
        ({"seeds": [0, 0]}, "seeds must differ"),
        ({"seeds": [1_000_000]}, r"seeds.0: .*less than 1000000"),
        ({"metrics": ["auc"]}, r"metrics.0: .*'auroc'.*got 'auc'"),
        ({"anomalies": "svhn"}, "anomalies must be given with protocol 'out-of-dataset'"),
        ({"protocol": "out-of-dataset"}, "anomalies must be given"),
        (
            {"protocol": "out-of-dataset", "anomalies": "digits"},
            "anomalies must be another data set",
        ),
        ({"max_train": 0}, "max_train: .*got 0"),
        ({"labelled": 5}, "labelled must be given with protocol 'semi-supervised'"),
        ({"protocol": "semi-supervised"}, "labelled must be given"),
        ({"protocol": "semi-supervised", "labelled": -1}, "labelled: .*got -1"),
    ],
)
def test_bad_benchmark_is_one_line(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(ConfigError, match=f"{path}: {message}") as caught:
        config.load_benchmark(path)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="abcdefghij_", min_size=1))
def test_unknown_keys_are_always_refused(key: str) -> None:
    if key not in config.BenchmarkSpec.model_fields:
        with pytest.raises(ValueError, match="Extra inputs are not permitted"):
            config.BenchmarkSpec.model_validate({**VALID, key: 1})


def test_specs_are_frozen() -> None:
    spec = config.load_benchmark("digits-loo")
    with pytest.raises(ValueError, match="frozen"):
        spec.version = 2


def test_bad_caps_from_the_command_line() -> None:
    with pytest.raises(ConfigError, match=r"max_folds: .*greater than or equal to 1, got 0"):
        config.load_benchmark("digits-loo", max_folds=0)


def test_a_folder_with_a_shipped_name_hides_no_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits-loo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert config.load_benchmark("digits-loo").dataset == "digits"
    for own in ("./digits-loo", "digits-loo/", str(tmp_path / "digits-loo")):
        assert config.load_benchmark(own).dataset != "digits", own


def test_unknown_names_give_the_closest() -> None:
    with pytest.raises(ConfigError, match="unknown benchmark 'digit-loo'; did you mean 'digits-"):
        config.load_benchmark("digit-loo")
    with pytest.raises(ConfigError, match="unknown search space 'nothing'"):
        config.resource("search_spaces", "nothing")


def test_bad_toml_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('name = "x"\nversion = = 1\n')
    with pytest.raises(ConfigError, match=f"{path}: not valid TOML: .*line 2"):
        config.load_toml(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.load_toml(path)


def test_unreadable_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml: cannot be read: No such file"):
        config.load_benchmark(str(tmp_path / "no.toml"))
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        config.load_toml(tmp_path)


def test_load_params(tmp_path: Path) -> None:
    path = tmp_path / "params.toml"
    path.write_text("mu = 0.2\n")
    assert config.load_params(path) == {"mu": 0.2}
    path.write_text('origin = "paper"\n[params]\nmu = 0.3\n')
    assert config.load_params(path) == {"mu": 0.3}
    path.write_text("params = 1\n")
    with pytest.raises(ConfigError, match="params must be a table, got 1"):
        config.load_params(path)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
TABLES = st.dictionaries(st.text("abc", min_size=1, max_size=3), TREES, max_size=4)


@given(TABLES, TABLES)
def test_digest_and_difference_agree(old: dict[str, object], new: dict[str, object]) -> None:
    assert config.difference(old, old) == ""
    if config.difference(old, new):
        assert config.digest(old) != config.digest(new)
    else:
        assert config.digest(old) == config.digest(new)


@given(TABLES)
def test_order_of_keys_does_not_matter(table: dict[str, object]) -> None:
    turned = dict(reversed(table.items()))
    assert config.digest(turned) == config.digest(table)
    assert config.difference(table, turned) == ""
