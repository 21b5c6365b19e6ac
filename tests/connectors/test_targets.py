"""Sources whose rows have several targets: `?target=a,b`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from loco_stream._cli._http_api import _fields
from loco_stream._problems import TARGETS
from loco_stream.connectors import open_source
from loco_stream.connectors._base.fields import FieldRoles
from loco_stream.connectors._base.topic_joiner import TopicJoiner
from loco_stream.connectors._line_protocol import LineReader
from loco_stream.connectors.ls1._messages import read_message, read_row
from loco_stream.connectors.sinks.influx_sink import line
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Block, Event, Labels, Sample

WANTED = [
    ({"load": 1.0}, {"heat": 20.5, "flow": 2.0}),
    ({"load": 2.0}, {"heat": 21.0}),
    ({"load": 3.0}, None),
]


def pairs_of(source):
    """Return the rows of a source and those of its blocks, which must be the same."""
    rows = [(dict(event.x), event.y) for event in source]
    source.seek({"row": 0})
    found = []
    for item in source.read_blocks():
        for event in [item] if isinstance(item, Event) else item:
            found += labelled_rows(event)
    assert found == rows
    return rows


def labelled_rows(event):
    """Return the rows of a block, or a single one."""
    if isinstance(event, Sample):
        return [(dict(event.x), event.y)]
    assert isinstance(event, Block)
    labels = event.y or [None] * len(event.X)
    return [
        (dict(zip(event.features, x, strict=True)), y)
        for x, y in zip(event.X.tolist(), labels, strict=True)
    ]


def write_csv(path):
    path.write_text("load,heat,flow\n1.0,20.5,2\n2.0,21,\n3.0,,NaN\n")
    return f"csv:{path}?target=heat,flow"


def write_jsonl(path):
    rows = [{"load": x["load"], **(y or {})} for x, y in WANTED]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return f"jsonl:{path}?target=heat,flow"


def write_parquet(path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {
        "load": [1.0, 2.0, 3.0],
        "heat": [20.5, 21.0, None],
        "flow": pyarrow.array([2, None, None], "int64"),
    }
    parquet.write_table(pyarrow.table(columns), path)
    return f"parquet:{path}?target=heat,flow"


def write_arrow(path):
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"load": [1.0, 2.0, 3.0], "heat": [20.5, 21.0, None], "flow": [2.0] * 3})
    flow = pyarrow.array([2.0, None, None])
    table = table.set_column(2, "flow", flow)
    with pyarrow.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    return f"arrow:{path}?target=heat,flow"


@pytest.mark.parametrize("write", [write_csv, write_jsonl, write_parquet, write_arrow])
def test_tables_have_a_dict_of_the_known_targets(tmp_path, write):
    source = open_source(write(tmp_path / "rows"))
    assert source.schema.task == TARGETS
    assert source.targets == ("heat", "flow")
    assert source.labels_from == "columns 'heat', 'flow'"
    assert pairs_of(source) == WANTED


def test_a_comma_may_be_part_of_the_name_of_a_column(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('load,"heat, C"\n1.0,20.5\n2.0,21.5\n')
    source = open_source(f"csv:{path}?target=heat, C")
    assert source.targets == ()
    assert [event.y for event in source] == [20.5, 21.5]


def test_a_target_that_is_no_column_or_no_number_is_named(tmp_path):
    url = write_csv(tmp_path / "rows")
    with pytest.raises(SourceError, match=r"`target` must be a column, got 'flw'; did you mean"):
        open_source(url.replace("flow", "flw"))
    with pytest.raises(ConfigError, match="regression with several targets"):
        open_source(url, task="classification")
    path = tmp_path / "bad.csv"
    path.write_text("load,heat,flow\n1.0,20.5,2\n2.0,warm,3\n")
    source = open_source(f"csv:{path}?target=heat,flow", on_bad="skip")
    assert [event.y for event in source if event] == [{"heat": 20.5, "flow": 2.0}]
    assert source.skipped == {"label of another type": 1}


@pytest.mark.parametrize("target", ["heat,heat", "heat,", ",heat", "heat,,flow", ","])
def test_targets_that_are_not_distinct_names_are_refused(target, tmp_path):
    wrong = "`target` must be distinct names separated by commas, got"
    url = write_csv(tmp_path / "rows").replace("heat,flow", target)
    for refused in (url, f"redis://127.0.0.1:6379/rows?target={target}"):
        with pytest.raises(ConfigError, match=wrong):
            open_source(refused)
    with pytest.raises(ConfigError, match=wrong):
        _fields(f"target={target}")


def test_a_column_may_be_named_like_a_list_with_an_empty_name(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('load,"heat,"\n1.0,20.5\n2.0,21.5\n')
    assert [event.y for event in open_source(f"csv:{path}?target=heat,")] == [20.5, 21.5]


@pytest.mark.parametrize("in_blocks", [True, False])
def test_a_text_among_several_targets_is_named(in_blocks, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("load,heat,kind\n1.0,20.5,warm\n2.0,21,cold\n")
    source = open_source(f"csv:{path}?target=heat,kind")
    with pytest.raises(SourceError) as error:
        list(source.read_blocks() if in_blocks else source)
    assert "target 'kind' must be a number, as each of several targets, got 'warm'" in str(
        error.value
    )


def test_lines_with_x_and_y_may_have_targets_and_late_ones(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [
        {"x": {"load": 1}, "y": {"heat": 20.5}, "id": 1},
        {"x": {"load": 2}, "id": 2},
        {"id": 2, "label": {"heat": 21, "flow": 2}},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    source = open_source(f"jsonl:{path}")
    assert source.schema.task == TARGETS
    first, second, late = source
    assert first.y == {"heat": 20.5}
    assert second.y is None
    assert isinstance(late, Labels)
    assert late.y == [{"heat": 21, "flow": 2}]


def test_messages_have_targets_in_fields_or_in_y():
    fields = FieldRoles(target="heat,flow", id="order")
    row = read_message(b'{"order": 7, "load": 1, "heat": 20.5, "flow": null}', fields=fields)
    assert (row.x, row.y, row.id) == ({"load": 1}, {"heat": 20.5}, 7)
    assert read_row(b'{"x": {"load": 1}, "y": {"heat": 20.5}}').y == {"heat": 20.5}
    for body in (b'{"order": 7, "heat": 20.5}', b'{"order": 7, "label": {"heat": 20.5}}'):
        label = read_message(body, fields=fields)
        assert (label.id, label.label) == (7, {"heat": 20.5})
    with pytest.raises(SourceError, match="target 'heat' must be a number from"):
        read_row(b'{"x": {"load": 1}, "y": {"heat": 1e31}}')


def test_topics_of_several_targets_join_to_one_row():
    joiner = TopicJoiner(1.0, FieldRoles(target="heat,flow"), 8)
    for name, body in (("load", b"1"), ("heat", b"20.5"), ("flow", b"2")):
        joiner.put(f"press/{name}", body)
    row = joiner.end()
    assert (row.x, row.y) == ({"load": 1}, {"heat": 20.5, "flow": 2})


def test_the_line_protocol_has_fields_per_target():
    pytest.importorskip("line_protocol_parser")
    (row,) = LineReader(FieldRoles(target="heat,flow")).read(
        b"press load=1,heat=20.5,flow=2i 1", "s"
    )
    assert row.y == {"heat": 20.5, "flow": 2}
    assert row.x == {"measurement": "press", "load": 1.0}
    record = {"kind": "prediction", "source": "", "seq": 0, "t": 1.0, "prediction": {"a b": 1.5}}
    assert line(record, 0.0) == r"loco_prediction seq=0i,value_a\ b=1.5 1000000000"


def test_datasets_of_river_with_several_values():
    rows = list(open_source("river:SolarFlare"))
    assert open_source("river:SolarFlare").schema.task == TARGETS
    assert len(rows) == 1066
    assert set(rows[0].y) == {"c-class-flares", "m-class-flares", "x-class-flares"}
    assert all(isinstance(value, float) for row in rows for value in row.y.values())
    assert np.isfinite([value for row in rows for value in row.y.values()]).all()
