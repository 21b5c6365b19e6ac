"""Numbers that stand for a missing value, in the rows of a fleet."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import Fleet, LOCORegressor
from loco_stream.engine._source_reader import PairSource, SourceReader
from loco_stream.fleet._home import FleetHome
from loco_stream.fleet._partitions import PartitionOptions, _Partition
from loco_stream.fleet._runner import FleetRunner
from loco_stream.fleet._storage import open_storage
from loco_stream.stream import Block, Sample

NAMES = ("device", "a", "b")


def template():
    return LOCORegressor(hidden_sizes=(4,), seed=1)


def rows(fill, label):
    """Return rows of the devices 998 and 999, in which some cells and labels are missing."""
    X = np.random.default_rng(0).normal(size=(60, 3)).round(3)
    X[:, 0] = 998 + np.arange(60) % 2
    X[[7, 20, 33], 1] = fill
    y = [float(i % 5) for i in range(60)]
    y[8] = y[31] = label
    return X, y


def fleet_of(folder, events, **options):
    """Return what a fleet has learned from events, and its report."""
    with Fleet(template(), folder) as fleet:
        report = FleetRunner(fleet, SourceReader(PairSource(events)), "device", **options).run()
        keys = sorted(fleet.keys())
        return {key: fleet.state_sha256(key) for key in keys}, report


@pytest.mark.parametrize("in_blocks", [True, False])
def test_they_are_empty_cells_and_rows_without_a_label(tmp_path, in_blocks):
    def events(fill, label):
        X, y = rows(fill, label)
        if in_blocks:
            return [Block(X[i : i + 20], y[i : i + 20], NAMES, i) for i in (0, 20, 40)]
        named = [dict(zip(NAMES, row, strict=True)) for row in X.tolist()]
        return [Sample(x, y[i], i) for i, x in enumerate(named)]

    expected, _ = fleet_of(tmp_path / "empty", events(np.nan, None))
    options = {"missing_values": (-9999, 999)}
    found, report = fleet_of(tmp_path / "filled", events(-9999.0, 999.0), **options)
    assert found == expected
    assert list(found) == [998, 999]  # a key is never missing
    assert (report["n_fill_values"], report["n_pending"], report["n_samples"]) == (5, 2, 58)


def test_workers_replace_them_in_their_partitions(tmp_path):
    X, y = rows(-9999.0, 999.0)
    lines = [f"{int(device)},{a},{b},{y[i]}" for i, (device, a, b) in enumerate(X.tolist())]
    (tmp_path / "rows-0.csv").write_text("\n".join(["device,a,b,y", *lines, ""]))
    location = str(tmp_path / "fleet")
    FleetHome(open_storage(location), template(), 64, None, {"partitions": 1}, "none").close()
    url = f"csv:{tmp_path}/rows-{{partition}}.csv?target=y"
    partition = _Partition(
        location, 0, PartitionOptions(url, "device", 1, missing_values=(-9999, 999))
    )
    partition._thread.join()
    assert partition.error is None
    report = partition.report
    assert (report["n_fill_values"], report["n_keys"], report["n_samples"]) == (5, 2, 58)
