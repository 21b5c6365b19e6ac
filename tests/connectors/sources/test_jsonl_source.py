"""`JSONLSource`: lines, labels, resume, bad lines."""

from __future__ import annotations

import gzip
import json
import math

import pytest

from loco_stream.connectors import JSONLSource, open_source
from loco_stream.errors import LocoStreamError, SourceError
from loco_stream.stream import Source
from loco_stream.testing import check_source


def lines(path, *rows):
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    )
    return path


def test_flat_lines_are_parsed(tmp_path):
    path = lines(
        tmp_path / "r.jsonl", {"a": 1, "b": True, "y": "on"}, "", {"a": 2.5, "c": "red", "y": None}
    )
    source = open_source(f"jsonl:{path}?target=y")
    assert isinstance(source, Source)
    assert [(s.x, s.y, s.seq) for s in source] == [
        ({"a": 1, "b": True}, "on", 0),
        ({"a": 2.5, "c": "red"}, None, 1),
    ]
    assert source.schema.features is None  # rows may have different keys
    assert source.schema.task == "classification"


def test_lines_of_the_form_of_messages(tmp_path):
    path = lines(
        tmp_path / "r.jsonl",
        {"x": {"y": 1, "t": 5}, "y": 2.5, "t": 100.0},
        {"x": {"y": None}, "y": 3},
    )
    path.write_text('{"x": {"a": 1}, "y": 2.5, "t": 100.0}\n{"x": {"a": null}, "y": 3}\n')
    source = JSONLSource(path)
    got = list(source)
    assert source.schema.task == "regression"
    assert [(s.x, s.y) for s in got] == [({"a": 1}, 2.5), ({"a": None}, 3.0)]
    assert got[0].t == 100.0
    assert got[1].t != got[1].t


def test_resumes_from_its_row_in_gzip(tmp_path):
    path = tmp_path / "r.jsonl.gz"
    with gzip.open(path, "wt") as f:
        f.writelines(json.dumps({"a": i, "y": i % 2}) + "\n" for i in range(10))
    source = JSONLSource(path, "y")
    source.seek({"row": 7})
    assert [(s.x["a"], s.y, s.seq) for s in source] == [(7, 1, 7), (8, 0, 8), (9, 1, 9)]


@pytest.mark.parametrize(
    ("content", "options", "text"),
    [
        ("", "target=y", "must have at least one line with a JSON object, got none"),
        ('{"a": 1}\n', "target=y", "`target` must be a column, got 'y'"),
        ('{"a": 1}\n', "", "`target` must name the label column"),
        ('{"a": 1, "y": 0}\n[1]\n', "target=y", "line 2 of .* must be a flat JSON object"),
        (
            '{"c": 1, "a": {"b": 1}, "y": 0}\n',
            "target=y",
            ": `a` must be .*, got a map$",
        ),
        (
            '{"x": {"c": 1, "a": [1]}, "y": 0}\n',
            "",
            r": `x\['a'\]` must be .* a list$",
        ),
        ('{"x": {"c": 1}, "y": 0}\n', "target=y", "line 1 .* flat .*: `x` must be .*, got a map$"),
        ('{"x": {"c": 1}, "y": [1]}\n', "", "line 1 .* flat .*: `y` must be .*, got a list$"),
        ('{"a": [1], "y": \n', "target=y", "line 1 .* flat"),
        ('{"a": ' + "[" * 100_000, "target=y", "line 1 .* flat"),
        ('{"a": 1, "y": 0}\n{"a": \n', "target=y", "line 2"),
        ('{"a": 1, "y": 0}\n', "target=y&delimiter=;", "no option 'delimiter'"),
        ("[" * 100_000, "target=y", "line 1"),
    ],
)
def test_bad_lines_raise_one_sentence(tmp_path, content, options, text):
    path = tmp_path / "r.jsonl"
    path.write_text(content)
    with pytest.raises(LocoStreamError, match=text) as caught:
        list(open_source(f"jsonl:{path}?{options}"))
    assert "\n" not in str(caught.value)


def test_the_lifecycle_of_json_lines(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"a": i, "colour": "red" if i % 2 else None, "y": i % 3} for i in range(100)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    check_source(lambda: open_source(f"jsonl:{path}?target=y"), n_rows=100)


def test_the_time_of_a_message_may_be_a_date_or_null(tmp_path):
    path = tmp_path / "rows.jsonl"
    times = ("100.5", '"1970-01-01T00:01:41Z"', "null", '"noon"')
    path.write_text("".join(f'{{"x": {{"a": 1}}, "y": "on", "t": {t}}}\n' for t in times))
    found = [row.t for row in JSONLSource(path, on_bad="skip") if row]
    assert found[:2] == [100.5, 101.0]
    assert math.isnan(found[2])
    with pytest.raises(LocoStreamError, match=r"line 4 .* 'noon'"):
        list(JSONLSource(path))


def test_the_id_of_a_message_is_no_feature_where_the_first_one_has_none(tmp_path):
    path = lines(
        tmp_path / "r.jsonl",
        {"x": {"a": 1}, "y": "on"},
        {"x": {"a": 2}, "y": None, "id": "k"},
        {"id": "k", "label": "off"},
    )
    first, second, _ = JSONLSource(path)
    assert (first.x, first.id) == ({"a": 1}, None)
    assert (second.x, second.id) == ({"a": 2}, "k")


def test_an_option_of_csv_files_alone_is_refused(tmp_path):
    (tmp_path / "s.jsonl").write_text('{"a": 1, "k": 2}\n')
    with pytest.raises(TypeError, match="time_format"):
        JSONLSource(tmp_path / "s.jsonl", "k", time="a", time_format="%Y")


def test_names_that_come_late_are_features_only_if_they_are_used(tmp_path):
    rows = [{"a": 1, "y": "on"}] * 1200 + [{"a": 1, "y": "on", "leak": "on"}]
    path = lines(tmp_path / "r.jsonl", *rows)
    assert {name for row in JSONLSource(path, "y", use=["a"]) for name in row.x} == {"a"}
    assert {name for row in JSONLSource(path, "y") for name in row.x} == {"a", "leak"}


def test_only_features_count_as_features(tmp_path):
    rows = [{"a": 1, f"other {i}": 1, "y": "on"} for i in range(5000)]
    path = lines(tmp_path / "r.jsonl", *rows)
    assert len(list(JSONLSource(path, "y", use=["a"]))) == 5000
    assert len(list(JSONLSource(path, "y"))) == 5000  # the engine bounds the names of all rows
    wide = {f"name {i}": 1 for i in range(5000)}
    path = lines(tmp_path / "w.jsonl", {"a": 1, "y": "on"}, {**wide, "a": 1, "y": "on"})
    with pytest.raises(SourceError, match=r"line 2 .* at most 4096 features, got 5002"):
        list(JSONLSource(path, "y"))
    assert len(list(JSONLSource(path, "y", use=["a"]))) == 2
