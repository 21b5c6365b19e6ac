"""Files that are not tables, too large, or replaced: one sentence, and bounded memory."""

from __future__ import annotations

import gzip
import json
import random
import resource
import subprocess
import sys
import zipfile

import numpy as np
import pyarrow
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest

from loco_stream import LOCOClassifier, StreamEngine
from loco_stream.connectors import CSVSource, JSONLSource, NPYSource, open_source
from loco_stream.errors import SourceError
from loco_stream.stream import Sample


def limited(*command):
    """Run code with at most 2 GB of memory."""

    def limit_memory():
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    return subprocess.run(
        [sys.executable, "-c", *command],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=limit_memory,
        check=False,
    )


@pytest.mark.parametrize(
    "url", ["csv:/dev/zero?target=a", "jsonl:/dev/zero?target=a", "npy:/dev/zero"]
)
def test_a_device_is_refused(url):
    with pytest.raises(SourceError, match="must be a regular file"):
        open_source(url)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("name", ["r", "r.gz"])
def test_a_line_without_end_is_refused_within_bounded_memory(tmp_path, kind, name):
    path = tmp_path / name
    with (gzip.open if name.endswith("gz") else open)(path, "wb") as file:
        file.write(b"a,b\n1,2\n")
        for _ in range(40):
            file.write(b"7" * (1 << 20))
    source = f"import loco_stream.connectors as c; c.open_source('{kind}:{path}?target=b')"
    error = limited(source).stderr.splitlines()[-1]
    assert "SourceError" in error
    assert "characters" in error or "flat JSON" in error


@pytest.mark.slow
def test_an_archive_that_is_too_large_unpacked_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("X.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 19, 1024)}
        )
        for _ in range(64):
            file.write(bytes(32 << 20))
    with pytest.raises(SourceError, match="at most 1073741824 bytes unpacked"):
        NPYSource(path)


def test_a_header_that_claims_too_many_values_is_refused(tmp_path):
    path = tmp_path / "claims.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("X.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 8)}
        )
    with pytest.raises(SourceError, match="must be an array of numbers"):
        NPYSource(path)


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (b"(10, 2)", b"((((((("),
        (b"}", b"#"),
        (b"False", b"  '''"),
        (b"'<f8'", b"'<,8'"),
        (b"'<f8'", b"'(2,'"),
        (b"(10, 2)", b"(True,)"),
    ],
)
@pytest.mark.filterwarnings("ignore:Reading")  # numpy takes it for a file of Python 2
def test_a_header_that_numpy_cannot_parse_is_refused(tmp_path, part, other):
    path = tmp_path / "broken.npy"
    np.save(path, np.ones((10, 2)))
    content = path.read_bytes()
    assert content.count(part) == 1
    path.write_bytes(content.replace(part, other))
    with pytest.raises(SourceError, match="must be an array of numbers: "):
        NPYSource(path)


@pytest.mark.slow
def test_too_many_columns_are_refused(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(
        ",".join(f"c{i}" for i in range(20_000))
        + "\n"
        + ",".join("1" for _ in range(20_000))
        + "\n"
    )
    with pytest.raises(SourceError, match="at most 4096 features, got 19999"):
        CSVSource(path, "c0")
    np.save(tmp_path / "wide.npy", np.zeros((2, 5000)))
    with pytest.raises(SourceError, match="at most 4096 features, got 5000"):
        NPYSource(tmp_path / "wide.npy")


def test_a_line_of_too_many_features_is_left_out_alone(tmp_path):
    lines = tmp_path / "wide.jsonl"
    wide = json.dumps({**{f"n{i}": 1 for i in range(4096)}, "y": 0})
    lines.write_text(f'{{"a": 1, "y": 0}}\n{wide}\n{{"a": 2, "y": 0}}\n')
    with pytest.raises(SourceError, match=r"line 2 of .* at most 4096 features, got 4097"):
        list(JSONLSource(lines, "y"))
    source = JSONLSource(lines, "y", on_bad="skip")
    assert [row.x["a"] for row in source] == [1, 2]
    assert source.skipped == {"more features than allowed": 1}


@pytest.mark.timeout(60)  # names that are counted one by one take minutes
def test_a_header_of_very_many_columns_is_refused(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{i}" for i in range(200_000)) + "\n1\n")
    with pytest.raises(SourceError):
        CSVSource(path, "c0")


def rows(first, n):
    return "".join(f"{i % 7},{i % 3},{'ab'[i % 2]}\n" for i in range(first, first + n))


HEADER = "x,z,y\n"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            HEADER + rows(1, 300),
            "must be the file that was read before: its header or its first 300 rows are different",
        ),
        ("x,w,y\n" + rows(0, 300), "its header or its first 300 rows are different"),
        (HEADER + rows(0, 60), "its first 300 rows are different or missing"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "csv.gz"])
