"""The model of a key is made with its second row, or when something is asked of it."""

from __future__ import annotations

import pytest

from loco_stream import Fleet, LOCOClassifier, TaskMonitor
from loco_stream.engine._source_reader import PairSource, SourceReader
from loco_stream.fleet._key_router import KeyRouter
from loco_stream.fleet._keyed_model import KeyedModel
from loco_stream.fleet._runner import FleetRunner
from loco_stream.stream import Sample
from tests.helpers.fleet_process import template

MONITORS = [None, TaskMonitor(holdout=0)]


def rows_of_keys(n_keys, n_rows):
    """Return rows of devices that come in turn, with a text and a feature of the first row only."""
    events = []
    for i in range(n_rows):
        for key in range(n_keys):
            x = {"device": f"d{key}", "a": float(i % 3), "b": key / 7, "kind": "xy"[i % 2]}
            if i == 0:
                x["first"] = 1.0
            events.append(Sample(x, "ab"[(i + key) % 2], len(events)))
    return events


def learn(folder, events, monitor=None):
    """Learn rows that come one by one; return predictions, alarms, states and notes."""
    router = KeyRouter("device")
    said = []
    with Fleet(template(), folder, monitor=monitor) as fleet:
        for event in events:
            (result,) = fleet.process(router.route([event]))
            said.append((result.outputs, result.refusal, result.records))
        states = {key: (fleet.state_sha256(key), fleet.report(key)) for key in list(fleet.keys())}
        return said, states, fleet.notes


@pytest.fixture
def copies(monkeypatch):
    """The models that were copied."""
    made = []
    copy = LOCOClassifier.__copy__

    def counted(self):
        made.append(self)
        return copy(self)

    monkeypatch.setattr(LOCOClassifier, "__copy__", counted)
    return made


def test_a_key_that_comes_once_takes_no_model(tmp_path, copies):
    with Fleet(template(), tmp_path) as fleet:
        before = len(copies)
        report = FleetRunner(fleet, SourceReader(PairSource(rows_of_keys(50, 1))), "device").run()
        assert report["n_samples"] == report["n_keys"] == 50
        # the report lists ten keys, whose models are copies of one with room for their features
        assert len(copies) - before <= 11
    with Fleet(None, tmp_path) as fleet:
        assert len(fleet.keys()) == 50
        assert fleet.report("d7")["n_samples"] == 1
        assert fleet.predict("d7", [{"a": 0.0, "b": 1.0}]).tolist() == ["b"]


@pytest.mark.parametrize("monitor", MONITORS)
@pytest.mark.parametrize("n_rows", [1, 2, 60])
def test_a_row_that_waited_is_learned_bit_identically(tmp_path, monkeypatch, monitor, n_rows):
    events = rows_of_keys(5, n_rows)
    waited = learn(tmp_path / "waits", events, monitor)
    monkeypatch.setattr(KeyedModel, "_lets_wait", lambda *_: False)
    assert learn(tmp_path / "at once", events, monitor) == waited


@pytest.mark.parametrize("monitor", MONITORS)
def test_a_first_row_that_cannot_be_learned_harms_no_later_one(tmp_path, monkeypatch, monitor):
    learn_one = LOCOClassifier.learn_one

    def failing(self, x, y, t=None):
        if "first" in x and x["b"] == 0:  # of the first key
            raise ZeroDivisionError("a fault of the model")
        learn_one(self, x, y, t)

    monkeypatch.setattr(LOCOClassifier, "learn_one", failing)
    said, states, notes = learn(tmp_path, rows_of_keys(3, 20), monitor)
    assert [refusal for _, refusal, _ in said] == [None] * 60
    assert "the first row of key 'd0' cannot be learned (ZeroDivisionError" in str(notes)
    assert [states[f"d{key}"][1]["n_samples"] for key in range(3)] == [19, 20, 20]
    with Fleet(None, tmp_path) as fleet:
        assert {key: fleet.state_sha256(key) for key in states} == {
            key: sha256 for key, (sha256, _) in states.items()
        }
