"""Input that is not a file: pipes, FIFOs, slow writers.

Files that grow and are rotated under the reader.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import threading
import time

import pytest

from loco_stream.cli._parameters import build_model
from loco_stream.connectors import CSVSource, JSONLSource, open_source
from loco_stream.engine.state import export_model, state_sha256
from loco_stream.errors import ConfigError, LocoStreamWarning, SourceError
from loco_stream.stream import Sample
from tests.helpers.engine_process import LOCO, at_work, end, inspect, start

N_ROWS = 1800


def line(i):
    chance = random.Random(i)
    kind = "ab"[i % 2]
    return f"{chance.gauss(2 * (i % 2), 1):.3f},{i},{kind}\n"


def table(n=N_ROWS):
    return "speed,number,kind\n" + "".join(map(line, range(n)))


def run(url, content, *, pause=0.0, size=1 << 20):
    """Run the command on a pipe that is written in pieces, and return its report."""
    process = subprocess.Popen(
        [*LOCO, "run", url, "--quiet", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for at in range(0, len(content), size):
        process.stdin.write(content[at : at + size])
        process.stdin.flush()
        time.sleep(pause)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert b"at most once" in errors
    return json.loads(out)


def taken(source, n=None):
    """Return n samples, or all."""
    samples = []
    for event in source:
        if isinstance(event, Sample):
            samples.append(event)
        if len(samples) == n:
            break
    return samples


def numbers(samples):
    return [sample.x["number"] for sample in samples]


@pytest.mark.slow
@pytest.mark.parametrize("url", ["csv:-?target=kind", "csv:/dev/stdin?target=kind"])
def test_rows_of_a_pipe_are_all_learned(url, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(table())
    done = subprocess.run(
        [*LOCO, "run", f"csv:{path}?target=kind", "--quiet", "--json"],
        capture_output=True,
        check=True,
    )
    told = run(url, table().encode())
    of_file = json.loads(done.stdout)
    assert told["n_samples"] == N_ROWS
    assert told["accuracy"] == of_file["accuracy"]


@pytest.mark.slow
def test_a_slow_writer_of_odd_pieces_loses_nothing():
    assert run("csv:-?target=kind", table().encode(), pause=0.01, size=997)["n_samples"] == N_ROWS


@pytest.mark.slow
def test_chunks_of_head_are_one_stream(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(table())
    pieces = "; ".join(["head -c 1001"] * 80)  # each reads on where the one before ended
    command = f"({pieces}) < {path} | {' '.join(LOCO)} run 'csv:-?target=kind' --quiet --json"
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    assert json.loads(done.stdout)["n_samples"] == N_ROWS


@pytest.mark.slow
def test_json_lines_of_a_pipe():
    flat = "".join(json.dumps({"a": i, "y": i % 2}) + "\n" for i in range(300))
    assert run("jsonl:-?target=y", flat.encode())["n_samples"] == 300
    wrapped = "".join(json.dumps({"x": {"a": i}, "y": i / 7}) + "\n" for i in range(300))
    told = run("jsonl:-", wrapped.encode(), size=4000)
    assert told["n_samples"] == 300
    assert "mae" in told


def test_a_fifo_is_read_once(tmp_path):
    path = tmp_path / "rows.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(table(50),))
    writer.start()
    source = open_source(f"csv:{path}?target=kind")
    assert numbers(taken(source)) == list(range(50))
    writer.join()
    source.close()


def test_a_compressed_fifo(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    os.mkfifo(path)
    writer = threading.Thread(
        target=path.write_bytes, args=(gzip.compress(b'{"a": 1, "y": 2}\n' * 5),)
    )
    writer.start()
    source = JSONLSource(path, "y")
    assert len(taken(source)) == 5
    writer.join()
    source.close()


def test_bad_rows_of_a_pipe_are_left_out_and_counted(tmp_path):
    path = tmp_path / "rows.csv"
    os.mkfifo(path)
    content = b'a,y\n1,0\n1\n2,1\n"3,1\n4,0\n5,x\n6,\xff\n7,1\n1,2,3\n'
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    source = CSVSource(path, "y", on_bad="skip")
    assert [(s.x["a"], s.y) for s in taken(source)] == [
        (1, "0"),
        (2, "1"),
        (4, "0"),
        (5, "x"),
        (7, "1"),
    ]
    assert source.skipped == {
        "too few fields": 1,
        "open quote": 1,
        "encoding": 1,
        "too many fields": 1,
    }
    assert "has 3 fields" in source.last_error
    writer.join()
    source.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "content", "says"),
    [
        ("csv:-?target=kind", b"", "is empty"),
        ("csv:-?target=kind", b"a,kind\n", "ended before the first row"),
        ("csv:-?target=kind", b"a,b\n1,2\n", "no target column 'kind'"),
        ("csv:-?target=kind", b"a,kind\n1,2\n1\n", "line 3 of - has 1 fields"),
        ("jsonl:-?target=y", b'{"a": 1}\n', "no target column 'y'"),
        ("jsonl:-", b'{"a": 1}\n', "name the label's column"),
        ("csv:-?target=kind&follow=1", b"", "follow=1 is for a file that grows"),
        ("csv:-?target=kind&rate=5", b"", "is read as it comes"),
        ("parquet:-?target=kind", b"", "a Parquet file is not read from front to back"),
        ("npy:/dev/stdin?target=0", b"", "an array is not read from front to back"),
    ],
)
def test_what_a_pipe_cannot_do_is_said(url, content, says):
    done = subprocess.run(
        [*LOCO, "run", url, "--quiet"], input=content, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert says in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_a_pipe_without_rows_yields_ticks_and_ends_when_it_is_idle(tmp_path):
    path = tmp_path / "rows.csv"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    os.write(writer, b"a,y\n1,0\n")
    source = CSVSource(path, "y", idle=0.5)
    events = list(source)
    assert sum(isinstance(e, Sample) for e in events) == 1
    assert [] in events
    source.close()
    os.close(writer)


class Log:
    """A file that is written to and rotated, as logrotate does it."""

    def __init__(self, path):
        self.path = path
        self.n = 0
        self.file = path.open("a")
        self.header()

    def header(self):
        self.file.write("speed,number,kind\n")
        self.file.flush()

    def write(self, n):
        for i in range(self.n, self.n + n):
            self.file.write(line(i))
        self.n += n
        self.file.flush()

    def _shift(self):
        for i in range(30, 0, -1):
            old = self.path.with_name(f"{self.path.name}.{i}")
            if old.exists():
                old.rename(self.path.with_name(f"{self.path.name}.{i + 1}"))
        return self.path.with_name(f"{self.path.name}.1")

    def rename(self):
        first = self._shift()
        self.path.rename(first)
        self.file.close()
        self.file = self.path.open("a")
        self.header()

    def copy_and_truncate(self):
        first = self._shift()
        shutil.copy(self.path, first)
        self.file.truncate(0)
        self.header()


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path / "rows.csv")
    yield log
    log.file.close()


@pytest.mark.slow
def test_a_growing_file_is_followed_through_both_kinds_of_rotation(log):
    log.write(10)
    source = CSVSource(log.path, "kind", follow=True, idle=3.0)
    rows = iter(source)
    assert numbers(taken(rows, 10)) == list(range(10))
    log.write(5)
    log.rename()
    log.write(5)
    assert numbers(taken(rows, 10)) == list(range(10, 20))
    log.write(5)
    log.copy_and_truncate()
    log.write(7)
    assert numbers(taken(rows, 12)) == list(range(20, 32))
    log.file.write(line(32)[:-3])
    log.file.flush()
    assert next(rows) == []  # half a line is none
    log.file.write(line(32)[-3:])
    log.n += 1
    log.write(1)
    assert numbers(taken(rows)) == [32, 33]
    assert source.stats == {"gaps": 0}
    source.close()


@pytest.mark.slow
def test_a_resumed_follower_goes_on_in_the_rotated_files(log):
    log.write(10)
    source = CSVSource(log.path, "kind", follow=True)
    assert numbers(taken(source, 7)) == list(range(7))
    position = json.loads(json.dumps(source.position))
    source.close()
    for rotate in (log.copy_and_truncate, log.rename, log.rename, log.copy_and_truncate):
        log.write(10)
        rotate()
        time.sleep(0.02)  # files written last within one tick of the clock have no order
    log.write(1)
    source = CSVSource(log.path, "kind", follow=True, idle=3.0)
    source.seek(position)
    samples = taken(source)
    assert numbers(samples) == list(range(7, 51))
    assert [s.seq for s in samples] == list(range(7, 51))
    assert source.stats == {"gaps": 0}
    source.close()


def test_labels_stay_of_their_kind_where_the_first_rows_after_a_resume_would_tell_another(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n1,1\n2,two\n")
    source = CSVSource(path, "y", follow=True, idle=0.5)
    assert [s.y for s in taken(source, 2)] == ["1", "two"]
    position = source.position
    source.close()
    with path.open("a") as file:
        file.write("3,1\n")
    source = CSVSource(path, "y", follow=True, idle=0.5)
    source.seek(position)
    assert [s.y for s in taken(source)] == ["1"]
    source.close()


@pytest.mark.slow
def test_a_file_that_is_gone_is_missed(tmp_path, log):
    log.write(10)
    source = CSVSource(log.path, "kind", follow=True)
    taken(source, 5)
    position = source.position
    source.close()
    log.rename()
    log.write(3)
    (tmp_path / "rows.csv.1").unlink()
    source = CSVSource(log.path, "kind", follow=True, idle=3.0)
    source.seek(position)
    assert numbers(taken(source)) == [10, 11, 12]
    assert source.stats == {"gaps": 1}
    assert "may be missing" in source.last_error
    source.close()


def test_a_file_that_is_not_there_yet_is_waited_for_and_this_is_said(tmp_path):
    path = tmp_path / "rows.csv"
    writer = threading.Timer(0.3, path.write_text, ["a,y\n1,2\n"])
    writer.start()
    with pytest.warns(LocoStreamWarning, match="there is no file .*rows.csv yet: waiting for it"):
        source = CSVSource(path, "y", follow=True, idle=0.5)
    assert [sample.x for sample in taken(source)] == [{"a": 1.0}]


def test_follow_refuses_what_does_not_grow(tmp_path):
    with pytest.raises(ConfigError, match="compressed does not grow"):
        CSVSource(tmp_path / "rows.csv.gz", "kind", follow=True)
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n1,2\n")
    with pytest.raises(ConfigError, match="idle ends a stream"):
        CSVSource(path, "y", idle=1.0)
    with pytest.raises(SourceError, match="resumes at a place in a file"):
        CSVSource(path, "y", follow=True).seek({"row": 1, "file": 5})


@pytest.mark.slow
def test_ten_rotations_and_five_kills_every_row_once(tmp_path, processes, log):
    n = 3000
    whole = tmp_path / "whole"
    whole.write_text(table(n))
    model = build_model("classification", 0, {})
    for sample in CSVSource(whole, "kind"):
        model.learn_one(sample.x, sample.y)

    def write():
        chance = random.Random(3)
        for piece in range(1, 100):
            log.write(n // 100)
            time.sleep(0.12)
            if piece % 10 == 7:
                chance.choice([log.rename, log.copy_and_truncate])()

    def engine():
        url = f"csv:{log.path}?target=kind&follow=1"
        command = (
            *LOCO,
            "serve",
            "--source",
            url,
            "--checkpoint",
            str(tmp_path / "state"),
        )
        return at_work(start(processes, *command, "--checkpoint-every", "100"))

    log.write(n // 100)
    process = engine()  # a new follower begins with the file as it is now
    writer = threading.Thread(target=write)
    writer.start()
    chance = random.Random(5)
    for _ in range(5):
        time.sleep(chance.uniform(0.5, 2.0))
        assert process.poll() is None, process.stderr.read()
        process.kill()
        process.wait()
        process = engine()
    writer.join()
    deadline = time.monotonic() + 120
    while inspect(tmp_path / "state")["n_samples"] < n and time.monotonic() < deadline:
        time.sleep(0.5)
    end(process)
    found = inspect(tmp_path / "state")
    assert found["n_samples"] == n
    assert found["state_sha256"] == state_sha256(*export_model(model))
