"""Files read in blocks give the rows, counts, sentences and positions of reading row by row."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream._numbers import is_beyond
from loco_stream.connectors import ArrowFileSource, CSVSource, ParquetSource
from loco_stream.connectors.sources import csv_source
from loco_stream.errors import SourceError
from loco_stream.stream import Block, Sample

WORDS = ("red", "green", "pale blue", "ü", "1_000", "'", "")


def value_of(value):
    """Return a value as a model sees it."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, str):
        return value
    return math.inf if is_beyond(value) else float(value)


def rows_in(events):
    """Return the rows of events, the number of blocks, and the rows in them."""
    rows = []
    in_blocks = 0
    for event in events:
        if isinstance(event, Sample):
            x = {name: value_of(value) for name, value in event.x.items()}
            t = None if event.t != event.t else event.t
            rows.append((event.seq, x, event.y, type(event.y), t, event.sequence))
        elif isinstance(event, Block):
            in_blocks += len(event.X)
            times = event.row_times.tolist()
            for i, values in enumerate(event.X.tolist()):
                x = dict(zip(event.features, map(value_of, values), strict=True))
                run = None if event.sequence is None else event.sequence[i]
                t = None if times[i] != times[i] else times[i]
                y = None if event.y is None else event.y[i]
                rows.append((event.seq + i, x, y, type(y), t, run))
    return rows, in_blocks


def assert_same(make, least=0):
    """Compare both ways of reading a source; at least a share of the rows comes in blocks."""
    source = make()
    expected, _ = rows_in(source)
    blocks = make()
    found, in_blocks = rows_in(blocks.read_blocks())
    assert found == expected
    assert in_blocks >= least * len(expected)
    assert blocks.position == source.position
    assert blocks.fingerprint == source.fingerprint
    assert blocks.skipped == source.skipped
    assert blocks.last_error == source.last_error
    source.close()
    blocks.close()


def numbers(n, seed=0):
    rng = np.random.default_rng(seed)
    return [f"{a:.6g},{b},{'ab'[c]}" for a, b, c in zip(
        rng.standard_normal(n), rng.integers(0, 10**6, n), rng.integers(0, 2, n), strict=True
    )]  # fmt: skip


def texts(n, seed=0):
    rng = np.random.default_rng(seed)
    return [f"{rng.normal():.4g},{WORDS[rng.integers(7)]},{rng.integers(3)}" for _ in range(n)]


HEADER = "x,z,y\n"
GOOD = numbers(5000)
FILES = {
    "numbers": (HEADER + "\n".join(GOOD), 1.0),
    "final line break": (HEADER + "\n".join(GOOD) + "\n", 1.0),
    "windows": (HEADER.replace("\n", "\r\n") + "\r\n".join(GOOD) + "\r\n", 1.0),
    "texts": (HEADER + "\n".join(texts(3000)), 1.0),
    "quotes": (HEADER + "".join(f'1.5,"a ""b"", c {i % 9}",1\n' for i in range(3000)), 1.0),
    "broken quotes": (HEADER + '1,"open,2\n3,"a\nb",1\n' + "\n".join(GOOD), 0.5),
    "late quote": (HEADER + "\n".join(GOOD) + '\n1,"2\n3,4,a\n', 0.5),
    "blank lines": (HEADER + "1,2,a\n\n  \n" + "\n".join(GOOD) + "\n\n", 0.5),
    "missing": (HEADER + "".join(f"{'NA' if i % 3 else i},?,a\n" for i in range(2000)), 1.0),
    "missing labels": (HEADER + "".join(f"1,{i},{'a' if i % 7 else ''}\n" for i in range(900)), 1),
    "spaces": (HEADER + "".join(f" {i} , 2.5,a\n" for i in range(1500)), 0.0),
    "signs": (HEADER + "".join(f"+{i},-.5,a\n" for i in range(1500)), 0.0),
    "true": (HEADER + "".join(f"{'TRUE' if i % 2 else 'false'},1,a\n" for i in range(1500)), 1.0),
    "infinite": (HEADER + "inf,1,a\n-Infinity,1e400,b\n" + "\n".join(GOOD), 0.5),
    "beyond": (HEADER + "\n".join(GOOD[:2000]) + "\n1e31,1,a\n" + "\n".join(GOOD), 0.3),
    "a text late": (HEADER + "\n".join(GOOD) + "\nx,y,a\n" + "\n".join(GOOD), 1.0),
    "whole numbers": (HEADER + "".join(f"{2**60 + i},{i},{i % 3}\n" for i in range(1500)), 1.0),
    "wide label": (HEADER + "1,2,3\n" * 1200 + f"1,2,{10**30}\n", 0.0),
    "one column": ("x\n" + "1\n" * 50, 0.0),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("part", [200, 20_000])
def test_a_csv_file_in_blocks_has_the_same_rows(name, part, tmp_path, monkeypatch):
    monkeypatch.setattr(csv_source, "_PART", part)
    text, least = FILES[name]
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode())
    target = "y" if "y" in text[:6] else ""
    assert_same(lambda: CSVSource(path, target, on_bad="skip"), least if part > 200 else 0)


