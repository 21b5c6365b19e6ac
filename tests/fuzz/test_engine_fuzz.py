"""Hostile values in every field of every message form, against the whole engine.

Honest rows come between the hostile ones. Whatever these hold, the run goes on, no honest row is
lost, and a run that is killed and started again learns on. LOCO_SOAK=1 sends 200,000 messages.
"""

from __future__ import annotations

import json
import os
import random
import time

import numpy as np
import pytest

from loco_stream.connectors._base.broker_source import BrokerSource
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.engine import StreamEngine
from loco_stream.engine._admission import NameBounds
from loco_stream.engine._inbox import Inbox, InboxRow, InboxSource
from loco_stream.stream import Block, Labels, PredictRequest, Sample
from tests.helpers.hostile_values import FEATURES, FORMS, TEXTS, VALUES
from tests.helpers.standin import Means

N_MESSAGES = 200_000 if os.environ.get("LOCO_SOAK") else 3000
BOUNDS = NameBounds(row_features=14, features=14, classes=64, guest_names=4)

pytestmark = pytest.mark.timeout(7200 if os.environ.get("LOCO_SOAK") else 300)

OBJECTS = [
    *VALUES,
    object(),
    b"\xff",
    frozenset({1}),
    np.zeros(3),
    np.float32(2),
    1j,
    {1},
    range(3),
]


def hostile_event(rng):
    """Return an event of a source that somebody else wrote, with fields of any type."""

    def any_of(usual):
        return rng.choice(OBJECTS) if rng.random() < 0.3 else usual

    kind = rng.randrange(4)
    if kind == 0:
        x = any_of({"a": any_of(0.5), "b": 1.0})
        return Sample(x, any_of("on"), any_of(3), any_of(5.0), any_of("s"), any_of(None), any_of(0))
    if kind == 1:
        X = any_of(np.zeros((2, 2), np.float32))
        return Block(X, any_of(["on", any_of("off")]), FEATURES, any_of(3), any_of(1.0), "s")
    if kind == 2:
        return Labels(any_of([any_of(1)]), any_of([any_of("on")]), any_of(0), any_of("s"))
    return PredictRequest(any_of(np.zeros((1, 2), np.float32)), FEATURES, any_of(0), "s")


class FuzzSource(BrokerSource):
    """A broker with honest messages and hostile ones between them; the latter may be repeated."""

    name = "fuzz"
    guarantee = "a test"
    needs_log = True

    def __init__(self, n_honest, n_hostile, rng):
        super().__init__(
            "fuzz",
            task=None,
            idle=None,
            max=None,
            endless=True,
            limits=Limits(guest_names=4, sources=16),
        )
        self._rng = rng
        self._per_honest = n_hostile // max(n_honest, 1)
        self._n_honest = n_honest
        self._next = 0

    @property
    def position(self):
        return {"next": self._next, "rows": self._sources.position}

    @property
    def is_over(self):
        return self._next >= self._n_honest

    def seek(self, position):
        self._next = position["next"]
        self._seek_rows(position, "next")

    def __iter__(self):
        while not self.is_over:
            yield [event for event in self._fetch() if event is not None]

    def _fetch(self):
        row = {"x": {"a": float(self._next % 5), "b": 1.0}, "y": "on" if self._next % 2 else "off"}
        self._next += 1
        events = [self._take("trusted", json.dumps(row).encode())]
        for _ in range(self._per_honest):
            rng = self._rng
            if rng.random() < 0.25:
                events.append(hostile_event(rng))
            else:
                source = rng.choice(["s", "honest", *TEXTS])
                form = rng.choice(FORMS)
                events.append(self._take(source, form(rng), rng.random() < 0.3))
        return events

    def _take(self, source, body, repeated=False):
        try:
            source.encode()
        except UnicodeEncodeError:
            source = "s"
        return self._read_message(source, body, repeated=repeated)


def run(folder, n_honest, n_hostile, rng, start=True):
    learned = []
    source = InboxSource(FuzzSource(n_honest, n_hostile, rng), inbox := Inbox("http"))
    engine = StreamEngine(
        Means(),
        source,
        checkpoint=folder,
        resume=not start,
        checkpoint_every=500,
        strict=False,
        durability="interval:60s",
        bounds=BOUNDS,
        task="classification",
    )

    def submit(engine):
        if engine.last_scored is not None and rng.random() < 0.2:
            row = hostile_event(rng)
            if isinstance(row, Sample) and isinstance(row.x, dict):
                name = rng.choice([None, "s"])
                inbox.put([InboxRow(row.x, row.y)], name, rng.choice([0, 5, 2**63 - 2]))

    engine._listeners._watchers += [submit, lambda e: source._source.is_over and e.stop()]
    engine.on("prediction", lambda record: learned.append(record))
    return engine, engine.run(), learned


def test_no_message_ends_a_run_or_costs_an_honest_row(tmp_path):
    rng = random.Random(7)
    n_honest = N_MESSAGES // 10
    began = time.process_time()
    _, report, learned = run(tmp_path, n_honest, N_MESSAGES, rng)
    seconds = time.process_time() - began
    honest = [record for record in learned if record["source"] == "trusted"]
    assert len(honest) == n_honest
    assert len({(record["seq"], record.get("epoch")) for record in honest}) == n_honest
    assert report["n_rejected"] + report["n_malformed"] > N_MESSAGES // 4
    json.dumps(report.to_dict(), allow_nan=False)
    assert str(report)
    print(f"{N_MESSAGES} hostile and {n_honest} honest messages in {seconds:.0f} CPU s, {report!r}")
    _, report, learned = run(tmp_path, n_honest + 50, 500, rng, start=False)
    assert len([record for record in learned if record["source"] == "trusted"]) == 50


def test_a_killed_run_with_any_messages_starts_again(tmp_path, monkeypatch):
    monkeypatch.setattr(StreamEngine, "_finish", lambda self: None)  # the log alone holds the rows
    rng = random.Random(11)
    for n_honest in (40, 80, 120):
        _, report, learned = run(tmp_path, n_honest, 400, rng, start=n_honest == 40)
        seqs = {record["seq"] for record in learned if record["source"] == "trusted"}
        assert seqs >= set(range(n_honest - 40, n_honest))
        assert max(seqs) == n_honest - 1
        assert report["n_set_aside"] == 0
