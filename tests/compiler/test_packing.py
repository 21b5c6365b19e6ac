"""Groups as words: numbers, arrays and records are read where compiled code uses them."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
from numba import errors, typeof
from numpy.typing import NDArray

from loco_stream import LOCOClassifier
from loco_stream._compiler.packing import PACKED, GroupType, Words, make_opener, parts_of
from loco_stream._learner.arrays.spec import Record, axes, record
from loco_stream._learner.kernel_args import opened
from tests.helpers.jitted import entry
from tests.helpers.models import fresh_group

packed = pytest.mark.skipif(not PACKED, reason="groups are handed over as they are")


class Inner(NamedTuple):
    counters: Annotated[Record, record(np.int64, n_rows=3, age=-4)]
    matrix: Annotated[NDArray[np.float32], axes("rows", 2, start=1.5)]


class Arrays(NamedTuple):
    vector: Annotated[NDArray[np.float64], axes("rows", start=2.0)]
    inner: Inner


class Numbers(NamedTuple):
    size: int
    rate: float
    is_on: bool


class Group(NamedTuple):
    numbers: Numbers
    arrays: Arrays


class Cell(NamedTuple):
    """Stands for the parameters of a neuron model, whose type names the type of the group."""

    value: float


class CellWithConstants(NamedTuple):
    cell: tuple[Any, ...]


class Constants(NamedTuple):
    group: type
    values: dict[str, float]


def group(n=5, **numbers):
    given = {"size": n, "rate": 0.25, "is_on": True} | numbers
    return Group(Numbers(**given), fresh_group(Arrays, rows=n))


open_group = make_opener(
    lambda kind: typeof(group()), {CellWithConstants: Constants(Numbers, {"size": 5})}
)


def read(cell, words, out):
    """Read a field of every kind."""
    opened_group = open_group(cell, words)
    numbers = opened_group.numbers
    arrays = opened_group.arrays
    inner = arrays.inner
    out[0] = numbers.size
    out[1] = numbers.rate
    out[2] = 1.0 if numbers.is_on else 0.0
    out[3] = arrays.vector.shape[0]
    out[4] = arrays.vector[4]
    out[5] = inner.matrix[4, 1]
    out[6] = inner.matrix.shape[1]
    out[7] = inner.counters.n_rows
    out[8] = inner.counters.age


def write(cell, words):
    opened_group = open_group(cell, words)
    opened_group.arrays.vector[1] = 9.0
    opened_group.arrays.inner.counters.age += 10


def what_is_opened(value):
    return pack(value) if PACKED else value


def pack(value):
    return Words(parts_of(value)).array


@pytest.mark.parametrize("wrap", [False, True])
def test_fields_of_every_kind_are_read(wrap):
    cell = CellWithConstants(Cell(1.0)) if wrap and PACKED else Cell(1.0)
    out = np.zeros(9)
    entry(read)(cell, what_is_opened(group()), out)
    assert out.tolist() == [5.0, 0.25, 1.0, 5.0, 2.0, 1.5, 2.0, 3.0, -4.0]


def test_arrays_and_records_are_written_in_place():
    value = group()
    entry(write)(Cell(1.0), what_is_opened(value))
    assert value.arrays.vector.tolist() == [2.0, 9.0, 2.0, 2.0, 2.0]
    assert value.arrays.inner.counters.age == 6


def test_the_words_are_numbers_and_addresses_and_shapes_in_the_order_of_the_fields():
    value = group(n=5, is_on=False)
    words = pack(value)
    arrays = value.arrays
    counters = arrays.inner.counters.base
    assert words.dtype == np.int64
    assert words.tolist() == [
        5,
        np.float64(0.25).view(np.int64),
        0,
        arrays.vector.ctypes.data,
        5,
        counters.ctypes.data,
        arrays.inner.matrix.ctypes.data,
        5,
        2,
    ]


def test_words_of_a_group_with_other_arrays_are_those_of_a_new_one():
    value = group()
    words = Words(parts_of(value))
    inner = fresh_group(Arrays, rows=7).inner
    other = value._replace(arrays=value.arrays._replace(inner=inner))
    again = Words(parts_of(other), words)
    assert again.array.tolist() == Words(parts_of(other)).array.tolist()
    assert len(again.new) == 2
    assert words.array.tolist() == Words(parts_of(value)).array.tolist()


@packed
def test_a_field_that_does_not_exist_does_not_compile():
    def misspelt(cell, words):
        return open_group(cell, words).numbers.sise

    with pytest.raises(errors.TypingError, match="sise"):
        entry(misspelt)(Cell(1.0), pack(group()))


def read_model(cell, words, out):
    model = opened(cell, words)
    out[0] = model.settings.tau
    out[1] = model.settings.n_hidden
    out[2] = model.state.stacks.weights.shape[0]
    out[3] = model.state.stacks.weights[0]
    out[4] = model.state.counts.n_seen


def test_fields_of_a_model_are_read_from_its_kernel_args():
    model = LOCOClassifier(hidden_sizes=(4,), seed=1)
    model.learn_one({0: 1.0}, 0)
    core = model._core
    out = np.zeros(5)
    entry(read_model)(*core._args.args, out)
    weights = core.state.stacks.weights
    settings = core.settings
    assert out.tolist() == [settings.tau, settings.n_hidden, len(weights), weights[0], 1.0]


def test_groups_with_fields_of_the_same_types_are_two_types():
    class Counts(NamedTuple):
        counts: np.ndarray

    class Means(NamedTuple):
        means: np.ndarray

    Means.__name__ = Counts.__name__  # as two classes called State
    first, second = (GroupType(typeof(group(np.zeros(1))), None, {}) for group in (Counts, Means))
    assert first != second
    assert first == GroupType(typeof(Counts(np.zeros(2))), None, {})
