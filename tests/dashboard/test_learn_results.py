"""`POST /learn` says for each row what became of it."""

from __future__ import annotations

import pytest

from loco_stream.engine import StreamEngine
from loco_stream.engine._inbox import Inbox, InboxRow, InboxSource, RowResult
from loco_stream.engine._source_reader import SourceReader
from loco_stream.stream import Source
from tests.helpers.standin import ListSource, Means


class Engine:
    """An engine whose rows come from an inbox; `put` learns them and returns the results."""

    def __init__(self, folder):
        self.inbox = Inbox("http")
        self.source = InboxSource(ListSource([[]]), self.inbox)
        self.engine = StreamEngine(
            Means(), SourceReader(self.source), checkpoint=folder, resume=None, strict=False
        )
        self.futures = []

    def run(self):
        """Run until everything that was put is learned, without a checkpoint at the end."""
        self.engine._finish = lambda: None
        watch = self.engine._board.update

        def update(engine):
            watch(engine)
            if all(future.done() for future in self.futures):
                engine.stop()

        self.engine._board.update = update
        self.engine.run()
        return [[result.status for result in future.result()] for future in self.futures]

    def put(self, labels, seq=None, source="press", client="a"):
        rows = [InboxRow({"a": 0.5}, label) for label in labels]
        name = None if seq is None else source
        self.futures.append(self.inbox.put(rows, name, seq or 0, client))


@pytest.mark.parametrize("size", [1, 64, 65, 100, 256])
def test_a_batch_that_is_sent_again_is_repeated(tmp_path, size):
    first = Engine(tmp_path)
    first.put(["on"] * size, seq=7)
    first.put(["on"] * size, seq=7)
    assert first.run() == [["learned"] * size, ["repeated"] * size]
    again = Engine(tmp_path)  # killed and started again
    again.put(["on"] * size, seq=7)
    again.put(["on"] * size, seq=7 + size)
    assert again.run() == [["repeated"] * size, ["learned"] * size]
    assert again.engine.report["n_samples"] == 2 * size


def test_a_row_that_the_model_refuses_is_not_called_learned(tmp_path):
    labels = ["on", "refuse me", "off"]
    results = ["learned", "refused", "learned"]
    first = Engine(tmp_path)
    first.put(labels, seq=0)
    first.put(labels)
    assert first.run() == [results, results]
    assert first.futures[0].result()[1] == RowResult("refused", "this label is refused")
    again = Engine(tmp_path)
    again.put(labels, seq=0)
    assert again.run() == [["repeated", "refused", "repeated"]]
    assert again.engine.report["n_samples"] == 4


def test_a_row_whose_id_came_before_is_repeated(tmp_path):
    first = Engine(tmp_path)
    rows = [InboxRow({"a": 0.5}, y, id=of) for y, of in (("on", 7), (None, 8), ("on", 7.0))]
    for client in (None, "press"):
        first.futures.append(first.inbox.put([*rows, rows[1]], client))
    assert first.run() == [
        ["learned", "waiting", "repeated", "repeated"],
        ["repeated"] * 4,
    ]
    assert not first.source._repeated
    again = Engine(tmp_path)
    again.futures.append(again.inbox.put(rows))
    assert again.run() == [["repeated"] * 3]
    assert again.engine.report["n_samples"] == 1


def test_a_source_beside_an_inbox_is_told_of_its_own_rows():
    told = []

    class Told(ListSource):
        def refuse(self, source, seq, reason):
            told.append((source, seq, reason))

        def repeat(self, source, seq):
            told.append((source, seq, "repeated"))

    joined = InboxSource(Told([]), Inbox("http"))
    for source in ("rows", "http", "http/press"):
        joined.refuse(source, 1, "no number")
        joined.repeat(source, 2)
    assert told == [("rows", 1, "no number"), ("rows", 2, "repeated")]


def test_an_operator_can_reset_a_source(tmp_path):
    engine = Engine(tmp_path)
    engine.put(["on"], seq=5)
    engine.run()
    again = Engine(tmp_path)
    known = [
        again.engine.queries.submit(lambda engine, name=name: engine.source.forget(name))
        for name in ("press", "nobody")
    ]
    again.put(["on"], seq=5)
    assert again.run() == [["learned"]]
    assert [answer.result() for answer in known] == [True, False]


def test_a_source_with_an_inbox_has_all_that_the_source_has():
    names = [n for n, m in vars(Source).items() if not n.startswith("_") and not callable(m)]
    names.remove("needs_log")  # an inbox always needs it
    whole = type("Whole", (ListSource,), {name: name for name in names})([[]])
    whole.name = "name"
    joined = InboxSource(whole, Inbox("http"))
    assert "notes" in names
    assert {name: getattr(joined, name) for name in names} == {name: name for name in names}
