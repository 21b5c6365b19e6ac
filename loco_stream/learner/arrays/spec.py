"""Arrays by declaration.

One line says what an array of a model is, and all that happens to it follows.

A group of arrays is a NamedTuple whose fields are annotated with their type of number and `axes`.
From these lines come the arrays of a fresh model, those of one that grows, their names in a file,
and the check of what a file holds. A field without such a line is refused when its group is first
used, so that no array can be forgotten anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from loco_stream.options import Layout, Settings

__all__ = ["Array", "ArraySpec", "Plan", "axes", "build", "flatten", "specs"]

Array = NDArray[Any]
Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class Plan:
    """What arrays are made from: the settings, and the length of every axis by name."""

    layout: Layout
    settings: Settings
    capacities: Mapping[str, int]


Start = float | Callable[[Array, Plan], None]


class Axes(NamedTuple):
    """What the annotation of a field says; see `axes`."""

    names: tuple[str | int, ...]
    start: Start
    derived: bool


def axes(*names: str | int, start: Start = 0.0, derived: bool = False) -> Axes:
    """Declare an array.

    Parameters
    ----------
    names
        Each axis is a capacity of the `Plan`, a fixed number, or a product such as
        ``"members*classes"``: blocks of columns, one a member, which stay together when the classes
        between them become more.
    start
        The number every element starts from, or a function that fills a fresh array of zeros.
    derived
        The array follows from the plan alone: it is made anew when the model grows, and one from a
        file must equal it.
    """
    return Axes(names, start, derived)


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array of a model: its name (``group.field``), type of number and axes, and what `axes` says besides."""

    name: str
    dtype: np.dtype[Any]
    axes: tuple[str | int, ...]
    start: Start
    derived: bool

    def shape(self, capacities: Mapping[str, int]) -> tuple[int, ...]:
        """Return the length of every axis."""
        return tuple(math.prod(factors) for factors in self._factors(capacities))

    def make(self, plan: Plan) -> Array:
        """Return the array of a fresh model."""
        array = np.zeros(self.shape(plan.capacities), self.dtype)
        if callable(self.start):
            self.start(array, plan)
        elif self.start:
            array.fill(self.start)
        return array

    def grow(self, old: Array, before: Mapping[str, int], plan: Plan) -> Array:
        """Return the array with the capacities of `plan`, what was learned in its place.

        `old` itself where it fits.
        """
        if self.derived:
            return self.make(plan)
        if old.shape == self.shape(plan.capacities):
            return old
        new = self.make(plan)
        old_blocks, new_blocks = (
            tuple(chain(*self._factors(sizes))) for sizes in (before, plan.capacities)
        )
        new.reshape(new_blocks)[tuple(slice(length) for length in old_blocks)] = old.reshape(
            old_blocks
        )
        return new

    def check(self, array: Array, plan: Plan) -> None:
        """Raise ValueError unless `array` is what a model of that plan has."""
        shape = self.shape(plan.capacities)
        if array.shape != shape or array.dtype != self.dtype:
            raise ValueError(
                f"array {self.name!r} is {array.dtype}{array.shape}, not {self.dtype}{shape}"
            )
        if self.derived and not np.array_equal(array, self.make(plan)):
            raise ValueError(f"array {self.name!r} is not the one that the settings give")

    def _factors(self, capacities: Mapping[str, int]) -> list[tuple[int, ...]]:
        return [
            (axis,)
            if isinstance(axis, int)
            else tuple(capacities[name] for name in axis.split("*"))
            for axis in self.axes
        ]


def build(group: type[Group], array_of: Callable[[ArraySpec], Array], prefix: str = "") -> Group:
    """Return the group with the array that `array_of` gives for each of its specs."""
    parts = _parts(group, prefix).items()  # type: ignore[arg-type]  # mypy: a class may not be hashable
    return group(
        *(
            array_of(p) if isinstance(p, ArraySpec) else build(p, array_of, f"{name}.")
            for name, p in parts
        )
    )


def specs(group: type[Any], prefix: str = "") -> Iterator[ArraySpec]:
    """Yield the specs of a group and of the groups inside it, in the order of their fields."""
    for name, part in _parts(group, prefix).items():  # type: ignore[arg-type]
        if isinstance(part, ArraySpec):
            yield part
        else:
            yield from specs(part, f"{name}.")


def flatten(group: Any) -> dict[str, Array]:
    """Return every array of a group by the name of its spec; the arrays themselves, not copies."""
    return {spec.name: attrgetter(spec.name)(group) for spec in specs(type(group))}


@cache
def _parts(group: type[Any], prefix: str) -> dict[str, ArraySpec | type[Any]]:
    """Return what each field of a group is: an array, or a group by itself."""
    return {
        name: _part(f"{prefix}{name}", hint)
        for name, hint in get_type_hints(group, include_extras=True).items()
    }


def _part(name: str, hint: Any) -> ArraySpec | type[Any]:
    if get_origin(hint) is not Annotated:
        if not hasattr(hint, "_fields"):
            raise TypeError(
                f"field {name!r} says nothing of its axes; annotate it with Annotated[..., axes(...)]"
            )
        return hint  # type: ignore[no-any-return]
    kind, declared = get_args(hint)
    (number,) = get_args(get_args(kind)[1])  # NDArray[number] is ndarray[shape, dtype[number]]
    return ArraySpec(name, np.dtype(number), *declared)
