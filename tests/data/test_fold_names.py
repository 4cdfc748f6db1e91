from __future__ import annotations

from typing import Any

import pytest

from omasgan.config import BenchmarkSpec
from omasgan.data.fold_names import name_of

DIGITS = tuple("0123456789")


@pytest.mark.parametrize(
    ("about", "class_names", "name"),
    [
        ({"dataset": "mnist"}, DIGITS, "digit 2"),
        ({"dataset": "mnist", "protocol": "one-vs-rest"}, DIGITS, "digit 2"),
        ({"dataset": "emnist-letters"}, ("a", "b", "c"), "letter c"),
        ({"dataset": "cifar10"}, ("airplane", "automobile", "bird"), "bird"),
        ({"dataset": "my/images"}, ("0", "1", "2"), "class 2"),
    ],
)
def test_a_fold_has_the_name_of_its_class(
    about: dict[str, Any], class_names: tuple[str, ...], name: str
) -> None:
    spec = BenchmarkSpec(**{"name": "b", "version": 1, "protocol": "leave-one-out", **about})
    assert name_of(spec, class_names, 2) == name


@pytest.mark.parametrize(("anomalies", "name"), [("kmnist", "kmnist"), ("./My odd/", "my-odd")])
def test_out_of_dataset_is_named_after_the_anomalies(anomalies: str, name: str) -> None:
    spec = BenchmarkSpec(
        name="b", version=1, protocol="out-of-dataset", dataset="mnist", anomalies=anomalies
    )
    assert name_of(spec, DIGITS, 0) == name
