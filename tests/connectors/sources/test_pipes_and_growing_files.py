"""Pipes, FIFOs, slow writers, and files that grow and are rotated while they are read."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import shutil
import subprocess
import threading
import time
from contextlib import suppress

import pytest

from loco_stream._cli._parameters import build_model
from loco_stream.connectors import CSVSource, JSONLSource, open_source
from loco_stream.engine._state import export_model, state_sha256
from loco_stream.errors import ConfigError, LocoStreamWarning, SourceError
from loco_stream.stream import Sample
from loco_stream.testing import check_source
from tests.helpers.engine_process import LOCO, at_work, end, inspect, start

N_ROWS = 1800


def line(i):
    chance = random.Random(i)
    kind = "ab"[i % 2]
    return f"{chance.gauss(2 * (i % 2), 1):.3f},{i},{kind}\n"


def table(n=N_ROWS):
    return "speed,number,kind\n" + "".join(map(line, range(n)))


def run(url, content, *, pause=0.0, size=1 << 20):
    """Run the command on a pipe that is written in pieces; return its report."""
    process = subprocess.Popen(
        [*LOCO, "run", url, "--json"],
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


def take(source, n=None):
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
def test_all_rows_of_a_pipe_are_learned(url, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(table())
    done = subprocess.run(
        [*LOCO, "run", f"csv:{path}?target=kind", "--quiet", "--json"],
        capture_output=True,
        check=True,
    )
    of_pipe = run(url, table().encode())
    of_file = json.loads(done.stdout)
    assert of_pipe["n_samples"] == N_ROWS
    assert of_pipe["accuracy"] == of_file["accuracy"]


@pytest.mark.slow
def test_no_row_of_a_slow_writer_is_lost():
    assert run("csv:-?target=kind", table().encode(), pause=0.01, size=997)["n_samples"] == N_ROWS


@pytest.mark.slow
def test_the_output_of_several_commands_is_one_stream(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(table())
    pieces = "; ".join(["head -c 1001"] * 80)  # each continues after the one before
    command = f"({pieces}) < {path} | {' '.join(LOCO)} run 'csv:-?target=kind' --quiet --json"
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    assert json.loads(done.stdout)["n_samples"] == N_ROWS


@pytest.mark.slow
def test_json_lines_of_a_pipe():
    flat = "".join(json.dumps({"a": i, "y": i % 2}) + "\n" for i in range(300))
    assert run("jsonl:-?target=y", flat.encode())["n_samples"] == 300
    wrapped = "".join(json.dumps({"x": {"a": i}, "y": i / 7}) + "\n" for i in range(300))
    report = run("jsonl:-", wrapped.encode(), size=4000)
    assert report["n_samples"] == 300
    assert "mae" in report


def test_a_fifo_is_read_once(tmp_path):
    path = tmp_path / "rows.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(table(50),))
    writer.start()
    source = open_source(f"csv:{path}?target=kind")
    assert numbers(take(source)) == list(range(50))
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
    assert len(take(source)) == 5
    writer.join()
    source.close()


def test_bad_rows_of_a_pipe_are_skipped_and_counted(tmp_path):
    path = tmp_path / "rows.csv"
    os.mkfifo(path)
    content = b'a,y\n1,0\n1\n2,1\n"3,1\n4,0\n5,x\n6,\xff\n7,1\n1,2,3\n'
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    source = CSVSource(path, "y", on_bad="skip")
    assert [(s.x["a"], s.y) for s in take(source)] == [
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
    assert "got 3" in source.last_error
    writer.join()
    source.close()


def test_an_open_quote_in_a_growing_file_holds_back_few_rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('a,y\n1,ok\n"2,ok\n' + "".join(f"{i},ok\n" for i in range(200)))
    source = CSVSource(path, "y", follow=True, on_bad="skip", idle=2.0)
    rows = [event.x["a"] for event in source if isinstance(event, Sample)]
    assert rows == [1, *range(200)]
    assert source.skipped == {"open quote": 1}
    source.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "content", "text"),
    [
        ("csv:-?target=kind", b"", "loco-stream: standard input is empty"),
        ("csv:-?target=kind", b"a,kind\n", "standard input ended before the first row"),
        ("csv:-?target=kind", b"a,b\n1,2\n", "`target` must be a column, got 'kind'"),
        (
            "csv:-?target=kind",
            b"a,kind\n1,2\n1\n",
            "line 3 of standard input must have 2 fields, as the header has, got 1",
        ),
        ("csv:-?target=kind", b"\x1f\x8b\x08\x00\n", "gzip data: pipe it through gunzip"),
        ("jsonl:-?target=y", b'{"a": 1}\n', "`target` must be a column, got 'y'"),
        ("jsonl:-", b'{"a": 1}\n', "`target` must name the label column"),
        ("csv:-?target=kind&follow=1", b"", "given for a pipe, got standard input"),
        ("csv:-?target=kind&rate=5", b"", "`rate` and `speed` must not be given"),
        ("parquet:-?target=kind", b"", "a Parquet file is not read from front to back"),
        ("npy:/dev/stdin?target=0", b"", "an array is not read from front to back"),
    ],
)
def test_options_that_a_pipe_does_not_allow_are_refused(url, content, text):
    done = subprocess.run(
        [*LOCO, "run", url, "--quiet"], input=content, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert text in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_a_pipe_without_rows_yields_empty_lists_and_ends_after_idle(tmp_path):
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
    """A file that is written and rotated, as by logrotate."""

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
    assert numbers(take(rows, 10)) == list(range(10))
    log.write(5)
    log.rename()
    log.write(5)
    assert numbers(take(rows, 10)) == list(range(10, 20))
    log.write(5)
    log.copy_and_truncate()
    log.write(7)
    assert numbers(take(rows, 12)) == list(range(20, 32))
    log.file.write(line(32)[:-3])
    log.file.flush()
    assert next(rows) == []  # half a line is not a row
    log.file.write(line(32)[-3:])
    log.n += 1
    log.write(1)
    assert numbers(take(rows)) == [32, 33]
    assert source.stats == {"gaps": 0}
    source.close()


@pytest.mark.slow
def test_a_resumed_run_continues_in_the_rotated_files(log):
    log.write(10)
    source = CSVSource(log.path, "kind", follow=True)
    assert numbers(take(source, 7)) == list(range(7))
    position = json.loads(json.dumps(source.position))
    source.close()
    for rotate in (log.copy_and_truncate, log.rename, log.rename, log.copy_and_truncate):
        log.write(10)
        rotate()
        time.sleep(0.02)  # files written within one tick of the clock have no order
    log.write(1)
    source = CSVSource(log.path, "kind", follow=True, idle=3.0)
    source.seek(position)
    samples = take(source)
    assert numbers(samples) == list(range(7, 51))
    assert [s.seq for s in samples] == list(range(7, 51))
    assert source.stats == {"gaps": 0}
    source.close()


def test_the_kind_of_labels_is_that_of_the_first_run_after_a_resume(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n1,1\n2,two\n")
    source = CSVSource(path, "y", follow=True, idle=0.5)
    assert [s.y for s in take(source, 2)] == ["1", "two"]
    position = source.position
    source.close()
    with path.open("a") as file:
        file.write("3,1\n")
    source = CSVSource(path, "y", follow=True, idle=0.5)
    source.seek(position)
    assert [s.y for s in take(source)] == ["1"]
    source.close()


@pytest.mark.slow
def test_a_file_that_is_gone_is_a_gap_and_a_warning(tmp_path, log, caplog):
    log.write(10)
    source = CSVSource(log.path, "kind", follow=True)
    take(source, 5)
    position = source.position
    source.close()
    log.rename()
    log.write(3)
    (tmp_path / "rows.csv.1").unlink()
    source = CSVSource(log.path, "kind", follow=True, idle=3.0)
    source.seek(position)
    assert numbers(take(source)) == [10, 11, 12]
    assert source.stats == {"gaps": 1}
    (note,) = source.notes
    assert re.fullmatch(r"the file that was read up to byte \d+ is gone: rows of .* missing", note)
    assert note in caplog.messages
    assert source.last_error == ""  # no row is bad
    source.close()


def test_a_missing_file_is_waited_for_with_a_warning(tmp_path):
    path = tmp_path / "rows.csv"
    writer = threading.Timer(0.3, path.write_text, ["a,y\n1,2\n"])
    writer.start()
    with pytest.warns(LocoStreamWarning, match="there is no file .*rows.csv yet: waiting for it"):
        source = CSVSource(path, "y", follow=True, idle=0.5)
    assert [sample.x for sample in take(source)] == [{"a": 1.0}]


def test_follow_refuses_files_that_do_not_grow(tmp_path):
    with pytest.raises(ConfigError, match="needs a file that grows line by line, got compressed"):
        CSVSource(tmp_path / "rows.csv.gz", "kind", follow=True)
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n1,2\n")
    with pytest.raises(ConfigError, match="`idle` must not be given"):
        CSVSource(path, "y", idle=1.0)
    with pytest.raises(SourceError, match="must hold a cursor under 'file'"):
        CSVSource(path, "y", follow=True).seek({"row": 1, "file": 5})


@pytest.mark.slow
def test_every_row_is_learned_once_through_ten_rotations_and_five_kills(tmp_path, processes, log):
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
    process = engine()  # it starts with the present file
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


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_lifecycle_of_a_followed_file(kind, tmp_path):
    path = tmp_path / f"rows.{kind}"
    path.write_text(table(50) if kind == "csv" else '{"number": 1, "kind": "a"}\n' * 50)
    check_source(lambda: open_source(f"{kind}:{path}?target=kind&follow=1"), n_rows=50)


def test_the_lifecycle_of_a_pipe(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)

    def write():
        with suppress(BrokenPipeError), open(path, "w") as pipe:
            for row in table(50).splitlines(keepends=True):
                pipe.write(row)
                pipe.flush()

    writers = []

    def make_source():
        while writers:  # one that goes on writing would give the next reader its rest
            writers.pop().join()
        writers.append(threading.Thread(target=write, daemon=True))
        writers[-1].start()
        return open_source(f"csv:{path}?target=kind")

    check_source(make_source, n_rows=50, resumes=False)
