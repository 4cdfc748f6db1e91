"""Sensitivity studies: how much each param of a detector matters, measured around a base point.

``axes`` selects the values that each param takes, ``design`` combines them into settings, and
``training`` trains and tests the settings. ``omasgan.report.sensitivity`` makes the page.

A study trains on the benchmark's own folds and looks at its test samples, since its question is
how the AUROC moves. Its rows have the rule ``sensitivity``: they describe, and select nothing.
Params picked from them would be selected on the test anomalies, so no table of results shows
these rows.
"""
