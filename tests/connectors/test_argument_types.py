"""Every argument of a source, sink or sender that is of another type is refused by name."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

import numpy as np
import pytest

from loco_stream import connectors
from loco_stream.connectors import (
    BufferedSink,
    CSVSource,
    JSONLSink,
    Limits,
    NPYSource,
    RiverSource,
    ZMQSource,
)
from loco_stream.errors import ConfigError

NOT_CHECKED = {"Any", "Limits | None"}


def cases():
    for name in connectors.__all__:
        build = getattr(connectors, name)
        if not isinstance(build, type):
            continue
        parameters = signature(build).parameters.values()
        required = {
            each.name: "x"
            for each in parameters
            if each.default is each.empty and each.kind is not each.VAR_KEYWORD
        }
        for each in parameters:
            if each.annotation not in NOT_CHECKED:
                yield pytest.param(build, required, each.name, id=f"{name}-{each.name}")


class PrintingSink(BufferedSink):
    def send(self, records):
        print(records)


@pytest.mark.parametrize(("build", "required", "name"), list(cases()))
def test_an_argument_of_another_type_is_refused(build, required, name):
    if build is BufferedSink:
        build = PrintingSink
    with pytest.raises(ConfigError, match=rf"^`{name}` must be .*, got object$"):
        build(**{**required, name: object()})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: CSVSource(None), "`path` must be a text or a path, got NoneType"),
        (lambda path: CSVSource(path, "y", drop="a"), "`drop` must be a list or tuple of texts"),
        (lambda path: CSVSource(path, "y", rate=True), "`rate` must be None or a number, got bool"),
        (lambda path: JSONLSink(path, queue=10.0), "`queue` must be an integer, got float"),
        (lambda path: JSONLSink(path, append="no"), "`append` must be True or False, got str"),
        (lambda path: Limits(rows="8"), "`rows` must be an integer, got str"),
        (
            lambda path: ZMQSource("tcp://127.0.0.1:*", limits={"rows": 8}),
            "`limits` must be None or a Limits, got dict",
        ),
        (
            lambda path: RiverSource(3),
            "`name` must be a text or a dataset object of river, got int",
        ),
    ],
)
def test_the_error_names_what_is_allowed(make, text, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n1,2\n")
    with pytest.raises(ConfigError, match=f"^{text}"):
        make(path)


def test_a_dataset_object_of_river_takes_no_arguments():
    from river.datasets import Phishing

    with pytest.raises(ConfigError, match="`params` must be empty with a dataset object"):
        RiverSource(Phishing(), seed=1)


def test_numbers_of_numpy_are_numbers(tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((4, 3)))
    source = NPYSource(Path(tmp_path / "rows.npy"), np.int64(-1), block=np.uint8(2))
    assert len(next(iter(source)).X) == 2


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("HTTPSink", ["http://127.0.0.1:9"]),
        ("MQTTSink", ["127.0.0.1", "plant"]),
        ("KafkaSink", ["127.0.0.1", "plant"]),
        ("NATSSink", ["127.0.0.1", "plant"]),
        ("RedisSink", ["127.0.0.1", "plant"]),
    ],
)
@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
def test_a_timeout_is_above_0(name, where, timeout):
    with pytest.raises(ConfigError, match="`timeout` must be a number above 0, got"):
        getattr(connectors, name)(*where, timeout=timeout)


@pytest.mark.parametrize("option", ["timeout", "linger"])
@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_a_sender_waits_0_seconds_or_more(option, seconds):
    with pytest.raises(ConfigError, match=f"`{option}` must be 0 seconds or more, got {seconds}"):
        connectors.ZMQSender("tcp://127.0.0.1:9", **{option: seconds})
