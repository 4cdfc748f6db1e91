"""The page of a suite of the paper: our numbers beside the printed ones, and the paper's figures.

``content`` is the page and its tables, ``captions`` what every caption says. ``numbers`` computes
means and pairs them with printed numbers; ``trained`` asks saved detectors. For each drawing of a
suite ``drawings`` names the function that turns it into blocks: in ``auroc_blocks`` those of
AUROCs, in ``trained_blocks`` those of samples, losses and thresholds; ``request`` is what they
share. ``figures`` draws.
"""
