"""Declaration of arrays.

One line declares an array of a model, and everything else follows from it.

A group of arrays is a NamedTuple whose fields are annotated with their dtype and `axes`, or with
`record`. From these lines come the arrays of a fresh model, those of one that grows, their names in
a file, and the checks of what a file holds. A field without such a line is refused when its group
is first used, so that no array can be forgotten anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    NamedTuple,
    TypeAlias,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from loco_stream._arrays import Array, Float64
from loco_stream._compiler.alignment import CACHE_LINE, aligned_zeros
from loco_stream._options import Layout

if TYPE_CHECKING:
    from loco_stream._learner.settings import Settings

ALIGNED_FROM = 4096  # bytes of an array, from which on it begins where a cache line does
MAX_COUNT = 2**53  # a float64 beside it still tells one from the next
_MAX_SINGLE = 1e31  # no value is beyond 1e30, and float32 ends at 3.4e38
_MAX_DOUBLE = np.finfo(np.float64).max
NOT_NEGATIVE = (0.0, _MAX_DOUBLE)
POSITIVE = (np.finfo(np.float64).tiny, _MAX_DOUBLE)

Record = Any  # a numpy.record, whose fields are attributes for Python and for compiled code
Group = TypeVar("Group")


class Nothing(NamedTuple):
    """The group without arrays."""


Function = TypeVar("Function", bound=Callable[..., object])


def _kept(function: Function) -> Function:
    """Let a function keep its results; for mypy, which takes no class for hashable."""
    return lru_cache(256)(function)  # type: ignore[return-value]


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """What arrays are made from: the settings, and the length of every axis by name.

    Equal to itself alone, so that what follows from it is kept.
    """

    layout: Layout
    settings: Settings
    lengths: Mapping[str, int]


def _zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array of zeros, which begins where a cache line does unless it is small."""
    if math.prod(shape) * dtype.itemsize < ALIGNED_FROM:
        return np.zeros(shape, dtype)
    return aligned_zeros(math.prod(shape), dtype).reshape(shape)


def realigned(array: Array) -> Array:
    """Return a contiguous array, or its copy that begins where the array of a fresh model does."""
    if array.nbytes < ALIGNED_FROM:
        return np.ascontiguousarray(array)
    if array.flags.c_contiguous and array.ctypes.data % CACHE_LINE == 0:
        return array
    copy = _zeros(array.shape, array.dtype)
    copy[:] = array
    return copy


Start = float | Callable[[Array, Shapes], None]
Bounds = tuple[Any, float]


class Axes(NamedTuple):
    """The declaration of an array in its annotation; see `axes`."""

    names: tuple[str | int, ...]
    start: Start
    derived: bool
    within: Bounds | None


class Fields(NamedTuple):
    """The declaration of a record, or of one per element of an axis; see `record`."""

    dtype: type[Any]
    starts: tuple[tuple[str, float], ...]
    axis: str | None = None


def axes(
    *names: str | int, start: Start = 0.0, derived: bool = False, within: Bounds | None = None
) -> Axes:
    """Declare an array.

    Parameters
    ----------
    names
        Each axis is a length of `Shapes`, a fixed number, or a product such as
        ``"members*classes"``: blocks of columns, one per member, which stay together when the
        number of classes between them grows.
    start
        The number every element starts from, or a function that fills a fresh array of zeros.
    derived
        The array follows from the shapes alone: it is made anew when the model grows, and one from
        a file must equal it.
    within
        Bounds of the numbers in a file, by which compiled code divides and indexes without a look:
        a file with another number is refused. Default: counts, which begin at `start` or 0, go up
        to 2^53; float32 to 1e31 in size; and float64 is finite. A number may always be `start`.
    """
    return Axes(names, start, derived, within)


def diagonal(value: float) -> Callable[[Array, Shapes], None]:
    """Return the start of square matrices, the last two axes: `value` on the diagonal."""

    def start(array: Array, shapes: Shapes) -> None:
        places = np.arange(array.shape[-1])
        array[..., places, places] = value

    return start


