from __future__ import annotations

import hashlib
import os
import struct
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from loco_stream import LOCOClassifier, save
from loco_stream._persistence import format as persist
from loco_stream._persistence.migrations import VERSION
from loco_stream.errors import CheckpointError

KEYS = st.one_of(
    st.text(max_size=5),
    st.integers(-(2**63), 2**64 - 1),
    st.tuples(st.text(max_size=3), st.booleans()),
)
PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=5),
        st.binary(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=12,
)
ARRAYS = st.dictionaries(
    st.text("abc/", min_size=1, max_size=4),
    hnp.arrays(
        st.sampled_from(["f4", "f8", "i4", "u8", "?", ">i2"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    max_size=3,
)


def same(a, b):
    """Equal in value and type, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("persist")


@given(config=st.dictionaries(st.text(max_size=5), PLAIN, max_size=4), arrays=ARRAYS)
@settings(max_examples=100, deadline=None)
def test_read_returns_the_written_content(folder, config, arrays):
    path = folder / "a.loco"
    persist.write(path, "kind", config, arrays)
    saved = persist.read(path)
    assert saved.kind == "kind"
    assert same(saved.config, config)
    assert saved.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(saved.arrays[name], array)
        assert saved.arrays[name].shape == array.shape
        assert saved.arrays[name].dtype == array.dtype.newbyteorder("<")
        assert saved.arrays[name].flags.writeable


def test_equal_content_gives_equal_bytes_and_digest(tmp_path):
    arrays = {"b": np.arange(3.0), "a": np.arange(4, dtype=np.int32)}
    persist.write(tmp_path / "1", "k", {"x": (1, 2)}, arrays)
    persist.write(tmp_path / "2", "k", {"x": (1, 2)}, dict(reversed(arrays.items())))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert persist.digest("k", {"x": (1, 2)}, arrays) != persist.digest("k", {"x": (1, 3)}, arrays)


def test_numpy_scalars_are_stored_as_python_numbers(tmp_path):
    persist.write(
        tmp_path / "a",
        "k",
        {"n": np.int64(3), "b": np.bool_(True), "d": {np.str_("u"): np.float32(0.5)}},
        {},
    )
    assert same(persist.read(tmp_path / "a").config, {"n": 3, "b": True, "d": {"u": 0.5}})


def test_what_cannot_be_stored_is_named(tmp_path):
    model = LOCOClassifier(hidden_sizes=4)
    model.learn_one({"a": 1.0}, "on")
    model.learn_one({"a": 1.0}, date(2026, 1, 2))
    with pytest.raises(CheckpointError, match=r"cannot store `classes\[1\]`: .* of type date"):
        save(model, tmp_path / "m.loco")
    with pytest.raises(CheckpointError, match=r"cannot store `rows\[1\].name`: .*surrogates"):
        persist.encode_plain({"rows": (1, {"name": "\ud800"})})
    with pytest.raises(CheckpointError, match="cannot store this value"):
        persist.encode_plain(1j)


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j, {frozenset(): 1}])
def test_values_that_are_not_plain_are_refused_and_the_old_file_stays(tmp_path, value):
    path = tmp_path / "a"
    persist.write(path, "k", {"x": 1}, {})
    with pytest.raises(CheckpointError, match=r"must be a text, a number, .*, got .* of type"):
        persist.write(path, "k", {"x": value}, {})
    assert persist.read(path).config == {"x": 1}


def test_an_object_array_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"array 'a' must hold .*, got dtype object"):
        persist.write(tmp_path / "a", "k", {}, {"a": np.array([None])})


def test_every_flipped_bit_and_every_truncation_is_detected(tmp_path):
    path = tmp_path / "a"
    persist.write(path, "k", {"x": 1}, {"w": np.arange(5.0)})
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(
            good[:position] + bytes([good[position] ^ 1 << (position % 8)]) + good[position + 1 :]
        )
        with pytest.raises(CheckpointError, match=r"damaged|not a loco-stream file"):
            persist.read(path)
        path.write_bytes(good[:position])
        with pytest.raises(CheckpointError):
            persist.read(path)


def forged(header: bytes, data: bytes = b"", version: int = VERSION) -> bytes:
    content = struct.pack("<8sHHI", b"LOCOFILE", version, 0, len(header)) + header + data
    return content + hashlib.sha256(content).digest()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (forged(b"", version=VERSION + 1), f"format version {VERSION + 1}"),
        (forged(b"\xc1"), "unreadable"),
        (forged(persist.encode_plain({"kind": "k"})), "damaged"),
        (
            forged(
                persist.encode_plain({"kind": "k", "config": {}, "arrays": [["a", "|O", [1]]]}),
                b"\0" * 8,
            ),
            "must hold booleans",
        ),
        (
            forged(
                persist.encode_plain({"kind": "k", "config": {}, "arrays": [["a", "<f8", [9]]]})
            ),
            "damaged",
        ),
        (
            forged(
                persist.encode_plain({"kind": "k", "config": {}, "arrays": [["a", "<f8", [-1]]]})
            ),
            "damaged",
        ),
        (
            forged(
                persist.encode_plain(
                    {"kind": "k", "config": {}, "arrays": [["a", "<f8", [2**32, 2**32]]]}
                )
            ),
            "must have .* bytes",
        ),
        (
            forged(
                persist.encode_plain({"kind": "k", "config": {}, "arrays": [["a", "<f8", [2**70]]]})
            ),
            "shape",
        ),
        (
            forged(persist.encode_plain({"kind": "k", "config": {}, "arrays": [["a", "(2", [1]]]})),
            "must hold booleans",
        ),
        (
            forged(persist.encode_plain({"kind": "k", "config": {}, "arrays": [["a", None, [1]]]})),
            "must hold booleans",
        ),
        (
            forged(
                persist.encode_plain({"kind": "k", "config": {}, "arrays": [[["a"], "<f8", [0]]]})
            ),
            "damaged",
        ),
        (
            forged(persist.encode_plain({"kind": "k", "config": [], "arrays": []})),
            "must hold a kind",
        ),
        (forged(b"\xdd\xff\xff\xff\xff"), "unreadable"),
        (
            forged(persist.encode_plain({"kind": "k", "config": {}, "arrays": []}), b"more"),
            "bytes more",
        ),
    ],
)
def test_forged_content_with_a_valid_checksum_is_refused(tmp_path, content, message):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        persist.read(tmp_path / "a")


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_header_crashes_the_reader(folder, header):
    path = folder / "fuzz"
    path.write_bytes(forged(header))
    with pytest.raises(CheckpointError):
        persist.read(path)


def test_errors_name_the_missing_file_or_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot read .*nowhere"):
        persist.read(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"cannot write .*nowhere"):
        persist.write(tmp_path / "nowhere" / "a", "k", {}, {})


def test_a_failed_write_leaves_the_old_file_and_no_temporary_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    persist.write(path, "k", {"x": 1}, {})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        persist.write(path, "k", {"x": 2}, {})
    assert persist.read(path).config == {"x": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
