"""Header lines that come again: after a rotation, in joined files, and with other columns."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from loco_stream.connectors import CSVSource
from loco_stream.errors import SourceError
from loco_stream.stream import Block, Sample
from loco_stream.testing import check_source

HEADER = "speed,number,kind\n"


def rows_in(source):
    return [(event.x, event.y) for event in source if isinstance(event, Sample)]


def following(path, **options):
    return CSVSource(path, "kind", follow=True, **{"idle": 1.0, **options})


@pytest.fixture
def rotated(tmp_path):
    """Return what follows a file through a rotation to a file of some text."""

    def rows_after(text):
        path = tmp_path / "rows.csv"
        path.write_text(f"{HEADER}0.1,1,a\n")
        source = following(path, idle=2.0)  # the first row waits a second for others
        events = iter(source)
        assert next(filter(None, events)).x == {"speed": 0.1, "number": 1}
        path.rename(tmp_path / "rows.csv.1")
        path.write_text(text)
        rows = rows_in(events)
        source.close()
        return rows, source

    return rows_after


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}0.5,2,b\n",
        "kind,number,speed\nb,2,0.5\n",
        '"speed","number","kind"\n0.5,2,b\n',
        '\ufeff"kind","speed","number"\r\nb,0.5,2\r\n',
        "speed;number;kind\n0.5;2;b\n",
        "0.5,2,b\n",  # none
    ],
)
def test_the_header_of_a_rotated_file_holds_for_its_rows(text, rotated):
    rows, source = rotated(text)
    assert rows == [({"speed": 0.5, "number": 2}, "b")]
    assert not source.notes


@pytest.mark.parametrize("options", [{}, {"follow": True, "idle": 0.3}])
def test_a_header_with_spaces_around_its_names_is_no_row(options, tmp_path):
    path = tmp_path / "rows.csv"
    header = " speed , number , kind \n"
    path.write_text(f"{header}0.5,2,b\n{header}0.6,3,b\n")
    rows = rows_in(CSVSource(path, "kind", **options))
    assert rows == [({"speed": 0.5, "number": 2}, "b"), ({"speed": 0.6, "number": 3}, "b")]


def test_columns_that_come_or_go_with_a_rotation_are_noted(rotated):
    rows, source = rotated("speed,load,kind,gear\n0.5,7,b,3\n")
    assert rows == [({"speed": 0.5, "load": 7, "gear": 3}, "b")]
    assert source.schema.features == ("speed", "load", "gear")
    (note,) = source.notes
    assert "new: load, gear, gone: number" in note


def test_a_rotated_file_without_the_label_column_is_refused(rotated):
    with pytest.raises(SourceError, match="`target` must be a column, got 'kind'"):
        rotated("speed,number,sort\n0.5,2,b\n")


def test_cells_that_are_names_of_columns_make_no_header(tmp_path):
    path = tmp_path / "rows.csv"
    lines = ["state,0,1,y", "state,5,6,on", "y,0,1,on", "x,1,0,y", "state,1,0,off"]
    path.write_text("\n".join([*lines, ""]))
    for options in ({}, {"follow": True, "idle": 0.3}):
        rows = rows_in(CSVSource(path, "y", **options))
        assert [row["state"] for row, _ in rows] == ["state", "y", "x", "state"]


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("n", [3, 30_000])
def test_headers_in_a_recording_hold_for_the_rows_below(n, in_blocks, tmp_path):
    path = tmp_path / "rows.csv"
    first = "".join(f"{i / 2},{i},a\n" for i in range(n))
    second = "".join(f"{i},b,{i / 2}\n" for i in range(n))
    path.write_text(f"{HEADER}{first}{HEADER}{first}number,kind,speed\n{second}")
    source = CSVSource(path, "kind")
    numbers = []
    for item in source.read_blocks() if in_blocks else source:
        for event in item if isinstance(item, list) else [item]:
            if isinstance(event, Block):
                speed, number = (event.X[:, event.features.index(k)] for k in ("speed", "number"))
                numbers += number.tolist()
                assert (speed == number / 2).all()
            else:
                numbers.append(event.x["number"])
                assert event.x["speed"] == event.x["number"] / 2
    assert numbers == list(range(n)) * 3
    assert source.skipped == {}


def test_a_recording_with_several_headers_is_resumed(tmp_path):
    path = tmp_path / "rows.csv"
    rows = "".join(f"{i},{i},a\n" for i in range(20))
    path.write_text(f"{HEADER}{rows}{HEADER}{rows}kind,number,speed\n" + "a,7,7\n" * 20)
    check_source(lambda: CSVSource(path, "kind"), n_rows=60)
    check_source(lambda: following(path), n_rows=60)


def stopped(path):
    """Return the position after the rows in a file."""
    source = following(path)
    rows_in(source)
    source.close()
    return json.loads(json.dumps(source.position))


def resumed(path, position, **options):
    source = following(path, **options)
    source.seek(position)
    return rows_in(source)


def test_rows_that_were_written_before_a_rotation_keep_their_columns_on_resume(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(f"{HEADER}0.1,1,a\n")
    position = stopped(path)
    path.write_text(f"{HEADER}0.1,1,a\n0.2,2,b\n")
    path.rename(tmp_path / "rows.csv.1")
    time.sleep(0.02)  # files written within one tick of the clock have no order
    path.write_text("kind,number,speed\nc,3,0.3\n")
    assert resumed(path, position) == [
        ({"speed": 0.2, "number": 2}, "b"),
        ({"speed": 0.3, "number": 3}, "c"),
    ]


@pytest.mark.parametrize("text", ["", "0.3,3,c\n"])
def test_a_run_is_resumed_in_a_file_that_was_truncated_and_has_no_header(text, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(f"{HEADER}0.1,1,a\n")
    position = stopped(path)
    shutil.copy(path, tmp_path / "rows.csv.1")
    time.sleep(0.02)
    path.write_text(text)
    assert resumed(path, position) == [({"speed": 0.3, "number": 3}, "c")] * bool(text)


def test_a_row_in_place_of_the_header_is_refused_at_the_first_start(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("0.3,3,c\n")
    with pytest.raises(SourceError, match="is its first line a row instead of a header"):
        rows_in(following(path))


def test_a_delimiter_that_is_given_is_not_overridden_by_a_saved_header(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(f"{HEADER}0.1,1,a\n")
    position = stopped(path)
    with pytest.raises(SourceError, match="`target` must be a column, got 'kind'"):
        resumed(path, position, delimiter=";")


def test_blank_lines_before_the_header_of_a_growing_file(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(f"\n\n{HEADER}0.1,1,a\n")
    assert rows_in(following(path)) == [({"speed": 0.1, "number": 1}, "a")]
