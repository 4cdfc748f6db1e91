from __future__ import annotations

import pytest

from omasgan import __version__
from omasgan.errors import ConfigError
from omasgan.training.environment import code_version, device_class, resolve_device


def test_devices() -> None:
    assert device_class(resolve_device("auto")) in ("cpu", "cuda")
    with pytest.raises(ConfigError, match="device 'nonsense' cannot be used"):
        resolve_device("nonsense")


def test_the_code_version_starts_with_the_packages() -> None:
    assert code_version().startswith(__version__)
