"""Search, train and compare GAN-based anomaly detectors without fooling yourself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["OMASGAN", "__version__"]
__version__ = "0.1.0"

if TYPE_CHECKING:
    from omasgan.detectors.omasgan import OMASGAN
else:

    def __getattr__(name: str) -> Any:
        """Import ``OMASGAN`` when it is asked for: ``--help`` need not wait for torch."""
        if name == "OMASGAN":
            from omasgan.detectors.omasgan import OMASGAN

            return OMASGAN
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
