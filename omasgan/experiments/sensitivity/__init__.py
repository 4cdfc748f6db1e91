"""Which params matter: studies around a base point, and what finished sweeps tell.

A study trains on the benchmark's own folds and looks at its test samples, for that is what "how
does the AUROC move" asks. Its rows carry the rule ``sensitivity``: they describe, and choose
nothing. Params picked from them would be chosen on the test anomalies, so no table of results
shows these rows. What a finished sweep tells comes from its trials' objectives, which no test
anomaly has touched (save under the rule ``oracle``).
"""
