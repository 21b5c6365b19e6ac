"""A sink that keeps what it gets."""

from loco_stream.stream import Sink


class Kept(Sink):
    """Keeps predictions, records of the kinds asked for, and the report."""

    def __init__(self, *kinds):
        self.kinds = frozenset(kinds or {"prediction"})
        self.rows = []
        self.records = []
        self.report = None

    def write(self, prediction):
        assert "prediction" in self.kinds
        self.rows.append(prediction)

    def write_record(self, record):
        self.records.append(record)

    def close(self, report):
        self.report = report
