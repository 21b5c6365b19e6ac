"""`NPYSource`: blocks, labels, bad files, replay."""

from __future__ import annotations

import time

import numpy as np
import pytest

from loco_stream.connectors import NPYSource, open_source
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Block
from loco_stream.testing import check_source


def test_blocks(tmp_path):
    X = np.arange(30.0).reshape(10, 3)
    X[4, 1] = np.inf
    X[:, 2] = np.arange(10) % 2
    np.save(tmp_path / "r.npy", X)
    source = open_source(f"npy:{tmp_path}/r.npy?target=-1&block=4")
    blocks = list(source)
    assert [(b.seq, b.X.shape) for b in blocks] == [(0, (4, 2)), (4, (4, 2)), (8, (2, 2))]
    assert blocks[0].y == [0, 1, 0, 1]
    assert np.isnan(blocks[1].X[0, 1])
    assert blocks[0].features == ("0", "1")
    assert blocks[0].X.flags.writeable
    assert source.schema.task == "classification"
    assert source.position == {"row": 10}
    source.seek({"row": 6})
    assert [(b.seq, b.X[0, 0]) for b in source] == [(6, 18.0)]
    first = open_source(f"npy:{tmp_path}/r.npy?target=0")
    assert next(iter(first)).features == ("1", "2")


def test_numbers_that_float32_does_not_hold_are_missing(tmp_path):
    X = np.array([[1.0, 1e300], [2.0, 3.0]])
    X.view(np.int64)[1, 1] = 0x7FF0000000000001  # a signalling NaN, as in a damaged file
    np.save(tmp_path / "r.npy", X)
    (block,) = NPYSource(tmp_path / "r.npy")
    assert np.isnan(block.X).tolist() == [[False, True], [False, True]]


def test_archives_and_separate_labels(tmp_path):
    X = np.ones((4, 2), np.float32)
    np.savez(tmp_path / "r.npz", X=X, y=np.array(["a", "b", "a", "b"]))
    source = NPYSource(tmp_path / "r.npz")
    assert next(iter(source)).y == ["a", "b", "a", "b"]
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", np.array([0.5, np.nan, 2, 3]))
    source = open_source(f"npy:{tmp_path}/x.npy?labels={tmp_path}/y.npy")
    assert source.schema.task == "regression"
    assert next(iter(source)).y == [0.5, None, 2.0, 3.0]
    assert next(iter(NPYSource(tmp_path / "x.npy"))).y is None


def test_a_resumed_run_refuses_other_labels(tmp_path):
    rows = tmp_path / "x.npy"
    labels = tmp_path / "y.npy"
    np.save(rows, np.ones((6, 3)))
    np.save(labels, np.array(["a", "b", "a"] * 2))
    source = NPYSource(rows, labels=labels, block=4)
    next(iter(source))
    before = source.fingerprint
    np.save(labels, np.array(["a", "b", "a", "a", "a longer label", "b"]))
    NPYSource(rows, labels=labels).verify(before)
    NPYSource(rows).verify(before)
    np.save(labels, np.array(["a", "a", "b"] * 2))
    with pytest.raises(SourceError, match="its first 4 labels are different"):
        NPYSource(rows, labels=labels).verify(before)


@pytest.mark.parametrize(
    ("name", "text"), [("y", "label"), ("t", "time"), ("sequence", "sequence")]
)
def test_a_resumed_run_refuses_an_archive_with_another_array(tmp_path, name, text):
    path = tmp_path / "r.npz"
    arrays = {"X": np.ones((4, 2)), "y": np.arange(4), "t": np.arange(4), "sequence": np.arange(4)}
    np.savez(path, **arrays)
    source = NPYSource(path)
    next(iter(source))
    np.savez(path, **{**arrays, name: np.arange(4)[::-1]})
    with pytest.raises(SourceError, match=f"its first 4 {text}s are different"):
        NPYSource(path).verify(source.fingerprint)


def test_bad_files_are_refused(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(SourceError, match="must be an array of numbers"):
        NPYSource(tmp_path / "o.npy")
    np.save(tmp_path / "x.npy", np.ones((4, 2)))
    np.save(tmp_path / "y.npy", np.ones(3))
    np.savez(tmp_path / "z.npz", A=np.ones(3))
    np.save(tmp_path / "flat.npy", np.ones(3))
    for make, text in [
        (lambda: NPYSource(tmp_path / "none.npy"), "cannot read"),
        (
            lambda: NPYSource(tmp_path / "x.npy", labels=tmp_path / "none.npy"),
            r"cannot read .*none\.npy",
        ),
        (
            lambda: NPYSource(tmp_path / "x.npy", labels=tmp_path / "y.npy"),
            "one label for each of 4 rows, got the shape",
        ),
        (lambda: NPYSource(tmp_path / "x.npy", 2), "the label column .* got 2"),
        (
            lambda: NPYSource(tmp_path / "z.npz"),
            "must have an array X, and y for labels, got other names only",
        ),
        (lambda: NPYSource(tmp_path / "flat.npy"), r"shape \(n_rows, n_columns\)"),
    ]:
        with pytest.raises(SourceError, match=text):
            make()
    with pytest.raises(ConfigError, match="`block` must be at least 1"):
        NPYSource(tmp_path / "x.npy", block=0)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:100])
    with pytest.raises(SourceError):
        NPYSource(tmp_path / "cut.npy")


def test_a_rate_yields_single_rows(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    begin = time.monotonic()
    events = list(NPYSource(tmp_path / "x.npy", 1, rate=10))
    assert time.monotonic() - begin >= 0.2
    assert [len(e.X) for e in events if e] == [1, 1, 1]


def test_the_lifecycle_of_an_array(tmp_path):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(300, 4)))
    check_source(lambda: open_source(f"npy:{tmp_path}/rows.npy?target=-1"), n_rows=300)


def test_a_number_beyond_float32_is_masked_without_a_warning(tmp_path):
    np.save(tmp_path / "rows.npy", np.array([[1e300, 1.0], [-1e200, 2.0]]))
    (block,) = [
        event
        for events in NPYSource(tmp_path / "rows.npy")
        for event in ([events] if isinstance(events, Block) else events)
    ]
    assert np.isnan(block.X[:, 0]).all()
    assert block.X[:, 1].tolist() == [1.0, 2.0]
