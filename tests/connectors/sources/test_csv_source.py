"""`CSVSource`: cells, labels, options, resume, bad files."""

from __future__ import annotations

import gzip
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river.dummy import NoChangeClassifier

from loco_stream import StreamEngine
from loco_stream.connectors import CSVSource, open_source
from loco_stream.connectors._base.table_source import PEEK
from loco_stream.connectors._base.values import event_time, number, parse_cell
from loco_stream.errors import ConfigError, LocoStreamError, SourceError
from loco_stream.stream import Block, Sample
from loco_stream.testing import check_source


@pytest.fixture
def table(tmp_path):
    def write(text, name="rows.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_cells_are_parsed(table):
    path = table("n,f,b,s,m,y\n1,2.5,true,red,,7\n-3,1e3,False,NA x,NA,8\n")
    rows = [(s.x, s.y) for s in CSVSource(path, "y")]
    assert rows == [
        ({"n": 1, "f": 2.5, "b": True, "s": "red", "m": None}, 7),
        ({"n": -3, "f": 1000.0, "b": False, "s": "NA x", "m": None}, 8),
    ]


@pytest.mark.parametrize(
    ("labels", "task", "expected"),
    [
        (["1", "2"], None, ("classification", [1, 2])),
        (["1", "two"], None, ("classification", ["1", "two"])),
        (["1", "2.5"], None, ("regression", [1.0, 2.5])),
        (["1", "2"], "regression", ("regression", [1.0, 2.0])),
        (["1", "2.5"], "classification", ("classification", ["1", "2.5"])),
        (["1", ""], None, ("classification", [1, None])),
    ],
)
def test_labels_are_parsed_by_their_column(table, labels, task, expected):
    path = table("a,y\n" + "".join(f"0,{y}\n" for y in labels))
    source = CSVSource(path, "y", task=task)
    assert (source.schema.task, [s.y for s in source]) == expected


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected_in_the_header(table, delimiter):
    path = table(f"a{delimiter}b c{delimiter}y\n1{delimiter}2{delimiter}0\n")
    assert next(iter(CSVSource(path, "y"))).x == {"a": 1, "b c": 2}


def test_gzip_bom_quotes_and_blank_lines(tmp_path):
    path = tmp_path / "rows.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8-sig") as f:
        f.write('a,y\n"x, ""y""",1\n\nz,2\n')
    assert [(s.x["a"], s.y) for s in CSVSource(path, "y")] == [('x, "y"', 1), ("z", 2)]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "UTF-8", "utf_8_sig"])
def test_delimiter_decimal_and_encoding_of_other_locales(table, encoding):
    path = table(
        "Straße;Größe;Preis;y\nweiß;1,5;9 €;2,25\nrot;-3;1.234,5;7\n".replace("€", "E").encode(
            encoding
        )
    )
    source = open_source(f"csv:{path}?target=y&separator=;&decimal=,&encoding={encoding}")
    assert [(s.x, s.y) for s in source] == [
        ({"Straße": "weiß", "Größe": 1.5, "Preis": "9 E"}, 2.25),
        # A thousands separator makes a text.
        ({"Straße": "rot", "Größe": -3, "Preis": "1.234,5"}, 7.0),
    ]
    source.seek({"row": 1})
    assert [s.x["Straße"] for s in source] == ["rot"]


def test_a_column_without_a_name_is_noted(table, caplog):
    source = open_source(f"csv:{table(',a,y' + chr(10) + '0,1.5,2' + chr(10))}?target=y")
    assert [s.x for s in source] == [{"": 0, "a": 1.5}]
    (note,) = source.notes
    assert note.endswith(
        "column 1 has no name and is a feature; if it numbers the rows, write the table without it"
    )
    assert note in caplog.text


COMMAS = "site;heat;y\nnorth;1,5;ok\nsouth;-2;worn\n"


@pytest.mark.parametrize("follow", [False, True])
def test_numbers_with_a_decimal_comma_are_noted_where_they_are_read_as_texts(table, follow, caplog):
    options = "&follow=1&idle=0.1" if follow else ""
    source = open_source(f"csv:{table(COMMAS)}?target=y{options}")
    assert next(s.x for s in source if isinstance(s, Sample)) == {"site": "north", "heat": "1,5"}
    (note,) = source.notes
    assert note.endswith(
        "1 column holds texts such as '1,5' (heat); `decimal=,` reads them as numbers"
    )
    assert note in caplog.text


@pytest.mark.parametrize("options", ["target=y&decimal=,", "target=y&drop=heat"])
def test_nothing_is_noted_where_no_decimal_comma_is_missed(table, options, caplog):
    assert open_source(f"csv:{table(COMMAS)}?{options}").notes == ()
    assert not caplog.records


