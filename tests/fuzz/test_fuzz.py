"""Fuzz tests: damaged input raises a `LocoStreamError` and has no other effect.

Each test mutates the files of its corpus for a few seconds. LOCO_SOAK=1 tries 100,000 mutants, and
LOCO_MUTANTS another number. An input that once caused a fault is kept as a file of the corpus.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import resource
import signal
import time
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import loco_stream
from loco_stream.connectors import CSVSource, open_source
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._messages import read_row
from loco_stream.connectors.ls1._receiver import Receiver
from loco_stream.connectors.ls1._remote_source import RemoteSources
from loco_stream.engine import StreamEngine
from loco_stream.engine._source_reader import PairSource
from loco_stream.errors import CheckpointError, LocoStreamError, SourceError
from loco_stream.stream import Block, Sample
from tests.helpers import foreign
from tests.helpers.nir_copies import copier
from tests.helpers.server_harness import A, ServerHarness

SECONDS = 12.0
N_MUTANTS = int(os.environ.get("LOCO_MUTANTS", 100_000 if os.environ.get("LOCO_SOAK") else 0))
SLOWEST = 60  # seconds of one input
MEMORY = 1 << 30  # bytes of all inputs
CORPUS = Path(__file__).parent / "corpus"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(14_400 if N_MUTANTS else 144)]


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


def mutant(contents, draw):
    """Return a content with other bytes at a few places, or with other pieces."""
    content = bytearray(draw.choice(contents))
    if draw.random() < 0.6:
        for _ in range(draw.choice([1, 1, 2, 4])):
            value = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
            content[draw.randrange(len(content))] = value
        return bytes(content)
    edits = [
        (draw.random(), draw.randint(0, 8), draw.randbytes(draw.randint(0, 8)))
        for _ in range(draw.randint(1, 6))
    ]
    edited = apply(bytes(content), edits)
    return edited[: draw.randrange(len(edited) + 1)] if draw.random() < 0.1 else edited


def try_mutants(contents, attempt):
    """Try a number of mutants; none raises, takes long or takes much memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = cpu_seconds()
    faults = []
    signal.signal(signal.SIGALRM, too_slow)
    for number in range(N_MUTANTS):
        content = mutant(contents, random.Random(number))
        signal.alarm(SLOWEST)
        try:
            attempt(content)
        except Exception as error:
            faults.append(f"mutant {number}: {error!r}")
        finally:
            signal.alarm(0)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    cpu = cpu_seconds() - begin
    print(f"{N_MUTANTS} mutants, {len(faults)} faults, {more >> 20} MB more, {cpu:.0f} CPU s")
    assert not faults, "\n".join(faults[:20])
    assert more < MEMORY


def cpu_seconds():
    """Return the CPU time of this process and of the children that have ended."""
    return sum(os.times()[:4])


def too_slow(*_):
    raise TimeoutError(f"it takes more than {SLOWEST} s")


def fuzz(contents, attempt):
    """Try mutated contents until the time is over; print how many."""
    if N_MUTANTS:
        try_mutants(contents, attempt)
        return
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


