"""What a live source leaves out, and that it is out of reach, is known while the stream runs."""

import logging

import pytest
from river import naive_bayes

from loco_stream import StreamEngine
from loco_stream._cli._service_state import ServiceState
from loco_stream.engine import _unused_log as unused_log
from loco_stream.engine._readings import readings
from loco_stream.engine._source_reader import SourceReader
from loco_stream.stream import Source


class Broker(Source):
    """Delivers nothing that can be read."""

    name = "broker"
    is_live = True
    last_error = "a message must be JSON, got b'n/a'"

    def __init__(self):
        self.stats = {"malformed": 0}

    @property
    def position(self):
        return {}

    def seek(self, position):
        """There is nowhere to go."""

    def __iter__(self):
        while self.stats["malformed"] < 3:
            self.stats["malformed"] += 1
            yield []


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_messages_that_cannot_be_read_are_logged_before_the_first_row(caplog):
    reader = SourceReader(Broker())
    assert reader.next()[0] == []
    assert lines(caplog) == [
        "1 row or message not used; the last error: a message must be JSON, got b'n/a'"
    ]


def test_they_are_logged_at_a_bounded_rate_with_their_number(caplog, monkeypatch):
    now = 100.0
    monkeypatch.setattr(unused_log.time, "monotonic", lambda: now)
    reader = SourceReader(Broker())
    reader.next()
    now += 9.0
    reader.next()
    assert len(lines(caplog)) == 1
    now += 1.0
    reader.next()
    assert lines(caplog)[1].startswith("3 rows or messages not used; the last error: ")


def test_a_recording_reports_them_at_its_end_alone(caplog, monkeypatch):
    monkeypatch.setattr(Broker, "is_live", False)
    SourceReader(Broker()).next()
    assert lines(caplog) == []


@pytest.mark.parametrize("n", [0, 3])
def test_the_status_has_them_while_there_is_no_model(n):
    state = ServiceState()
    state.source = Broker()
    state.source.stats["malformed"] = n
    assert state.status["n_unused"] == n
    assert len(state.status["unused"]) == bool(n)
    assert state.status["outage"] is None


def test_an_outage_of_the_source_is_in_status_report_and_metrics():
    """A broker that was down showed in the log alone."""

    class Lost(Broker):
        outage = "the broker does not answer"

    state = ServiceState()
    state.source = Lost()
    assert state.status["outage"] == "the broker does not answer"
    engine = StreamEngine(naive_bayes.GaussianNB(), Lost())
    report = engine.run()
    assert engine.status["outage"] == report["outage"] == "the broker does not answer"
    outages = [one for one in readings(engine.status) if one.name == "loco_source_outage"]
    assert [point.value for one in outages for point in one.points] == [True]
