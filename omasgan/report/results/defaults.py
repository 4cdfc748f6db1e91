"""The params of detectors at their defaults, as a store would have them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from omasgan.errors import OmasganError


def defaults(detector: str) -> Mapping[str, object]:
    """The params of a detector at its defaults; none if it cannot be loaded here."""
    from omasgan import detectors

    try:
        params = detectors.check_params(detectors.declared(detector), {})
    except OmasganError:
        return {}
    as_stored: dict[str, object] = json.loads(json.dumps(params))
    return as_stored
