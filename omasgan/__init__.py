"""Search, train and compare GAN-based anomaly detectors without fooling yourself."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

DETECTORS = {
    "ADAE": "adae",
    "AED": "aed",
    "AnoGAN": "anogan",
    "BDSG": "bdsg",
    "ConAD": "conad",
    "DeepSAD": "deep-sad",
    "DeepSVDD": "deep-svdd",
    "EGBAD": "egbad",
    "FenceGAN": "fencegan",
    "GANomaly": "ganomaly",
    "GMM": "gmm",
    "IsolationForest": "isolation-forest",
    "KNN": "knn",
    "LOF": "lof",
    "MinLGAN": "minlgan",
    "NAE": "nae",
    "OCSVM": "ocsvm",
    "OGNet": "ognet",
    "OMASGAN": "omasgan",
    "PCA": "pca",
    "RaPP": "rapp",
    "RandomForest": "random-forest",
    "TailGAN": "tailgan",
    "VAE": "vae",
    "WGAN": "wgan",
}
"""The detectors by the names of their classes; each is imported when it is asked for."""

OTHERS = ("OutlierAdapter", "load", "save")
"""What else a user of detectors needs."""

__all__ = ["__version__", *DETECTORS, *OTHERS]


def __getattr__(name: str) -> Any:
    """Import a class when it is asked for: ``--help`` need not wait for torch."""
    if name in DETECTORS:
        from omasgan import detectors

        return detectors.load(DETECTORS[name])
    if name == "OutlierAdapter":
        from omasgan.detectors.adapter import OutlierAdapter

        return OutlierAdapter
    if name in ("load", "save"):
        from omasgan.store import in_python

        return getattr(in_python, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *DETECTORS, *OTHERS])
