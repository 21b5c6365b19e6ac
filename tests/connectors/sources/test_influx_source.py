"""`InfluxSource`: the line protocol of InfluxDB in files."""

from __future__ import annotations

import time

import pytest

from loco_stream.connectors import InfluxSource, open_source
from loco_stream.errors import SourceError
from loco_stream.testing import check_source

LINES = [f'press,site=a speed={i / 4},state="ok",order={i}i {i}000000000' for i in range(30)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "points.txt"
    path.write_text("# a comment\n" + "\n".join(LINES) + "\n")
    return path


def test_tags_and_fields_become_columns(path):
    first, second, *_ = open_source(
        f"influx:{path}?target=state&id=order&drop=measurement&keep=site"
    )
    assert (first.x, first.y, first.t, first.id) == ({"site": "a", "speed": 0.0}, "ok", 0.0, 0)
    assert (second.t, second.extra) == (1.0, {"keep": {"site": "a"}})


def test_the_lifecycle_of_a_source(path):
    check_source(lambda: InfluxSource(path, target="state"))


def test_a_malformed_line_is_named(path):
    path.write_text(path.read_text() + "nonsense\n")
    with pytest.raises(SourceError, match="invalid line protocol"):
        list(InfluxSource(path, target="state"))


def test_a_speed_delays_the_points_by_their_timestamps(path):
    begin = time.monotonic()
    points = open_source(f"influx:{path}?target=state&speed=100")
    assert len([point for point in points if point]) == 30
    assert time.monotonic() - begin >= 0.29


def test_fields_that_come_late_are_features_only_if_they_are_used(path):
    path.write_text("\n".join([*LINES * 40, 'press speed=1,state="ok",leak="ok" 1']))
    source = InfluxSource(path, target="state", use=["speed"])
    assert {name for row in source for name in row.x} == {"speed"}
