"""MLflow as a view of a store: whatever it shows is mirrored from disk, and can be sent again.

An experiment is a benchmark. A study is an MLflow run with its trials and its winner as children,
a comparison is one with its entries as children; params that were run without a search, and belong
to no comparison, are an MLflow run of their own. Each carries its key in the store
(``omasgan.key``) and the store's own id, so that mirroring twice finds the same MLflow run, and
every point has a time that follows from the store, so that MLflow keeps it once.

``tracker.py`` decides what is mirrored when, ``mirror.py`` and ``comparison.py`` what it becomes
in MLflow. Only ``client.py`` imports mlflow.
"""