# cells that give a column of numbers another type
ODD = [
    "foo",
    "n.a.",
    "-",
    "err",
    "#N/A",
    "true",
    "FALSE",
    "2024-01-01",
    "5 %",
    "",
    "NA",
    "nan",
    " ",
]
ODD += ["1e31", "-1e400", "inf", "9" * 19, "9" * 40, "9" * 400, "9" * 5000, " 5 ", "+5", "1_0", "٣"]
ODD += ['"5"', '"a,b"', "ü", "0x10", "1e-400"]


def rows_with(cells, n=4000):
    """Return a file of two columns of numbers; `cells` are those of the first, by row."""
    rows = [line.split(",") for line in numbers(n)]
    return HEADER + "".join(f"{cells.get(i, x)},{z},{y}\n" for i, (x, z, y) in enumerate(rows, 1))


@pytest.mark.parametrize("cell", ODD)
@pytest.mark.parametrize("at", [(10,), (2000, 2001)])
def test_a_cell_of_another_type_is_read_alike_wherever_it_stands(cell, at, tmp_path, monkeypatch):
    monkeypatch.setattr(csv_source, "_PART", 20_000)
    path = tmp_path / "rows.csv"
    path.write_text(rows_with(dict.fromkeys(at, cell), 2500), encoding="utf-8")
    assert_same(lambda: CSVSource(path, "y", on_bad="skip"))


@settings(max_examples=30, deadline=None)
@given(
    cells=st.dictionaries(st.integers(1, 2000), st.sampled_from(ODD), max_size=5),
    part=st.sampled_from([300, 5000, 1 << 17]),
)
def test_cells_of_other_types_are_read_alike(cells, part, tmp_path_factory):
    path = tmp_path_factory.mktemp("odd") / "rows.csv"
    path.write_text(rows_with(cells, 2000), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_source, "_PART", part)
        assert_same(lambda: CSVSource(path, "y", on_bad="skip"))


def test_bytes_of_another_encoding_have_the_same_rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes((HEADER + "1,ü,a\n" * 20).encode("latin-1") + "\n".join(GOOD).encode())
    assert_same(lambda: CSVSource(path, "y", on_bad="skip"))
    assert_same(lambda: CSVSource(path, "y", encoding="latin-1"), 1.0)


def test_times_sequences_and_a_decimal_comma_have_the_same_rows(tmp_path):
    path = tmp_path / "rows.csv"
    lines = [
        f"{i},5;2024-01-01T00:{i // 60:02}:{i % 60:02}Z;run {i // 9};{i},25\n" for i in range(999)
    ]
    path.write_text("x;at;run;y\n" + "".join(lines))
    assert_same(lambda: CSVSource(path, "y", time="at", sequence="run", decimal=","), 1.0)


def test_a_bad_row_ends_the_run_with_its_line(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "\n".join(GOOD[:3000]) + "\n1,2\n" + "\n".join(GOOD))
    with pytest.raises(SourceError, match=r"line 3002 of .*rows.csv must have 3 fields"):
        list(CSVSource(path, "y").read_blocks())


@pytest.mark.parametrize("row", [1, 1500, 4999, 5000])
def test_a_csv_file_continues_in_blocks_after_any_row(row, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "\n".join(GOOD))
    whole = CSVSource(path, "y")
    expected, _ = rows_in(whole)
    first = CSVSource(path, "y")
    for _ in zip(range(row), first, strict=False):
        pass
    rest = CSVSource(path, "y")
    rest.verify(first.fingerprint)
    rest.seek(first.position)
    found, _ = rows_in(rest.read_blocks())
    assert found == expected[row:]
    assert rest.fingerprint == whole.fingerprint
    path.write_text(HEADER + "\n".join(numbers(5000, seed=1)))
    with pytest.raises(SourceError, match="must be the file that was read before"):
        CSVSource(path, "y").verify(first.fingerprint)


