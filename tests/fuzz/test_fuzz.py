"""Damaged input of every kind.

What is refused is refused by one of our errors, and nothing else happens.

Each target changes the files of its corpus for a few seconds, with LOCO_SOAK=1 for twelve minutes.
An input that once did harm is put into the corpus as a file of its own.
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
from loco_stream.connectors.ls1.remote_source import Streams
from loco_stream.engine import StreamEngine
from loco_stream.errors import CheckpointError, LocoStreamError, SourceError
from tests.helpers import foreign
from tests.helpers.session_table import A, Table

SECONDS = 720.0 if os.environ.get("LOCO_SOAK") else 12.0
CORPUS = Path(__file__).parent / "corpus"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(int(2 * SECONDS) + 120)]


def changed(contents):
    """Contents of a corpus, each with a few places overwritten, cut out, doubled or put in."""
    place = st.floats(0, 1, exclude_max=True)
    edit = st.tuples(place, st.integers(0, 8), st.binary(max_size=8))
    return st.builds(apply, st.sampled_from(contents), st.lists(edit, min_size=1, max_size=6))


def apply(content, edits):
    for place, gone, new in edits:
        at = int(place * len(content))
        content = content[:at] + new + content[at + gone :]
    return content


def hunt(contents, attempt):
    """Try changed contents until the time is over; print how many."""
    tried = 0
    until = time.monotonic() + SECONDS

    def counted(content):
        nonlocal tried
        tried += 1
        attempt(content)

    for round_ in range(1 << 30):
        if time.monotonic() > until:
            break
        quiet = settings(
            max_examples=200, database=None, deadline=None, suppress_health_check=list(HealthCheck)
        )
        seed(round_)(quiet(given(changed(contents))(counted)))()
    print(f"{tried} inputs")
    assert tried > 100


def corpus(name):
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def test_ls1_messages():
    """Any frames, to both ends of the protocol; an honest source is served after each."""
    honest = [foreign.hello("good", 1), foreign.schema("good", ["g"], ["n"])]
    table = Table(credit=1 << 20, limits=Limits(guest_names=1 << 20))
    receiver = Receiver(Streams(Limits()))
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
        if len(parts) == 3 and len(parts[1]) == foreign.HEADER.size:  # past the checksum
            parts[1] = parts[1][:28] + foreign.zlib.crc32(parts[2]).to_bytes(4, "little")
        receiver.take(parts)
        table.session.take(A, parts)
        table(b"good", *honest)
        (event,), _ = table(b"good", foreign.rows("good", next(rows), [[1.0]], [0]))
        assert event.source == "good"
        table.commit()

    hunt(corpus("ls1"), attempt)


def test_readable_rows():
    def attempt(content):
        try:
            row = read_row(content)
        except SourceError:
            return
        assert row.x

    hunt(corpus("rows"), attempt)


def test_csv_files(tmp_path):
    path = tmp_path / "rows.csv"

    def attempt(content):
        path.write_bytes(content)
        with suppress(LocoStreamError):
            for sample in CSVSource(path, "y"):
                assert isinstance(sample.x, dict)

    hunt(corpus("csv"), attempt)


def sealed(content):
    """A changed file with the right checksum."""
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
        path.write_bytes(sealed(content))
        try:
            loaded = loco_stream.load(path)
        except CheckpointError:
            return
        with suppress(LocoStreamError):
            loaded.predict_one({"a": 1.0, "b": "0"})
            loaded.learn_one({"a": 1.0, "c": 2.0}, 1)

    hunt(contents, attempt)


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
        newest.write_bytes(sealed(content))
        fresh = loco_stream.LOCOClassifier(hidden_sizes=(4,), seed=0)
        with suppress(LocoStreamError):
            StreamEngine(fresh, source(45), resume=True, **make).run()

    hunt([content], attempt)
