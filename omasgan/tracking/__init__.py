"""MLflow as a view of a store: whatever it shows is mirrored from disk, and can be sent again.

An experiment is a benchmark. A sweep is an MLflow run with its studies, trials and winners as
children, a comparison is one with its entries as children; params that were run without a search,
and belong to no comparison, are an MLflow run of their own. Each carries its key in the store
(``omasgan.key``) and the store's own id, so that mirroring twice finds the same MLflow run, and
every point has a time that follows from the store, so that MLflow keeps it once.

``tracker.py`` decides what is mirrored when, ``mirror.py``, ``sweeps.py``, ``comparison.py`` and
``pages.py`` what it becomes in MLflow, ``names.py`` what metrics are called; ``views.py`` saves
tables that answer at once. Only ``client.py`` imports mlflow.
"""
