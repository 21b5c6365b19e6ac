"""Streams of extreme kinds: rows without labels, classes, names, keys, and receivers that are away.

Memory and time stay within stated bounds. LOCO_SOAK=1 runs the full counts.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from loco_stream import Fleet, LOCOClassifier, StreamEngine
from loco_stream.connectors import open_sink
from loco_stream.engine._admission import NameBounds
from loco_stream.engine._source_reader import PairSource, SourceReader
from loco_stream.fleet._limits import KeyLimits
from loco_stream.fleet._runner import FleetRunner
from loco_stream.stream import Block, Sample
from tests.helpers.engine_process import SOAK

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200 if SOAK else 600),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc"),
]


def megabytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def small(**options):
    return LOCOClassifier(hidden_sizes=(8,), seed=1, **options)


N_UNLABELLED = 1_000_000 if SOAK else 50_000


def test_rows_without_labels_leave_memory_and_disk_flat(tmp_path):
    block = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
    memory = []

    def blocks():
        for start in range(0, N_UNLABELLED, 1000):
            memory.append(megabytes())
            yield Block(block, None, ("a", "b", "c", "d"), start, source="s")

    begin = cpu_seconds()
    engine = StreamEngine(
        small(), PairSource(blocks()), checkpoint=tmp_path, task="classification", strict=False
    )
    report = engine.run()
    disk = sum(path.stat().st_size for path in tmp_path.iterdir()) / 1e6
    print(
        f"{N_UNLABELLED:,} rows without a label: {memory[10]:.0f} to {max(memory[10:]):.0f} MB, "
        f"{disk:.1f} MB on disk, {cpu_seconds() - begin:.0f} CPU s"
    )
    assert (report["n_rows"], report["n_samples"]) == (N_UNLABELLED, 0)
    assert max(memory[-10:]) < memory[10] + 60
    assert disk < 60


N_CLASSES = 10_000 if SOAK else 1500


def test_a_class_per_row_is_bounded_by_the_limit(tmp_path):
    rows = [({"a": float(i % 7)}, f"class {i}") for i in range(N_CLASSES)]
    begin = cpu_seconds()
    before = megabytes()
    engine = StreamEngine(
        small(), rows, bounds=NameBounds(classes=1024), task="classification", strict=False
    )
    report = engine.run()
    known = len(engine.model.classes)
    print(
        f"{N_CLASSES:,} classes: {known} learned, {report['n_rejected']:,} rows refused, "
        f"{megabytes() - before:.0f} MB more, {cpu_seconds() - begin:.0f} CPU s"
    )
    assert known == 1024
    assert report["n_rejected"] == N_CLASSES - 1024
    assert megabytes() - before < 500


N_NAMES = 5000 if SOAK else 500


def test_a_new_feature_per_row_is_bounded_by_the_limit():
    rows = [({f"name {i}": 1.0, "a": float(i % 7)}, "ab"[i % 2]) for i in range(N_NAMES)]
    begin = cpu_seconds()
    before = megabytes()
    engine = StreamEngine(
        small(), rows, bounds=NameBounds(features=256), task="classification", strict=False
    )
    report = engine.run()
    print(
        f"{N_NAMES:,} names: {report['n_rejected']:,} rows refused, "
        f"{megabytes() - before:.0f} MB more, {cpu_seconds() - begin:.0f} CPU s"
    )
    assert report["n_rejected"] == N_NAMES - 255
    assert megabytes() - before < 500


N_KEYS = 200_000 if SOAK else 5000


KNOWN = (8, 64, 256, 1024, 4096) if SOAK else (8, 64)
BLOCKS = 15  # of 20 rows, whose median is taken


def milliseconds_per_row(model, n_held):
    """Return the CPU time of learning a row that holds the first features of a model."""
    rng = np.random.default_rng(1)
    rows = [
        {f"x{f}": v for f, v in enumerate(row)} for row in rng.normal(size=(20, n_held)).tolist()
    ]
    taken = []
    for _ in range(BLOCKS):
        begin = time.process_time()
        for i, x in enumerate(rows):
            model.learn_one(x, i % 4)
        taken.append(50.0 * (time.process_time() - begin))
    return float(np.median(taken))


def model_that_knows(n_known, n_first, **options):
    """Return a model whose rows held so many features at first.

    Further names came eight by eight.
    """
    rng = np.random.default_rng(0)
    model = LOCOClassifier(seed=1, **options)
    for i in range(60):
        row = rng.normal(size=n_first).tolist()
        model.learn_one({f"x{f}": value for f, value in enumerate(row)}, i % 4)
    for first in range(n_first, n_known, 8):
        for i in range(2):
            names = range(first, min(first + 8, n_known))
            model.learn_one({f"x{f}": float(rng.normal()) for f in names}, i)
    return model


@pytest.mark.parametrize("options", [{"hidden_sizes": 8, "rule": "frozen"}, {}], ids=str)
def test_what_a_row_costs_where_more_features_are_known(options):
    """Time is printed, and memory bounded: projectors do not grow with the square of the names."""
    for held in ("8", "all"):
        for n in KNOWN[: None if held == "8" else 4]:
            n_held = 8 if held == "8" else n
            model = model_that_knows(n, n_held, **options)
            cost = milliseconds_per_row(model, n_held)
            arrays = model.export_state()[1]
            size = sum(array.nbytes for array in arrays.values()) / 1e6
            print(f"{n_held:,} of {n:,}: {cost:.3f} ms, {size:.1f} MB of arrays {options or ''}")
            blocks = arrays["experts.least_squares.blocks"]
            assert blocks.shape[1:] == (
                max(len(arrays["statistics.mean"]) - 256, 0) * (n_held == 8),
                64,
            )
    assert len(model.export_state()[1]["statistics.mean"]) == n


def test_invented_keys_are_dropped_beyond_the_limit(tmp_path):
    rows = (Sample({"key": f"invented {i}", "a": 1.0}, "ab"[i % 2], i) for i in range(N_KEYS))
    begin = cpu_seconds()
    before = megabytes()
    with Fleet(small(), tmp_path, key_groups=4) as fleet:
        source = SourceReader(PairSource(rows))
        report = FleetRunner(fleet, source, "key", limits=KeyLimits(1000)).run()
        known = len(fleet.keys())
    print(
        f"{N_KEYS:,} invented keys: {known} with a model, {report['n_over_keys']:,} rows dropped, "
        f"{megabytes() - before:.0f} MB more, {cpu_seconds() - begin:.0f} CPU s"
    )
    assert known == 1000
    assert report["n_over_keys"] == N_KEYS - 1000
    assert megabytes() - before < 500


SECONDS = 600.0 if SOAK else 8.0  # an hour of a stream at 1/6 of the time


def test_receivers_that_are_away_cost_no_row_and_bounded_memory(tmp_path):
    with socket.socket() as silent:  # takes connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        here = f"127.0.0.1:{silent.getsockname()[1]}"
        urls = [
            f"{scheme}://{where}/out?timeout=1&linger=0"
            for scheme in ("http", "redis", "kafka", "mqtt", "influx")
            for where in (here, "127.0.0.1:9")
        ]
        sinks = [open_sink(url) for url in urls]
        until = time.monotonic() + SECONDS
        n = 0
        memory = []

        def rows():
            nonlocal n
            while time.monotonic() < until:
                n += 1
                if n % 500 == 0:
                    memory.append(megabytes())
                    time.sleep(0.05)
                yield {"a": float(n % 7), "b": float(n % 5)}, "ab"[n % 2]

        report = StreamEngine(small(), rows(), sinks=sinks, strict=False).run()
    settled = memory[len(memory) // 4 :]
    dropped = sum(sink.stats["dropped"] for sink in sinks)
    print(
        f"{len(urls)} receivers away for {SECONDS:.0f} s: {n:,} rows learned, {dropped:,} records "
        f"dropped, {settled[0]:.0f} to {max(settled):.0f} MB"
    )
    assert report["n_samples"] == n
    assert dropped > 0 or not SOAK  # a short run fits into the queues
    assert max(settled) < settled[0] + 100
