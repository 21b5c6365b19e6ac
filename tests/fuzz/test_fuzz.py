"""Fuzz tests: damaged input raises a `LocoStreamError` and has no other effect.

Each test mutates the files of its corpus for a few seconds, with LOCO_SOAK=1 for twelve minutes. An
input that once caused a fault is kept as a file of the corpus.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import loco_stream
from loco_stream.connectors import CSVSource
from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.messages import read_row
from loco_stream.connectors.ls1.receiver import Receiver
from loco_stream.connectors.ls1.remote_source import RemoteSources
from loco_stream.engine import StreamEngine
from loco_stream.errors import CheckpointError, LocoStreamError, SourceError
from tests.helpers import foreign
from tests.helpers.server_harness import A, ServerHarness

SECONDS = 720.0 if os.environ.get("LOCO_SOAK") else 12.0
CORPUS = Path(__file__).parent / "corpus"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(int(2 * SECONDS) + 120)]


def mutated(contents):
    """Contents of a corpus, each with up to 6 replaced, removed or inserted pieces."""
    position = st.floats(0, 1, exclude_max=True)
    edit = st.tuples(position, st.integers(0, 8), st.binary(max_size=8))
    return st.builds(apply, st.sampled_from(contents), st.lists(edit, min_size=1, max_size=6))


def apply(content, edits):
    for position, n_removed, new in edits:
        start = int(position * len(content))
        content = content[:start] + new + content[start + n_removed :]
    return content


def fuzz(contents, attempt):
    """Try mutated contents until the time is over; print how many."""
    n_tried = 0
    deadline = time.monotonic() + SECONDS

    def counted(content):
        nonlocal n_tried
        n_tried += 1
        attempt(content)

    for round_ in range(1 << 30):
        if time.monotonic() > deadline:
            break
        options = settings(
            max_examples=200, database=None, deadline=None, suppress_health_check=list(HealthCheck)
        )
        seed(round_)(options(given(mutated(contents))(counted)))()
    print(f"{n_tried} inputs")
    assert n_tried > 100


def corpus(name):
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def test_ls1_messages():
    """Any frames, to both ends of the protocol; a valid source is served after each."""
    valid = [foreign.hello("good", 1), foreign.schema("good", ["g"], ["n"])]
    server = ServerHarness(window=1 << 20, limits=Limits(guest_names=1 << 20))
    receiver = Receiver(RemoteSources(Limits()))
    rows = iter(range(1, 1 << 30))

    def attempt(content):
        try:
            parts = msgspec.msgpack.decode(content)
        except (ValueError, msgspec.DecodeError, RecursionError, OverflowError):
            parts = [content[i::3] for i in range(3)]
        parts = parts if isinstance(parts, list) else [parts]
        parts = [
            part if isinstance(part, bytes) else str(part).encode("utf-8", "replace")
            for part in parts
        ]
        if len(parts) == 3 and len(parts[1]) == foreign.HEADER.size:  # with a valid checksum
            parts[1] = parts[1][:28] + foreign.zlib.crc32(parts[2]).to_bytes(4, "little")
        receiver.take(parts)
        server.session.take(A, parts)
        server(b"good", *valid)
        (event,), _ = server(b"good", foreign.rows("good", next(rows), [[1.0]], [0]))
        assert event.source == "good"
        server.commit()

    fuzz(corpus("ls1"), attempt)


def test_json_rows():
    def attempt(content):
        try:
            row = read_row(content)
        except SourceError:
            return
        assert row.x

    fuzz(corpus("rows"), attempt)


def test_csv_files(tmp_path):
    path = tmp_path / "rows.csv"

    def attempt(content):
        path.write_bytes(content)
        with suppress(LocoStreamError):
            for sample in CSVSource(path, "y"):
                assert isinstance(sample.x, dict)

    fuzz(corpus("csv"), attempt)


def with_checksum(content):
    """A mutated file with a valid checksum."""
    body = content[:-32]
    return body + hashlib.sha256(body).digest()


def test_model_files(tmp_path):
    path = tmp_path / "model.loco"
    model = loco_stream.LOCOClassifier(hidden_sizes=(4,), seed=0)
    for i in range(30):
        model.learn_one({"a": i % 3, "b": str(i % 2)}, i % 3)
    loco_stream.save(model, path)
    contents = [path.read_bytes()]

    def attempt(content):
        path.write_bytes(with_checksum(content))
        try:
            loaded = loco_stream.load(path)
        except CheckpointError:
            return
        with suppress(LocoStreamError):
            loaded.predict_one({"a": 1.0, "b": "0"})
            loaded.learn_one({"a": 1.0, "c": 2.0}, 1)

    fuzz(contents, attempt)


def test_checkpoints(tmp_path):
    state = tmp_path / "state"
    make = {"checkpoint": state, "task": "classification"}

    def source(n):
        return [({"a": float(i % 3)}, "xyz"[i % 3]) for i in range(n)]

    StreamEngine(loco_stream.LOCOClassifier(hidden_sizes=(4,), seed=0), source(40), **make).run()
    newest = max(state.glob("checkpoint-*.loco"))
    content = newest.read_bytes()
    for older in state.glob("checkpoint-*.loco"):
        older.unlink()

    def attempt(content):
        for path in state.glob("checkpoint-*.loco"):
            path.unlink()
        newest.write_bytes(with_checksum(content))
        fresh = loco_stream.LOCOClassifier(hidden_sizes=(4,), seed=0)
        with suppress(LocoStreamError):
            StreamEngine(fresh, source(45), resume=True, **make).run()

    fuzz([content], attempt)
