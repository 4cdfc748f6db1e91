"""Search, train and compare GAN-based anomaly detectors without fooling yourself."""

__version__ = "0.1.0"
