from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from loco_stream import LOCOClassifier
from loco_stream.learner.arrays import spec as arrays
from loco_stream.learner.arrays.scratch import Scratch
from loco_stream.learner.arrays.spec import ArraySpec, Plan, axes
from loco_stream.learner.arrays.state import State
from loco_stream.options import DEFAULTS

LAYOUT = DEFAULTS.layout_for(1)
SETTINGS = DEFAULTS.settings(LAYOUT, regression=False, seed_key=0)


def plan(**capacities):
    return Plan(LAYOUT, SETTINGS, capacities)


class Inner(NamedTuple):
    numbers: Annotated[NDArray[np.int32], axes("rows", 2, start=7)]


class Outer(NamedTuple):
    flags: Annotated[NDArray[np.int64], axes(3)]
    inner: Inner


class Forgetful(NamedTuple):
    forgotten: NDArray[np.float64]


class Stranger(NamedTuple):
    forgotten: int


def spec_of(*names, start=0.0, derived=False):
    return ArraySpec("field", np.dtype(np.float64), names, start, derived)


def test_a_group_is_made_named_and_read_back_from_its_lines():
    made = arrays.build(Outer, lambda spec: spec.make(plan(rows=4)))
    assert [(s.name, s.dtype, s.axes) for s in arrays.specs(Outer)] == [
        ("flags", np.int64, (3,)),
        ("inner.numbers", np.int32, ("rows", 2)),
    ]
    assert made.inner.numbers.tolist() == [[7, 7]] * 4
    named = arrays.flatten(made)
    assert list(named) == ["flags", "inner.numbers"]
    assert named["inner.numbers"] is made.inner.numbers
    assert arrays.build(Outer, lambda spec: named[spec.name]).inner.numbers is made.inner.numbers


@pytest.mark.parametrize("group", [Forgetful, Stranger])
def test_a_field_without_axes_cannot_exist(group):
    with pytest.raises(TypeError, match="'forgotten' says nothing of its axes"):
        list(arrays.specs(group))


def test_every_axis_grows_by_itself_and_blocks_stay_together():
    spec = spec_of("rows", "members*classes", start=-1.0)
    old = np.arange(12.0).reshape(2, 6)  # members a, b of 3 classes
    new = spec.grow(
        old, {"rows": 2, "members": 2, "classes": 3}, plan(rows=3, members=2, classes=4)
    )
    assert new.tolist() == [[0, 1, 2, -1, 3, 4, 5, -1], [6, 7, 8, -1, 9, 10, 11, -1], [-1] * 8]


@pytest.mark.parametrize("members", [0, 1])
def test_blocks_of_no_member_or_one_grow_too(members):
    spec = spec_of("members*classes")
    new = spec.grow(
        np.ones(members * 2), {"members": members, "classes": 2}, plan(members=members, classes=4)
    )
    assert new.tolist() == [1.0, 1.0, 0.0, 0.0] * members


def test_what_fits_is_kept_and_what_is_derived_is_made_anew():
    def count(array, plan):
        array[:] = np.arange(len(array))

    old = np.full(3, 9.0)
    assert spec_of("rows").grow(old, {"rows": 3}, plan(rows=3)) is old
    derived = spec_of("rows", start=count, derived=True)
    assert derived.grow(old, {"rows": 3}, plan(rows=4)).tolist() == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="not the one that the settings give"):
        derived.check(old, plan(rows=3))


@pytest.mark.parametrize("array", [np.zeros(4), np.zeros((3, 1)), np.zeros(3, np.float32)])
def test_shape_and_type_are_checked(array):
    with pytest.raises(ValueError, match=r"array 'field' is .* not float64\(3,\)"):
        spec_of("rows").check(array, plan(rows=3))


@pytest.mark.parametrize("group", [State, Scratch])
def test_a_model_has_the_arrays_of_its_lines_and_no_others(group):
    model = LOCOClassifier(hidden_sizes=(8,), neuron="izhikevich", seed=1)
    model.learn_one({"a": 1.0, "b": 2.0}, "x")
    made = model._state if group is State else model._scratch
    named = arrays.flatten(made)
    assert [(s.name, s.dtype) for s in arrays.specs(group)] == [
        (name, a.dtype) for name, a in named.items()
    ]
    assert all(a.flags.c_contiguous and a.flags.writeable for a in named.values())