def test_the_note_on_decimal_commas_is_in_the_report(table):
    source = open_source(f"csv:{table(COMMAS)}?target=y")
    report = StreamEngine(NoChangeClassifier(), source).run()
    assert report["notes"] == list(source.notes)


def test_resumes_from_its_row_even_during_an_iteration(table):
    path = table("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(10)))
    source = CSVSource(path, "y")
    for sample in source:
        if sample.seq == 3:
            break
    assert source.position == {"row": 4}
    assert [s.x["a"] for s in source] == [4, 5, 6, 7, 8, 9]
    source.seek({"row": 8})
    assert [s.x["a"] for s in source] == [8, 9]


def test_columns_can_be_unlabelled_dropped_and_timed(table):
    path = table("t,a,b,y\n1970-01-01T00:00:10,1,2,3\n20,3,4,5\n")
    got = list(open_source(f"csv:{path}?target=&drop=b,y&time=t"))
    assert [(s.x, s.y, s.t) for s in got] == [({"a": 1}, None, 10.0), ({"a": 3}, None, 20.0)]


@pytest.mark.parametrize(
    ("content", "options", "text"),
    [
        ("", "target=y", "is empty"),
        ("\n", "target=y", "is empty"),
        ("a,y\n", "target=y", "must have at least one row, got a header only"),
        ("1,2\n3,4\n", "target=y", "must have a header, got numbers"),
        ("a,a,y\n1,2,3\n", "target=y", "distinct column names, got 'a' twice"),
        (
            "a,label\n1,2\n",
            "target=lable",
            "`target` must be a column, got 'lable'; did you mean 'label'",
        ),
        ("a,y\n1,2\n", "", "`target` must name the label column"),
        ("a,y\n1,2\n", "target=y&drop=z", "`drop` must be a column, got 'z'"),
        ("a,y\n1,2\n", "target=y&dorp=a", "no option 'dorp'; did you mean 'drop'"),
        ("a,y\n1,2\n", "target=y&target=a", "csv: 'target' must be given at most once"),
        ("a,y\n1,2\n", "target", "must have the form name=value, got 'target'"),
        ("a,y\n1,2\n", "target=y&rate=fast", "`rate` must be a number, got 'fast'"),
        ("a,y\n1,2\n", "target=y&rate=0", "`rate` must be a number above 0, got 0.0"),
        ("a,y\n1,2\n", "target=y&speed=1", "`speed` needs the column of the recorded times"),
        (
            "a,y\n1,2\n",
            "target=y&task=sorting",
            "`task` must be 'classification' or 'regression', got 'sorting'",
        ),
        (
            "a,y\n1,2\n",
            "target=y&delimiter=ab",
            "`delimiter` must be one character or 'tab', got 'ab'",
        ),
        (
            "a,y\n1,2\n",
            "target=y&separator=ab",
            "`delimiter` must be one character or 'tab', got 'ab'",
        ),
        (
            "a,y\n1,2\n",
            "target=y&separator=;&delimiter=,",
            r"'delimiter' \(or as separator\) must be given at most once",
        ),
        ("a,y\n1,2\n", "target=y&time_format=%d", "`time_format` needs the column of the times"),
        ("a,y\n1,2\n", "target=y&time=a&time_format=d", "`time_format` must be a form such as"),
        ("a,y\n1,2\n", "target=y&decimal=;", "`decimal` must be '.' or ',', got ';'"),
        (
            "a,y\n1,2\n",
            "target=y&encoding=klingon",
            "`encoding` must be .* such as latin-1, .* got 'klingon'",
        ),
        ("a,y\n1,2\n", "target=y&encoding=hex", "`encoding` must be .* got 'hex'"),
        (b"a,y\n\xff\xfe,2\n", "target=y", "line 2 of .* is not UTF-8"),
        ("a,y\n1,2\n3\n", "target=y", "line 3 of .* must have 2 fields, as the header has, got 1"),
        (
            "t,a,y\nnoon,1,2\n",
            "target=y&time=t",
            "seconds since 1970 or an ISO 8601 date, got 'noon'; `time_format` reads other forms",
        ),
        (
            gzip.compress(b"a,y\n1,2\n", mtime=0),
            "target=y",
            "holds gzip data: its name must end in .gz",
        ),
        (
            gzip.compress(b"a,y\n1,2\n", mtime=0),
            "target=y&encoding=latin-1",
            "holds gzip data: its name must end in .gz",
        ),
        (
            b"gr\xf6\xdfe,y\n1,2\n",
            "target=y",
            "the header of .* must be in utf-8; `encoding` names",
        ),
    ],
)
def test_a_bad_file_or_option_raises_one_sentence(table, content, options, text):
    with pytest.raises(LocoStreamError, match=text) as caught:
        list(open_source(f"csv:{table(content)}?{options}"))
    assert "\n" not in str(caught.value)


def test_a_wrong_number_of_cells_raises_at_its_line(table):
    path = table("a,y\n" + "1,0\n" * 1500 + "1,0,9\n")
    source = CSVSource(path, "y")
    with pytest.raises(SourceError, match=r"line 1502 of .* must have 2 fields, .* got 3"):
        list(source)
    assert source.position == {"row": 1500}


def test_a_word_among_integer_labels_is_an_error_and_no_class(table):
    path = table("a,y\n" + "1,0\n" * 1500 + "1,x\n")
    with pytest.raises(
        SourceError, match=r"column 'y': the label must be a whole number, got 'x'$"
    ):
        list(CSVSource(path, "y"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"cannot read .*nothing\.csv: No such file"):
        CSVSource(tmp_path / "nothing.csv", "y")


def test_a_rate_delays_the_rows_and_yields_empty_lists(table):
    path = table("a,y\n1,0\n2,0\n3,0\n")
    source = CSVSource(path, "y", rate=4)
    begin = time.monotonic()
    events = list(source)
    assert time.monotonic() - begin >= 0.5  # the third row is due half a second after the first
    assert [e.x["a"] for e in events if e] == [1, 2, 3]
    assert [] in events


def test_a_speed_delays_the_rows_by_their_times(table):
    path = table("t,a,y\n100,1,0\n101,2,0\n")
    begin = time.monotonic()
    assert [e.t for e in CSVSource(path, "y", time="t", speed=5) if e] == [100.0, 101.0]
    assert time.monotonic() - begin >= 0.2


def test_rate_and_speed_exclude_each_other(table):
    with pytest.raises(ConfigError, match="only one of `rate` and `speed`"):
        CSVSource(table("t,a,y\n1,2,3\n"), "y", time="t", rate=1, speed=1)


@given(st.one_of(st.integers(), st.floats(allow_nan=False)))
def test_numbers_are_parsed_from_cells(value):
    assert parse_cell(repr(value)) == (value if math.isfinite(value) else None)


@given(st.text(max_size=20))
def test_any_cell_becomes_a_plain_value(text):
    value = parse_cell(text)
    assert value is None or isinstance(value, (int, float, bool)) or value == text
    assert number(text) is None or value is None or value == number(text)


@pytest.mark.parametrize("read", ["read_blocks", "__iter__"])
def test_times_of_a_given_form_are_read(table, read):
    path = table("t;a;y\n02.01.1970 00:00;1;0\n02.01.1970 00:01;2;1\n")
    source = open_source(f"csv:{path}?target=y&time=t&time_format=%d.%m.%Y %H:%M")
    times = []
    for event in getattr(source, read)():
        times += event.times.tolist() if isinstance(event, Block) else [event.t]
    assert times == [86400.0, 86460.0]


def test_a_time_of_another_form_is_refused_by_its_line(table):
    path = table("t,a,y\n02.01.1970,1,0\n1970-01-03,2,1\n")
    source = open_source(f"csv:{path}?target=y&time=t&time_format=%25d.%25m.%25Y")
    with pytest.raises(SourceError, match=r"line 3 .*`time` must be of the form '%d.%m.%Y', got"):
        list(source)


def test_times_without_a_zone_are_utc():
    assert (
        event_time("2020-01-01T00:00:00") == event_time("2020-01-01T01:00:00+01:00") == 1577836800.0
    )


def test_the_lifecycle_of_a_table(table):
    text = "".join(f"{i},{i / 7},{'uv'[i % 2]},{i}\n" for i in range(100))
    path = table(f"a,b,y,t\n{text}")
    check_source(lambda: open_source(f"csv:{path}?target=y&time=t"), n_rows=100)


@pytest.mark.parametrize("in_blocks", [True, False])
def test_a_bad_row_leaves_no_file_open(tmp_path, in_blocks):
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n" + (PEEK + 9) * "1,a\n" + "2,b,c\n3,a\n")
    source = CSVSource(path, target="y")
    with pytest.raises(SourceError) as error:
        list(source.read_blocks() if in_blocks else source)
    assert error.tb is not None  # the frames that have the file are still there
    assert source._lines._text.closed


@pytest.mark.parametrize("cell", ["1,234.5", "1.234,5", "1 234", "-12'345.25"])
def test_numbers_with_separators_of_thousands_are_noted(cell, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(f"a;address;y\n{cell};192.168.100.200;x\n")
    for decimal in (".", ","):
        (note,) = CSVSource(path, "y", decimal=decimal).notes
        assert f"1 column holds texts such as {cell!r} (a)" in note
        assert "without separators of thousands they are numbers" in note
