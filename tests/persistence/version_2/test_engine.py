"""Checkpoints of format version 2, release 0.2: the rows that wait for labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loco_stream import load
from loco_stream._persistence.content import Saved, with_prefix
from loco_stream._persistence.version_2.engine import CHECKPOINTS, _events
from loco_stream._persistence.version_2.models import convert_ticket
from loco_stream._persistence.version_2.monitor import _threshold
from loco_stream.drift import ErrorThreshold

FOLDER = Path(__file__).parents[2] / "data" / "golden" / "v0_2_tickets"


@pytest.fixture(scope="module")
def arrays():
    """Return the arrays of a model without logistic experts, whose tickets are converted."""
    return load(FOLDER / "hidden.loco").export_state()[1]


@pytest.fixture(scope="module")
def ticket():
    with np.load(FOLDER / "tickets.npz") as saved:
        return saved["hidden said"][0].tobytes()


def waiting(ticket):
    """Return a row by name that waits for its label, as release 0.2 wrote it."""
    return [{"a": 1.0}, None, 7, 1.5, "source", 0, "x", {"x": 1.0}, 3.0, None, ticket]


def test_predictions_of_pending_rows_of_a_key_are_converted(arrays, ticket):
    config = {
        "key": "k",
        "seen": {},
        "model": {"kind": "LOCOClassifier"},
        "pending": {"expired": 2, "orphaned": 1, "features": [], "rows": [waiting(ticket)]},
    }
    saved = Saved("checkpoint", config, with_prefix("model", arrays))
    pending = CHECKPOINTS(saved).config["trainer"]["pending"]
    converted = convert_ticket(ticket, arrays)
    assert converted != ticket
    no_ids = {"counts": {}, "last": {}, "early": [], "used": []}
    rows = [[*waiting(converted), None, None]]  # no id, nothing to repeat
    assert pending == {**config["pending"], "rows": rows, "ids": no_ids}
    assert config["pending"]["rows"] == [waiting(ticket)]


def test_predictions_of_rows_with_a_delayed_label_are_converted(arrays, ticket):
    old = {
        "counters": {"n_samples": 3, "n_rejected": 0, "n_set_aside": 0, "n_asked": 0},
        "ledger": {
            **dict.fromkeys(("masked", "skipped", "unknown", "missing", "unread", "last"), 0),
            "rows": [["a", 5], ["b", 4]],
        },
        "now": 0.0,
        "arrived": 5,
        "due": [[9, "label", waiting(ticket)], [10, "label", waiting(None)]],
        "features": [],
        "pending": {"rows": []},
    }
    events = _events(old, arrays)
    assert events["n_rows"] == events["quality"]["n_rows"] == 5
    assert events["quality"]["steady"] == ["a"]
    rows = events["delayed"]["rows"]
    converted = convert_ticket(ticket, arrays)
    assert rows == [
        [9, "label", [*waiting(converted), None, None]],
        [10, "label", [*waiting(None), None, None]],
    ]


def test_the_threshold_of_errors_goes_on_from_its_quantile():
    threshold = ErrorThreshold()
    threshold.n, threshold.quantile = _threshold(100_000, 2.5)
    assert threshold.update(3.0) == 1
    assert threshold.update(2.4) == 0
    assert threshold.quantile == pytest.approx(2.5, rel=0.01)
    assert _threshold(7, 2.5) == [7, 2.5]