def arrow_table(n=3000):
    rng = np.random.default_rng(0)
    return pyarrow.table(
        {
            "f": rng.standard_normal(n),
            "g": pyarrow.array(rng.standard_normal(n), mask=rng.random(n) < 0.1),
            "h": rng.standard_normal(n).astype("f4"),
            "i": rng.integers(0, 9, n).astype("i1"),
            "b": rng.random(n) < 0.5,
            "s": pyarrow.array([WORDS[i % 7] for i in range(n)]),
            "d": pyarrow.array([f"k{i % 4}" for i in range(n)]).dictionary_encode(),
            "t": pyarrow.array(np.arange(n) * 10**9, pyarrow.timestamp("ns")),
            "y": pyarrow.array([None if i % 11 == 5 else "ab"[i % 2] for i in range(n)]),
        }
    )


WRITERS = {
    "parquet": (pyarrow.parquet.write_table, ParquetSource),
    "feather": (pyarrow.feather.write_feather, ArrowFileSource),
    "stream": (None, ArrowFileSource),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("time", [None, "t"])
def test_arrow_files_in_blocks_have_the_same_rows(kind, time, tmp_path):
    write, source = WRITERS[kind]
    path = tmp_path / "rows"
    if write is None:
        with pyarrow.ipc.new_stream(path, arrow_table().schema) as writer:
            writer.write_table(arrow_table(), max_chunksize=1300)
    else:
        write(arrow_table(), path)
    assert_same(lambda: source(path, "y", time=time), 1.0)
    assert_same(lambda: source(path, "y", drop=["s", "d", "t"]), 1.0)
    whole = rows_in(source(path, "y"))[0]
    rest = source(path, "y")
    rest.seek({"row": 1301})
    assert rows_in(rest.read_blocks())[0] == whole[1301:]


def test_a_number_beyond_the_range_is_read_as_a_row(tmp_path):
    table = pyarrow.table({"x": [1.0, 2e30, 3.0], "y": ["a", "b", "a"]})
    pyarrow.parquet.write_table(table, tmp_path / "rows")
    events = list(ParquetSource(tmp_path / "rows", "y").read_blocks())
    assert [event.x["x"] for event in events] == [1.0, 2e30, 3.0]


def column(kind, usual, odd):
    return pyarrow.array([*[usual] * 2500, odd, *[usual] * 499], kind)


COLUMNS = {
    "half": column(pyarrow.float16(), 1.0, 2.0),
    "beyond": column(pyarrow.float64(), 1.0, 1e300),
    "unsigned": column(pyarrow.uint64(), 1, 2**64 - 1),
    "decimal": column(pyarrow.decimal256(60, 0), Decimal(1), Decimal("9" * 50)),
    "bytes": column(pyarrow.binary(), b"12", b"\xff"),
    "date": column(pyarrow.date32(), date(2024, 1, 1), date(1, 1, 1)),
    "nanoseconds": column(pyarrow.timestamp("ns"), 10**18, 10**18 + 1),
    "duration": column(pyarrow.duration("ns"), 10**9, 10**9 + 1),
    "time": column(pyarrow.time64("ns"), 10**9, 10**9 + 1),
    "nulls": pyarrow.nulls(3000),
    "late text": column(pyarrow.string(), None, "foo"),
    "dictionary": column(pyarrow.float64(), 1.0, 1e300).dictionary_encode(),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("role", ["feature", "target", "time", "sequence"])
def test_columns_of_any_type_are_read_alike_in_any_role(name, role, tmp_path):
    path = tmp_path / "rows"
    table = pyarrow.table({"a": np.arange(3000.0), "c": COLUMNS[name], "k": ["p", "q"] * 1500})
    pyarrow.feather.write_feather(table, path)
    roles = {"target": "k"} if role == "feature" else {"target": "k", role: "c"}
    assert_same(lambda: ArrowFileSource(path, **roles, on_bad="skip"))


@pytest.mark.parametrize("role", ["feature", "target", "time"])
def test_a_value_that_python_cannot_hold_ends_both_ways_with_the_sentence(role, tmp_path):
    path = tmp_path / "rows"
    late = column(pyarrow.timestamp("s"), 10**9, 10**14)  # the year 3170843
    table = pyarrow.table({"a": np.arange(3000.0), "c": late, "k": ["p", "q"] * 1500})
    pyarrow.feather.write_feather(table, path)
    roles = {"target": "k"} if role == "feature" else {"target": "k", role: "c"}
    with pytest.raises(SourceError, match="cannot read") as one_by_one:
        list(ArrowFileSource(path, **roles))
    with pytest.raises(SourceError, match="cannot read") as in_blocks:
        list(ArrowFileSource(path, **roles).read_blocks())
    assert str(in_blocks.value) == str(one_by_one.value)
