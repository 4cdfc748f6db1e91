"""A detector with networks that goes wrong as ``toy``'s do."""

from __future__ import annotations

from typing import Any

from omasgan.detectors.vae import VAE
from tests.toy import BAD_LR


class HungryDetector(VAE):
    """Runs out of memory at a bad rate, later than a probe of a few steps sees."""

    def _step(self, phase: str, normals: Any) -> dict[str, Any]:
        self.steps_ = getattr(self, "steps_", 0) + 1
        if self.lr > BAD_LR and self.steps_ > 30:
            raise MemoryError(f"no memory left at lr {self.lr}")
        return super()._step(phase, normals)
