from __future__ import annotations

from loco_stream.engine import StreamEngine
from loco_stream.stream import Sample
from tests.helpers.standin import ListSource, Means


class Sink:
    def __init__(self, broken_at=None, broken_end=False):
        self.n, self.report, self._broken_at, self._broken_end = 0, None, broken_at, broken_end

    def write(self, prediction):
        self.n += 1
        if self.n == self._broken_at:
            raise BrokenPipeError("the reader is gone")

    def close(self, report):
        self.report = report
        if self._broken_end:
            raise OSError("disk full")


def test_a_sink_or_watcher_that_raises_ends_itself_and_not_the_engine():
    rows = [Sample({"a": float(i)}, f"c{i % 2}", i) for i in range(20)]
    good, broken, last = Sink(), Sink(broken_at=5), Sink(broken_end=True)
    looks = []

    def watcher(engine):
        looks.append(engine)
        raise KeyError("no such field")

    engine = StreamEngine(Means(), ListSource(rows), sinks=[broken, good, last], watchers=[watcher])
    report = engine.run()
    assert (good.n, broken.n, last.n, report["n_samples"]) == (20, 5, 20, 20)
    assert len(looks) == 1
    assert good.report["n_samples"] == report["n_ended"] + 18 == 20
    assert repr(engine) == (
        "StreamEngine(Means, 'list', monitor=TaskMonitor(task='classification', detector='HDDMA', tasks='auto', "
        "holdout=0, n_drifts=0, segments=1), n_samples=20)"
    )
    assert broken.report is None
    assert report["notes"] == [
        "the watcher watcher ended: KeyError: 'no such field'",
        "the sink Sink ended: BrokenPipeError: the reader is gone",
        "the sink Sink ended: OSError: disk full",
    ]