def test_a_resumed_run_refuses_another_file(tmp_path, content, text, kind):
    path = tmp_path / f"r.{kind}"

    def engine(resume):
        return StreamEngine(
            LOCOClassifier(seed=0),
            open_source(f"csv:{path}?target=y"),
            checkpoint=tmp_path / "state",
            resume=resume,
        )

    with (gzip.open if kind.endswith("gz") else open)(path, "wb") as file:
        file.write((HEADER + rows(0, 300)).encode())
    engine(False).run(max_samples=100)
    with (gzip.open if kind.endswith("gz") else open)(path, "wb") as file:
        file.write(content.encode())
    with pytest.raises(SourceError, match=text):
        engine(True).run()


def test_no_row_of_another_file_is_learned_before_it_is_refused(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(HEADER + rows(0, 300))
    make = {"checkpoint": tmp_path / "state"}
    StreamEngine(LOCOClassifier(seed=0), CSVSource(path, "y"), **make).run(max_samples=100)
    path.write_text(HEADER + rows(0, 100) + rows(1, 200))
    engine = StreamEngine(LOCOClassifier(seed=0), CSVSource(path, "y"), resume=True, **make)
    with pytest.raises(SourceError, match="must be the file that was read before"):
        engine.run(max_samples=200)


def test_a_resumed_run_that_reads_nothing_knows_its_file_still(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(HEADER + rows(0, 300))
    make = {"checkpoint": tmp_path / "state"}
    for resume in (False, True):  # the second one has its rows already
        engine = StreamEngine(LOCOClassifier(seed=0), CSVSource(path, "y"), resume=resume, **make)
        engine.run(max_samples=100)
    path.write_text(HEADER + rows(1, 300))
    engine = StreamEngine(LOCOClassifier(seed=0), CSVSource(path, "y"), resume=True, **make)
    with pytest.raises(SourceError, match="must be the file that was read before"):
        engine.run()


def test_a_resumed_run_continues_a_longer_file(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(HEADER + rows(0, 100))
    make = {"checkpoint": tmp_path / "state"}
    StreamEngine(LOCOClassifier(seed=0), CSVSource(path, "y"), **make).run()
    path.write_text(HEADER + rows(0, 150))
    report = StreamEngine(LOCOClassifier(seed=0), CSVSource(path, "y"), resume=True, **make).run()
    assert report["n_samples"] == 150


def test_an_arrow_file_whose_names_are_no_texts_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    feather = pytest.importorskip("pyarrow.feather")
    path = tmp_path / "rows.arrow"
    feather.write_feather(pyarrow.table({"speed": [1.0, 2.0], "y": ["ok", "worn"]}), path)
    path.write_bytes(path.read_bytes().replace(b"speed", b"s\xffeed"))
    with pytest.raises(SourceError, match="cannot read"):
        open_source(f"arrow:{path}?target=y")


def test_an_arrow_file_whose_texts_lie_beyond_its_end_is_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    feather = pytest.importorskip("pyarrow.feather")
    path = tmp_path / "rows.arrow"
    table = pyarrow.table({"a": [1.0, 2.0], "y": ["ok", "worn"]})
    feather.write_feather(table, path, compression="uncompressed")
    content = path.read_bytes()
    offsets = np.array([0, 2, 6], "<i4").tobytes()
    assert content.count(offsets) == 1
    path.write_bytes(content.replace(offsets, np.array([0, 2, 2**30], "<i4").tobytes()))
    with pytest.raises(SourceError, match="cannot read"):
        list(open_source(f"arrow:{path}?target=y"))


def test_the_fingerprint_of_an_arrow_stream_reads_no_row_twice(tmp_path):
    path = tmp_path / "rows.arrows"
    table = pyarrow.table({"a": np.arange(500.0), "y": np.arange(500) % 2})
    with pyarrow.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=10)
    source = open_source(f"arrow:{path}?target=y")
    found = []
    fingerprints = []
    for event in source.read_blocks():
        found += [event.x["a"]] if isinstance(event, Sample) else event.X[:, 0].tolist()
        if len(found) > 40:
            fingerprints.append(source.fingerprint)
    assert found == list(range(500))
    assert fingerprints[-1]["row"] == 64
    changed = table.set_column(0, "a", pyarrow.array([*range(40), *range(460)], pyarrow.float64()))
    with pyarrow.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(changed)
    with pytest.raises(SourceError, match="its first 64 rows are different"):
        open_source(f"arrow:{path}?target=y").verify(fingerprints[-1])


def test_a_paced_recording_has_the_fingerprint_of_the_rows_that_it_has_yielded(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(20)))
    source = open_source(f"csv:{path}?target=y&rate=3")
    rows = iter(source)
    for event in rows:
        fingerprint = source.fingerprint
        if not isinstance(event, Sample) and fingerprint["row"] == 3:  # it waits for the next row
            break
    else:
        pytest.fail("it never waited")
    rows.close()
    again = open_source(f"csv:{path}?target=y&rate=2000")
    again.verify(fingerprint)
    again.seek({"row": 3})
    assert sum(isinstance(event, Sample) for event in again) == 17


def save_npz(path, X, y):
    np.savez(path, X=X, y=y)


def save_npy(path, X, y):
    np.save(path, np.column_stack([X, y]))


def frame(X, y):
    return pyarrow.table({"a": X[:, 0], "b": X[:, 1], "y": y})


def save_parquet(path, X, y):
    pyarrow.parquet.write_table(frame(X, y), path, row_group_size=100)


def save_feather(path, X, y):
    pyarrow.feather.write_feather(frame(X, y), path)


def save_stream(path, X, y):
    table = frame(X, y)
    with pyarrow.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=100)