PerFeature: TypeAlias = Annotated[Float64, axes("features")]
PerClass: TypeAlias = Annotated[Float64, axes("classes")]


def record(dtype: type[Any], **starts: float) -> Fields:
    """Declare several numbers of one dtype that are read and written by name.

    Parameters
    ----------
    dtype
        Dtype of every field.
    starts
        Names of the fields and what each starts from. A file holds them as one array in this order.
    """
    return Fields(dtype, tuple(starts.items()))


def records(axis: str, dtype: type[Any], **starts: float) -> Fields:
    """Declare a `record` for each element of an axis; a file holds one per row of a matrix."""
    return Fields(dtype, tuple(starts.items()), axis)


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array of a model: its name (``group.field``), dtype, axes, and the rest of `axes`.

    `fields` names the elements of a record and is empty for any other array.
    """

    name: str
    dtype: np.dtype[Any]
    axes: tuple[str | int, ...]
    start: Start
    derived: bool
    within: Bounds
    fields: tuple[str, ...] = ()

    def shape(self, lengths: Mapping[str, int]) -> tuple[int, ...]:
        """Return the length of every axis."""
        return tuple(math.prod(factors) for factors in self._factors(lengths))

    def make(self, shapes: Shapes, shape: tuple[int, ...] | None = None) -> Array:
        """Return the array of a fresh model; `shape` if the caller knows it."""
        array = _zeros(self.shape(shapes.lengths) if shape is None else shape, self.dtype)
        if self.start:
            self.reset(array, shapes)
        return array

    def reset(self, array: Array, shapes: Shapes) -> None:
        """Give an array of these shapes the values of a fresh model."""
        array.fill(0.0 if callable(self.start) else self.start)
        if callable(self.start):
            self.start(array, shapes)

    def growth(self, before: Mapping[str, int], shapes: Shapes) -> Growth | None:
        """Return how the array changes with the lengths of `shapes`; None if it does not."""
        shape = self.shape(shapes.lengths)
        if not self.derived and shape == self.shape(before):
            return None
        old = tuple(chain(*self._factors(before)))
        new = tuple(chain(*self._factors(shapes.lengths)))
        return Growth(self, shape, old, new, tuple(map(slice, old)))

    def check(self, array: Array, shapes: Shapes) -> None:
        """Raise ValueError unless `array` is what a model of these shapes has."""
        shape = self.shape(shapes.lengths)
        if array.shape != shape or array.dtype != self.dtype:
            raise ValueError(
                f"array {self.name!r} must be {self.dtype}{shape}, got {array.dtype}{array.shape}"
            )
        if self.derived and not np.array_equal(array, self.make(shapes)):
            raise ValueError(f"array {self.name!r} must equal the array computed from the settings")
        self._check_bounds(array)

    def _check_bounds(self, array: Array) -> None:
        low, high = self.within
        is_sound = (low <= array) & (array <= high)
        if not callable(self.start) and not math.isfinite(self.start):
            is_sound |= np.isclose(array, self.start, equal_nan=True)
        if not is_sound.all():
            raise ValueError(self._fault(array, ~is_sound))

    def _fault(self, array: Array, is_wrong: Array) -> str:
        """Return a sentence about the first wrong number."""
        place = tuple(np.argwhere(is_wrong)[0])
        low, high = (np.broadcast_to(bound, array.shape)[place] for bound in self.within)
        name = f"{self.name}.{self.fields[place[-1]]}" if self.fields else self.name
        return f"array {name!r} must be finite, from {low:g} to {high:g}, got {array[place]:g}"

    def view(self, array: Array) -> Any:
        """Return what a group holds of an array: itself, or its elements as a record or records."""
        if not self.fields:
            return array
        named = np.ascontiguousarray(array).view(_record_dtype(self.dtype, self.fields))
        return named.reshape(len(array)) if len(self.axes) > 1 else named[0]

    def _factors(self, lengths: Mapping[str, int]) -> list[tuple[int, ...]]:
        return [
            (axis,) if isinstance(axis, int) else tuple(lengths[name] for name in axis.split("*"))
            for axis in self.axes
        ]


class Growth(NamedTuple):
    """How an array changes when axes become longer.

    shape: the new one
    before, after: both shapes, with each product of lengths as axes of its own
    kept: where the numbers before stand among those after
    """

    spec: ArraySpec
    shape: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    kept: tuple[slice, ...]

    def apply(self, old: Array, shapes: Shapes) -> Array:
        """Return the array with the lengths of `shapes` and what was learned in its place."""
        new = self.spec.make(shapes, self.shape)
        if not self.spec.derived:
            new.reshape(self.after)[self.kept] = old.reshape(self.before)
        return new


@_kept
def _record_dtype(dtype: np.dtype[Any], fields: tuple[str, ...]) -> Any:
    return np.dtype((np.record, [(name, dtype) for name in fields]))


def array_of(value: Any) -> Array:
    """Return a value of a group as an array: itself, or the elements of a record or of records."""
    if isinstance(value, np.ndarray):
        return value if value.dtype.fields is None else _matrix_of(value)
    fields: Array = np.asarray(value.base)
    return fields.view(fields.dtype[0])


def _matrix_of(named: Array) -> Array:
    """Return records as a matrix, one per row."""
    plain: Array = named.view(np.ndarray).view(named.dtype[0])
    return plain.reshape(len(named), len(named.dtype.names or ()))


def build(group: type[Group], make: Callable[[ArraySpec], Array]) -> Group:
    """Return the group with the array that `make` gives for each of its specs."""
    return assembled(group, (spec.view(make(spec)) for spec in specs(group)))


def assembled(group: type[Group], values: Iterable[Any]) -> Group:
    """Return the group with these values, one per spec, in the order of `leaves`."""
    return _assembled(group, "", iter(values))  # type: ignore[no-any-return]


def _assembled(group: type[Any], prefix: str, values: Iterator[Any]) -> Any:
    return group._make(
        next(values)
        if isinstance(part, ArraySpec)
        else _assembled(part, f"{prefix}{name}.", values)
        for name, part in _parts(group, prefix).items()
    )


def leaves(group: Any) -> list[Any]:
    """Return the arrays and records in a group and in the groups inside it, one per spec."""
    values = _getter(type(group))(group)
    return list(values) if len(specs(type(group))) > 1 else [values]


@_kept
def _getter(group: type[Any]) -> Callable[[Any], Any]:
    return attrgetter(*(spec.name for spec in specs(group)))


@_kept
def specs(group: type[Any], prefix: str = "") -> tuple[ArraySpec, ...]:
    """Return the specs of a group and of the groups inside it, in the order of their fields."""
    found: list[ArraySpec] = []
    for name, part in _parts(group, prefix).items():
        found += [part] if isinstance(part, ArraySpec) else specs(part, f"{prefix}{name}.")
    return tuple(found)


@_kept
def shape_table(group: type[Any], shapes: Shapes) -> tuple[tuple[int, ...], ...]:
    """Return the shape of each array of a group."""
    return tuple(spec.shape(shapes.lengths) for spec in specs(group))


def make_group(group: type[Group], shapes: Shapes) -> Group:
    """Return the group of a fresh model."""
    own = zip(specs(group), shape_table(group, shapes), strict=True)
    return assembled(group, [spec.view(spec.make(shapes, shape)) for spec, shape in own])


def flatten(group: Any) -> dict[str, Array]:
    """Return every array of a group by the name of its spec; the memory itself, not copies."""
    own = zip(specs(type(group)), leaves(group), strict=True)
    return {spec.name: array_of(value) for spec, value in own}


def copies(group: Any) -> dict[str, Array]:
    """Return a copy of every array of a group by the name of its spec; of None, no arrays."""
    return {} if group is None else {name: array.copy() for name, array in flatten(group).items()}


@_kept
def _growths(group: type[Any], before: Shapes, shapes: Shapes) -> tuple[tuple[int, Growth], ...]:
    """Return the arrays of a group that change, by their position."""
    growths = [spec.growth(before.lengths, shapes) for spec in specs(group)]
    return tuple((i, growth) for i, growth in enumerate(growths) if growth is not None)


def grown(old: Group, before: Shapes, shapes: Shapes) -> Group:
    """Return a group with the lengths of `shapes` and every number of `old` in its place.

    Arrays that need no more room are those of `old`.
    """
    group = type(old)
    values = leaves(old)
    for i, growth in _growths(group, before, shapes):
        values[i] = growth.spec.view(growth.apply(array_of(values[i]), shapes))
    return assembled(group, values)


def renewed(old: Group, before: Shapes, shapes: Shapes) -> Group:
    """Return the group of a fresh model, with the arrays of `old` where their shapes fit."""
    group = type(old)
    others = dict(_growths(group, before, shapes))
    values = leaves(old)
    for i, spec in enumerate(specs(group)):
        if i in others:
            values[i] = spec.view(spec.make(shapes, others[i].shape))
        else:
            spec.reset(array_of(values[i]), shapes)
    return assembled(group, values)


def restored(group: type[Group], arrays: Mapping[str, Array], shapes: Shapes) -> Group:
    """Return the group whose arrays `flatten` named.

    Raises `KeyError` if an array is missing. Raises `ValueError` if an array is not what the shapes
    give, a number is out of its bounds, or no spec has its name.

    Parameters
    ----------
    group
        Type of the group.
    arrays
        Its arrays by name.
    shapes
        What they must have the shapes of.
    """
    known = {spec.name: spec for spec in specs(group)}
    if unknown := arrays.keys() - known.keys():
        raise ValueError(f"array {min(unknown)!r} must belong to a model, got an unknown name")
    for name, spec in known.items():
        spec.check(arrays[name], shapes)
    return build(group, lambda spec: realigned(arrays[spec.name]))


@_kept
def _parts(group: type[Any], prefix: str) -> dict[str, ArraySpec | type[Any]]:
    """Return what each field of a group is: an array, or another group."""
    hints = get_type_hints(group, include_extras=True)
    return {name: _part(f"{prefix}{name}", hint) for name, hint in hints.items()}


def _part(name: str, hint: Any) -> ArraySpec | type[Any]:
    if get_origin(hint) is not Annotated:
        if not hasattr(hint, "_fields"):
            raise TypeError(
                f"field {name!r} must be annotated with its axes: Annotated[..., axes(...)]"
            )
        return hint  # type: ignore[no-any-return]
    kind, declared = get_args(hint)
    if isinstance(declared, Fields):
        return _record_spec(name, declared)
    # NDArray[number] is ndarray[shape, dtype[number]]; from numpy 2.5 on, an alias of one argument
    number = get_args(kind)[-1]
    (number,) = get_args(number) or (number,)
    dtype = np.dtype(number)
    own_start = 0.0 if callable(declared.start) else declared.start
    within = declared.within or _usual_bounds(dtype, own_start)
    return ArraySpec(name, dtype, declared.names, declared.start, declared.derived, within)


def _usual_bounds(dtype: np.dtype[Any], start: Any) -> Bounds:
    if dtype.kind == "i":
        return np.minimum(start, 0), MAX_COUNT
    largest = _MAX_SINGLE if dtype == np.float32 else _MAX_DOUBLE
    return -largest, largest


def _record_spec(name: str, declared: Fields) -> ArraySpec:
    names = tuple(field for field, _ in declared.starts)
    values = [value for _, value in declared.starts]

    def start(array: Array, shapes: Shapes) -> None:
        array[:] = values

    shape = (len(names),) if declared.axis is None else (declared.axis, len(names))
    dtype = np.dtype(declared.dtype)
    return ArraySpec(name, dtype, shape, start, False, _usual_bounds(dtype, values), names)


def join(name: str, parts: Mapping[str, type[Any]]) -> type[Any]:
    """Return a group of groups, made from definitions.

    Parameters
    ----------
    name
        Name of the group.
    parts
        Name and type of each group in it.
    """
    made: Any = NamedTuple(name, [*parts.items()])  # type: ignore[misc]  # mypy wants it written out
    return made