def table_files(folder):
    """Return small files of every kind of table, by the end of their URL."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    kinds = ["ok", "worn", "ok", None] * 5
    table = pyarrow.table({"a": [0.5, None, 2.0, 1e30] * 5, "n": list(range(20)), "y": kinds})
    parquet.write_table(table, folder / "t.parquet")
    feather.write_feather(table, folder / "t.arrow", compression="uncompressed")
    X = np.arange(20.0).reshape(10, 2)
    np.save(folder / "t.npy", X)
    np.savez_compressed(folder / "t.npz", X=X, y=np.array(list("abababaaaa")))
    (folder / "t.jsonl").write_text('{"a": 1, "y": "ok"}\n{"x": {"b": null}, "y": 3}\n' * 5)
    (folder / "t.influx").write_text('press,site=a speed=0.5,y="ok" 1700000000000000000\n' * 5)
    query = {"parquet": "target=y", "arrow": "target=y", "jsonl": "target=y", "influx": "target=y"}
    return {
        path: f"{'npy' if path.suffix == '.npz' else path.suffix[1:]}:{path}"
        f"?{query.get(path.suffix[1:], '')}".rstrip("?")
        for path in sorted(folder.glob("t.*"))
    }


@pytest.mark.parametrize("kind", ["parquet", "arrow", "npy", "npz", "jsonl", "influx"])
def test_table_files(tmp_path, kind):
    (path, url), *_ = [
        (path, url) for path, url in table_files(tmp_path).items() if path.suffix == f".{kind}"
    ]

    def attempt(content):
        path.unlink()
        path.write_bytes(content)
        with suppress(LocoStreamError), closing(open_source(url)) as source:
            for event in source:
                for one in event if isinstance(event, list) else [event]:
                    assert isinstance(one, Sample | Block)

    fuzz([path.read_bytes()], attempt)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process per input would take too long")
def test_network_files(tmp_path, monkeypatch):
    pytest.importorskip("nir")
    from loco_stream._simulator import nir_reader
    from tests.simulator.test_hostile_nir import write

    path = tmp_path / "net.nir"
    write(path)

    def attempt(content):
        path.write_bytes(content)
        with suppress(LocoStreamError):
            loco_stream.Network.from_nir(path)

    with copier(nir_reader.__file__) as copied:
        monkeypatch.setattr(nir_reader, "copied", copied)
        fuzz([path.read_bytes()], attempt)
    print(f"{cpu_seconds():.0f} CPU s of this process and its copies")


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


class LoggedSource(PairSource):
    """Rows that cannot be read again, so that the engine logs them."""

    needs_log = True


def test_logs_of_commits(tmp_path, monkeypatch):
    """A damaged log resumes with what is before the damage, or is refused."""
    monkeypatch.setattr(StreamEngine, "_finish", lambda self: None)  # as if it were killed
    state = tmp_path / "state"
    make = {"checkpoint": state, "task": "classification"}

    def run(n, **options):
        rows = [({"a": float(i % 3)}, "xyz"[i % 3]) for i in range(n)]
        model = loco_stream.LOCOClassifier(hidden_sizes=(4,), seed=0)
        StreamEngine(model, LoggedSource(rows), **make, **options).run()

    run(40)
    (log,) = state.glob("log-*.wal")
    kept = {path: path.read_bytes() for path in state.iterdir()}

    def attempt(content):
        for path in state.iterdir():
            path.unlink()
        for path, whole in kept.items():
            path.write_bytes(content if path == log else whole)
        with suppress(LocoStreamError):
            run(45, resume=True)

    fuzz([kept[log]], attempt)


def test_stores_of_fleets(tmp_path):
    folder = tmp_path / "fleet"
    model = loco_stream.LOCOClassifier(hidden_sizes=(4,), seed=0)
    with loco_stream.Fleet(model, folder, key_groups=1) as fleet:
        for key in range(2):
            fleet.learn(key, [[0.5], [1.0]], ["on", "off"])
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    kept = {path: path.read_bytes() for path in files}
    turn = itertools.cycle(files)

    def attempt(content):
        for path, whole in kept.items():
            path.write_bytes(whole)
        path = next(turn)
        path.write_bytes(mutate_again(kept[path], content))
        with suppress(LocoStreamError), loco_stream.Fleet(model, folder, key_groups=1) as fleet:
            for key in fleet.keys():  # noqa: SIM118
                fleet.predict(key, [[0.5]])

    fuzz([bytes(64)], attempt)


def mutate_again(content, draw):
    """Return a file with a piece replaced where the bytes of a drawn text say."""
    at = int.from_bytes(hashlib.sha256(draw).digest()[:6]) % max(len(content), 1)
    return content[:at] + draw[:8] + content[at + 8 :]


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