@pytest.mark.parametrize(
    ("save", "url"),
    [
        (save_npz, "npy:{}"),
        (save_npy, "npy:{}?target=-1"),
        (save_parquet, "parquet:{}?target=y"),
        (save_feather, "arrow:{}?target=y"),
        (save_stream, "arrow:{}?target=y"),
    ],
)
def test_a_resumed_run_refuses_another_array_or_table(tmp_path, save, url):
    path = tmp_path / ("r.npz" if save is save_npz else "r.npy")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2))
    y = rng.integers(0, 2, 500)

    def engine(resume):
        source = open_source(url.format(path))
        model = LOCOClassifier(seed=0)
        return StreamEngine(model, source, checkpoint=tmp_path / "state", resume=resume)

    save(path, X[:300], y[:300])
    assert engine(False).run()["n_samples"] == 300
    save(path, X, y)  # the same file, with more rows
    assert engine(True).run()["n_samples"] == 500
    save(path, X[:400], y[:400])
    with pytest.raises(SourceError, match="was read before, with at least 500 rows, got 400"):
        engine(True).run()
    save(path, rng.normal(size=(700, 2)), rng.integers(0, 2, 700))
    with pytest.raises(SourceError, match="was read before: its first 64 rows are different"):
        engine(True).run()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("n_rows", [40, 3000])
def test_a_cut_gzip_file_loses_only_what_is_behind_the_cut(tmp_path, kind, n_rows):
    rows = random.Random(1).choices(range(10**6), k=n_rows)
    lines = {
        "csv": "a,y\n" + "".join(f"{row},{i}\n" for i, row in enumerate(rows)),
        "jsonl": "".join(f'{{"a": {row}, "y": {i}}}\n' for i, row in enumerate(rows)),
    }
    packed = gzip.compress(lines[kind].encode(), mtime=0)
    path = tmp_path / f"r.{kind}.gz"
    path.write_bytes(packed[: len(packed) // 2])
    seen = []
    source = open_source(f"{kind}:{path}?target=y")
    with pytest.raises(SourceError, match=r"cannot read .*ended before the end-of-stream"):
        seen.extend(sample.x["a"] for sample in source)
    assert n_rows / 4 < len(seen) < n_rows * 3 / 4
    assert seen == rows[: len(seen)]
