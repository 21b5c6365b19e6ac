"""`check_sink` accepts a correct sink and names what is wrong with others."""

from __future__ import annotations

import threading
import time

import pytest

from loco_stream.records import of_prediction
from loco_stream.stream import Sink
from loco_stream.testing import check_sink


class Receiver:
    """Collects records while it is reachable."""

    def __init__(self):
        self.records = []
        self.is_reachable = True

    def received(self):
        records = self.records[:]
        self.records.clear()
        return records


class Queue(Sink):
    """Sends records when it is closed, and keeps them if the receiver is away."""

    name = "queue"
    guarantee = "at least once (kept until the receiver is there)"
    kinds = frozenset({"prediction", "drift", "task", "status"})

    def __init__(self, receiver):
        self._receiver = receiver
        self._waiting = []

    def write(self, prediction):
        self._waiting.append(of_prediction(prediction))

    def write_record(self, record):
        self._waiting.append(record)

    def close(self, report):
        if self._receiver.is_reachable:
            self._receiver.records += self._waiting
            self._waiting = []

    @property
    def notes(self):
        return [f"{len(self._waiting)} records were not sent"] if self._waiting else []

    def export_state(self):
        return list(self._waiting)

    def restore_state(self, state):
        self._waiting += state


def check(cls, **options):
    """Check a sink class, with and without its receiver."""
    receiver = Receiver()

    def make(is_reachable):
        receiver.is_reachable = is_reachable
        return cls(receiver)

    check_sink(
        lambda: make(True),
        received=receiver.received,
        make_unreachable=lambda: make(False),
        **{"timeout": 1.0, **options},
    )


def test_a_correct_sink_passes():
    check(Queue)
    check_sink(lambda: Queue(Receiver()))


def test_records_that_arrive_later_are_waited_for():
    class Later(Queue):
        def close(self, report):
            receiver = self._receiver
            if receiver.is_reachable:
                waiting = self._waiting
                self._waiting = []
                threading.Timer(0.4, lambda: receiver.records.extend(waiting)).start()

    check(Later, timeout=10.0)


class NoName(Queue):
    name = ""


class NoGuarantee(Queue):
    guarantee = ""


class OtherKinds(Queue):
    kinds = frozenset({"predictions"})


class NoKinds(Queue):
    kinds = frozenset()


class NewName(Queue):
    def __init__(self, receiver):
        super().__init__(receiver)
        self.name = f"queue {id(self)}"


class LosesBlocks(Queue):
    def write_block(self, predictions):
        pass


class OtherBlocks(Queue):
    def write_block(self, predictions):
        for prediction in predictions:
            self.write(prediction._replace(t=0.0))


class LosesDrifts(Queue):
    def write_record(self, record):
        if record["kind"] != "drift":
            super().write_record(record)


class Repeats(Queue):
    def write(self, prediction):
        super().write(prediction)
        super().write(prediction)


class BlocksTheLearner(Queue):
    def write(self, prediction):
        time.sleep(2.1)


class WaitsInDrain(Queue):
    def drain(self, report):
        time.sleep(2.1)


class NeverCloses(Queue):
    def close(self, report):
        time.sleep(5.0)


class Complains(Queue):
    notes = ("something was lost",)


class NoNotes(Queue):
    notes = ()


class TextCount(Queue):
    stats = {"sent": "many"}  # noqa: RUF012


class ObjectState(Queue):
    def export_state(self):
        return [object()]


class LiveState(Queue):
    def export_state(self):
        return self._waiting


class ForgetsState(Queue):
    def restore_state(self, state):
        pass


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (NoName, "NoName: `name` must be one line of text, got ''"),
        (NoGuarantee, "`guarantee` must be one line of text, got ''"),
        (OtherKinds, "`kinds` must be a frozenset of prediction, drift"),
        (NoKinds, "`kinds` must be a frozenset of prediction, drift"),
        (NewName, "`name` must be the same after a restart"),
        (LosesBlocks, "must send 40 records, 0 arrived"),
        (OtherBlocks, "`write_block` must send the records of `write`"),
        (LosesDrifts, "must send 4 records, 3 arrived"),
        (Repeats, "must send 4 records, 5 arrived"),
        (BlocksTheLearner, "`write` must not keep the learner waiting, took 2.1 s"),
        (WaitsInDrain, "`drain` must not keep the learner waiting, took 2.1 s"),
        (NeverCloses, "NeverCloses: `close` must end within 1 s"),
        (Complains, "`notes` must be empty if everything was sent"),
        (NoNotes, "`notes` must report the records that were not sent"),
        (TextCount, "`stats` must map names to counts"),
        (ObjectState, "`export_state` must return plain values, got object"),
        (LiveState, "must not change what `export_state` returned"),
        (ForgetsState, "must send 42 records, 0 arrived"),
    ],
)
def test_a_faulty_sink_is_named(cls, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check(cls)


def test_a_sink_must_derive_from_the_base_class():
    with pytest.raises(AssertionError, match=r"must derive from loco_stream\.stream\.Sink"):
        check_sink(object)
