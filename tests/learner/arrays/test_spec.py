"""Declared arrays: how they are made, named, grown and checked."""

from __future__ import annotations

import pickle
from typing import Annotated, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from loco_stream import LOCOClassifier, load, save
from loco_stream._compiler.alignment import CACHE_LINE
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays import spec as arrays
from loco_stream._learner.arrays.allocate import grow
from loco_stream._learner.arrays.scratch import Scratch
from loco_stream._learner.arrays.spec import ArraySpec, Record, Shapes, axes, record
from loco_stream._learner.arrays.state import State
from tests.helpers.jitted import jitted
from tests.helpers.models import blobs, fresh_group


def shapes(**lengths):
    return Shapes(None, None, lengths)


class Inner(NamedTuple):
    numbers: Annotated[NDArray[np.int32], axes("rows", 2, start=7)]


class Outer(NamedTuple):
    flags: Annotated[NDArray[np.int64], axes(3)]
    inner: Inner


class Counted(NamedTuple):
    counters: Annotated[Record, record(np.int64, n_rows=2, age=-5)]
    values: Annotated[NDArray[np.float64], axes("rows")]


class WithoutAxes(NamedTuple):
    forgotten: NDArray[np.float64]


class NoArray(NamedTuple):
    forgotten: int


class Counters(NamedTuple):
    counters: Annotated[arrays.Record, arrays.record(np.int64, n=0, last=-1)]


def spec_of(*names, start=0.0, derived=False):
    return ArraySpec("field", np.dtype(np.float64), names, start, derived, (-1.0, 1e300))


def test_a_group_is_made_named_and_rebuilt_from_its_declaration():
    made = arrays.build(Outer, lambda spec: spec.make(shapes(rows=4)))
    assert [(s.name, s.dtype, s.axes) for s in arrays.specs(Outer)] == [
        ("flags", np.int64, (3,)),
        ("inner.numbers", np.int32, ("rows", 2)),
    ]
    assert made.inner.numbers.tolist() == [[7, 7]] * 4
    named = arrays.flatten(made)
    assert list(named) == ["flags", "inner.numbers"]
    assert named["inner.numbers"] is made.inner.numbers
    assert arrays.build(Outer, lambda spec: named[spec.name]).inner.numbers is made.inner.numbers


@pytest.mark.parametrize("group", [WithoutAxes, NoArray])
def test_a_field_without_axes_is_refused(group):
    with pytest.raises(TypeError, match="'forgotten' must be annotated with its axes"):
        list(arrays.specs(group))


def test_every_axis_grows_and_blocks_stay_together():
    spec = spec_of("rows", "members*classes", start=-1.0)
    old = np.arange(12.0).reshape(2, 6)  # members a, b of 3 classes
    before = {"rows": 2, "members": 2, "classes": 3}
    grown = shapes(rows=3, members=2, classes=4)
    new = spec.growth(before, grown).apply(old, grown)
    assert new.tolist() == [[0, 1, 2, -1, 3, 4, 5, -1], [6, 7, 8, -1, 9, 10, 11, -1], [-1] * 8]


def test_blocks_of_one_member_grow_and_of_none_stay():
    spec = spec_of("members*classes")
    grown = shapes(members=1, classes=4)
    new = spec.growth({"members": 1, "classes": 2}, grown).apply(np.ones(2), grown)
    assert new.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert spec.growth({"members": 0, "classes": 2}, shapes(members=0, classes=4)) is None


def test_an_array_that_fits_is_kept_and_a_derived_one_is_made_anew():
    def count(array, shapes):
        array[:] = np.arange(len(array))

    old = np.full(3, 9.0)
    assert spec_of("rows").growth({"rows": 3}, shapes(rows=3)) is None
    derived = spec_of("rows", start=count, derived=True)
    grown = shapes(rows=4)
    made = derived.growth({"rows": 3}, grown).apply(old, grown)
    assert made.tolist() == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="must equal the array computed from the settings"):
        derived.check(old, shapes(rows=3))


@pytest.mark.parametrize("array", [np.zeros(4), np.zeros((3, 1)), np.zeros(3, np.float32)])
def test_shape_and_dtype_are_checked(array):
    with pytest.raises(ValueError, match=r"array 'field' must be float64\(3,\), got "):
        spec_of("rows").check(array, shapes(rows=3))


@pytest.mark.parametrize("group", [State, Scratch])
def test_a_model_has_exactly_the_declared_arrays(group):
    model = LOCOClassifier(hidden_sizes=(8,), neuron="izhikevich", seed=1)
    model.learn_one({"a": 1.0, "b": 2.0}, "x")
    made = model._core.state if group is State else model._core.scratch
    named = arrays.flatten(made)
    assert [(s.name, s.dtype) for s in arrays.specs(group)] == [
        (name, a.dtype) for name, a in named.items()
    ]
    assert all(a.flags.c_contiguous and a.flags.writeable for a in named.values())


# Records: numbers by name, one array in a file


@kernel
def _count(group):
    group.counters.n_rows += 3
    group.counters.age = group.counters.n_rows * 2


