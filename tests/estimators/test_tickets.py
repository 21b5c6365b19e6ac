"""Tickets that are no longer as `observe_one` returned them, and copies of tickets."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from loco_stream import LOCOClassifier
from loco_stream.errors import InputError
from loco_stream.estimators import Ticket

NAMES = ("a", "b")


@pytest.fixture
def model():
    model = LOCOClassifier(hidden_sizes=(4,), seed=0)
    for i in range(4):
        model.learn_one({"a": i / 4, "b": 1.0}, "xy"[i % 2])
    return model


def by_name(model):
    return model.observe_one({"a": 0.3, "b": 1.0})


def as_array(model):
    return model.observe_array(np.array([[0.3, 1.0]]), NAMES)[0]


@pytest.mark.parametrize(
    ("observe", "changed"),
    [
        (by_name, {"x": None}),
        (by_name, {"x": "zz"}),
        (by_name, {"predicted": None}),
        (by_name, {"predicted": []}),
        (by_name, {"predicted": "abc"}),
        (by_name, {"predicted": np.array(1.0)}),
        (by_name, {"predicted": np.zeros((2, 2))}),
        (by_name, {"predicted": np.zeros(3, np.float32)}),
        (by_name, {"features": "zz"}),
        (by_name, {"origin": "zz"}),
        (as_array, {"x": None}),
        (as_array, {"x": np.zeros(2)}),
        (as_array, {"x": np.zeros((3, 2))}),  # three rows for one label
        (as_array, {"features": 3}),
        (as_array, {"features": ("a",)}),
        (as_array, {"features": ([], "a")}),
    ],
)
def test_a_ticket_with_other_values_is_refused_and_changes_nothing(model, observe, changed):
    before = pickle.dumps(model)
    forged = replace(observe(pickle.loads(before)), **{"origin": None, **changed})
    with pytest.raises(InputError, match="as `observe_one` returned it"):
        model.learn_one(forged, "x")
    with pytest.raises(InputError, match="as `observe_one` returned it"):
        model.learn_one(Ticket.__new__(Ticket), "x")
    assert model.n_seen == 4


def test_a_copy_of_a_ticket_is_a_ticket_of_its_own(model):
    ticket = by_name(model)
    copied = pickle.loads(pickle.dumps(ticket))
    model.learn_one(ticket, "x")
    with pytest.raises(InputError, match="must be a ticket that was not learned"):
        model.learn_one(ticket, "x")
    model.learn_one(copied, "x")


def test_a_ticket_keeps_its_row_when_the_array_is_filled_again(model):
    other = pickle.loads(pickle.dumps(model))
    rows = np.array([[0.3, 1.0], [0.6, 1.0]])
    buffer = rows.copy()
    tickets = model.observe_array(buffer, NAMES)
    buffer[:] = -99.0
    for ticket, expected, y in zip(tickets, other.observe_array(rows, NAMES), "xy", strict=True):
        model.learn_one(ticket, y)
        other.learn_one(expected, y)
    np.testing.assert_equal(model.export_state()[1], other.export_state()[1])


def test_a_ticket_does_not_keep_the_other_rows_in_memory(model):
    ticket = model.observe_array(np.ones((1000, 2)), NAMES)[0]
    assert ticket.x.base is None
    assert ticket.predicted.base is None
