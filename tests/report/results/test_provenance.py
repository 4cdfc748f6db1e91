from __future__ import annotations

from omasgan.report.results import provenance
from omasgan.report.results.runs import runs
from tests.report.results.rows import row


def test_runs_that_are_alike_need_no_note() -> None:
    frame = runs([row(0, 0, 0.6), row(1, 0, 0.6), row(0, 0, 0.7, "vae", device="cuda")])
    assert list(provenance.notes(frame)) == []


def test_an_entry_of_several_devices_or_versions_is_noted_with_its_counts() -> None:
    rows = [row(fold, 0, 0.6, device="cuda:0") for fold in range(2)]
    rows += [row(2, 0, 0.6), row(0, 0, 0.7, "vae"), row(1, 0, 0.7, "vae", code_version="0.2.0")]
    devices, versions = provenance.notes(runs(rows))
    assert "knn · fixed · cpu+cuda mixes kinds of device: cpu (1 run), cuda (2 runs)." in devices
    assert "vae · fixed mixes code versions: 0.1.0 (1 run), 0.2.0 (1 run)." in versions