def test_a_record_starts_from_its_values_and_is_one_array_by_name():
    made = fresh_group(Counted, rows=2)
    assert made.counters.n_rows == 2
    assert made.counters.age == -5
    named = arrays.flatten(made)
    assert list(named) == ["counters", "values"]
    assert named["counters"].dtype == np.int64
    assert named["counters"].tolist() == [2, -5]
    (spec, _) = arrays.specs(Counted)
    assert spec.fields == ("n_rows", "age")


def test_python_and_compiled_code_write_to_the_memory_of_a_record():
    made = fresh_group(Counted, rows=2)
    array = arrays.flatten(made)["counters"]
    made.counters.age = 7
    assert array.tolist() == [2, 7]
    jitted(_count)(made)
    assert array.tolist() == [5, 10]
    assert made.counters.n_rows == 5
    array[0] = 1
    assert made.counters.n_rows == 1


def test_a_record_is_rebuilt_from_its_array_and_kept_when_the_group_grows():
    made = fresh_group(Counted, rows=2)
    made.counters.n_rows = 9
    named = arrays.flatten(made)
    again = arrays.build(Counted, lambda spec: named[spec.name].copy())
    made.counters.n_rows = 1  # shares nothing
    assert (again.counters.n_rows, again.counters.age) == (9, -5)
    grown = arrays.grown(again, shapes(rows=2), shapes(rows=5))
    assert (grown.counters.n_rows, len(grown.values)) == (9, 5)
    assert grown.counters is again.counters


def test_a_renewed_group_keeps_the_arrays_that_fit_and_starts_anew():
    made = fresh_group(Counted, rows=2)
    made.counters.n_rows = 9
    made.values[:] = 4.0
    same = arrays.renewed(made, shapes(rows=2), shapes(rows=2))
    assert same.values is made.values
    assert (same.counters.n_rows, same.counters.age, same.values.tolist()) == (2, -5, [0.0, 0.0])
    longer = arrays.renewed(same, shapes(rows=2), shapes(rows=3))
    assert longer.values.tolist() == [0.0, 0.0, 0.0]
    assert longer.counters is made.counters


@pytest.mark.parametrize("array", [np.zeros(3, np.int64), np.zeros(2)])
def test_the_array_of_a_record_is_checked(array):
    (spec, _) = arrays.specs(Counted)
    with pytest.raises(ValueError, match=r"array 'counters' must be int64\(2,\), got "):
        spec.check(array, shapes(rows=0))


def test_records_of_a_model_survive_files_pickle_and_growth(tmp_path):
    model = LOCOClassifier(hidden_sizes=(8,), seed=1, memory=(0.3, 50.0), neighbors=9)
    model.learn_array(*blobs(90), t=np.arange(90.0))
    core = model._core
    records = {
        spec.name: arrays.flatten(core.state)[spec.name].copy()
        for spec in arrays.specs(State)
        if spec.fields
    }
    assert {"counts", "lead.moments", "delayed", "snapshots.counters", "context.clock"} <= set(
        records
    )
    assert records["counts"].tolist()[:3] == [90, 4, 3]
    save(model, tmp_path / "model.loco")
    states = [load(tmp_path / "model.loco")._core.state, pickle.loads(pickle.dumps(core)).state]
    states.append(grow(core.layout, core.settings, core.state, 16, 8))
    for state in states:
        found = arrays.flatten(state)
        for name, expected in records.items():
            grown = found[name][: len(expected)]  # further domains may have no means yet
            assert grown.tobytes() == expected.tobytes(), name
    assert states[0].counts.n_seen == 90
    assert states[0].experts.neighbors.counters.n_rows == 90


def test_large_arrays_begin_where_cache_lines_do_in_every_copy(tmp_path):
    """The processor loads their rows twice as fast."""
    model = LOCOClassifier(seed=1)
    rng = np.random.default_rng(1)
    model.learn_array(rng.normal(size=(40, 6)), np.arange(40) % 3)
    save(model, tmp_path / "model.loco")
    copies = [model, pickle.loads(pickle.dumps(model)), load(tmp_path / "model.loco")]
    for copy in copies:
        large = [
            a for a in arrays.flatten(copy._core.state).values() if a.nbytes >= arrays.ALIGNED_FROM
        ]
        assert len(large) > 5
        assert not any(array.ctypes.data % CACHE_LINE for array in large)


@pytest.mark.parametrize(
    ("start", "numbers", "message"),
    [
        (0.0, [0.0, -1.0], None),
        (0.0, [0.0, -1.5], "'field' must be finite, from -1 to 1e.300, got -1.5"),
        (0.0, [0.0, np.nan], "got nan"),
        (np.inf, [np.inf, 1.0], None),
        (np.inf, [-np.inf, 1.0], "got -inf"),
        (np.nan, [np.nan, 1.0], None),
        (np.nan, [np.inf, 1.0], "got inf"),
    ],
)
def test_a_number_is_within_its_bounds_or_what_it_starts_from(start, numbers, message):
    spec = spec_of("rows", start=start)
    if message is None:
        spec.check(np.array(numbers), shapes(rows=2))
        return
    with pytest.raises(ValueError, match=message):
        spec.check(np.array(numbers), shapes(rows=2))


def test_counts_of_a_record_may_be_what_they_start_from():
    (spec,) = arrays.specs(Counters)
    spec.check(np.array([0, -1]), shapes())
    with pytest.raises(ValueError, match=r"'counters.n' must be finite, from 0 to .*, got -1"):
        spec.check(np.array([-1, -1]), shapes())
