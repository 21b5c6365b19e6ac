"""How compiled code is handed a group of numbers and arrays: as one array of 64-bit words.

To pass some hundred arrays one by one takes Python longer than a small step itself. The words are
every number and, for every array, its address and shape, in the order of the fields. Compiled code
is handed a group as the address of its words and reads a field where it is used. To hand on the
groups themselves, hundreds of values per call, would be most of what there is to compile.
Interpreted functions take the groups as they are.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, models, register_model
from numba.np import arrayobj

from loco_stream._arrays import Int64
from loco_stream._compiler.jit import kernel

PACKED = not config.DISABLE_JIT


class Words:
    """The words of a group; they are right as long as none of its arrays is replaced.

    Parameters
    ----------
    parts
        The numbers, arrays and records of the group, in order.
    before
        The words of a group of the same type, some of whose parts may be in this one too.

    Attributes
    ----------
    array
        The words.
    new
        Positions of the parts that `before` does not have; None without it.
    """

    def __init__(self, parts: Sequence[Any], before: Words | None = None) -> None:
        self.parts = parts
        self.new: list[int] | None = None
        if before is None:
            words: list[int] = []
            self._places: list[int] = []
            for part in parts:
                self._places.append(len(words))
                _add_words(part, words)
            self.array: Int64 = np.array(words, np.int64)
            return
        self._places = before._places
        self.array = before.array.copy()
        pairs = enumerate(zip(parts, before.parts, strict=True))
        self.new = [i for i, (part, old) in pairs if part is not old]
        for i in self.new:
            words = []
            _add_words(parts[i], words)
            place = self._places[i]
            self.array[place : place + len(words)] = words


def parts_of(group: tuple[Any, ...]) -> list[Any]:
    """Return the numbers, arrays and records in a group and in the groups inside it, in order."""
    found: list[Any] = []
    for part in group:
        if isinstance(part, tuple):
            found += parts_of(part)
        else:
            found.append(part)
    return found


def _add_words(part: Any, words: list[int]) -> None:
    """Add the words of a number, an array or a record."""
    if isinstance(part, np.ndarray):
        words.append(part.ctypes.data)
        words += part.shape
    elif isinstance(part, np.record):
        memory: Any = part.base
        words.append(memory.ctypes.data)
    elif isinstance(part, float):
        words += struct.unpack("=q", struct.pack("=d", part))
    else:
        words.append(int(part))


class GroupType(types.Type):
    """A group in words, known by the address of its first word: a field is read where it is used.

    Parameters
    ----------
    kind
        Numba's type of the named tuple.
    constant
        A class that says which fields of `constants_of` are known; None: none.
    constants_of
        The group in which they are.
    """

    def __init__(self, kind: Any, constant: type | None, known: Mapping[type, Any]) -> None:
        self.kind = kind
        self.constant = constant
        self.table = known
        self.known: Mapping[str, Any] = {}
        if constant is not None and kind.instance_class is known[constant].group:
            self.known = known[constant].values
        suffix = constant.__name__ if constant is not None else ""
        super().__init__(f"{kind.instance_class.__name__}Words{suffix}")

    @property
    def key(self) -> tuple[type, str, type | None]:
        """What tells one type from another: the name of `kind` has neither module nor fields."""
        return self.kind.instance_class, self.kind.name, self.constant


def _is_group(kind: Any, name: str) -> bool:
    """Return whether a field is a group too; `cell` is a tuple of numbers, as for the simulator."""
    return isinstance(kind, types.NamedTuple | types.NamedUniTuple) and name != "cell"


@register_model(GroupType)
class _GroupModel(models.PrimitiveModel):
    def __init__(self, manager: Any, group: GroupType) -> None:
        super().__init__(manager, group, ir.IntType(64).as_pointer())


@infer_getattr
class _GroupFields(AttributeTemplate):
    key = GroupType

    def generic_resolve(self, group: GroupType, name: str) -> Any:
        """Return the type of a field."""
        if name not in group.kind.fields:
            return None
        kind = group.kind.types[group.kind.fields.index(name)]
        if not _is_group(kind, name):
            return kind
        constants = group.table[group.constant] if group.constant is not None else None
        holds = constants is not None and kind.instance_class is constants.group
        return GroupType(kind, group.constant if holds else None, group.table)


@lower_getattr_generic(GroupType)
def _read_field(context: Any, builder: Any, group: GroupType, first: Any, name: str) -> Any:
    index = group.kind.fields.index(name)
    place = sum(_width(kind) for kind in group.kind.types[:index])
    field = builder.gep(first, [ir.Constant(ir.IntType(64), place)])
    if _is_group(group.kind.types[index], name):
        return field
    return _read(context, builder, group.kind.types[index], field)


def _width(kind: Any) -> int:
    """Return how many words a number, an array or a group takes."""
    if isinstance(kind, types.BaseTuple):
        return sum(_width(part) for part in kind.types)
    return 1 + kind.ndim if isinstance(kind, types.Array) else 1


def _read(context: Any, builder: Any, kind: Any, first: Any) -> Any:
    """Read a number, an array, a record or a tuple of these from the words at `first`."""
    numbers = itertools.count()

    def word() -> Any:
        found = builder.load(builder.gep(first, [ir.Constant(ir.IntType(64), next(numbers))]))
        found.set_metadata("invariant.load", builder.module.add_metadata([]))  # words never change
        return found

    def read(kind: Any) -> Any:
        if isinstance(kind, types.BaseTuple):
            return context.make_tuple(builder, kind, [read(part) for part in kind.types])
        if isinstance(kind, types.Array):
            return _view(context, builder, kind, word(), [word() for _ in range(kind.ndim)])
        if isinstance(kind, types.Record):
            return builder.inttoptr(word(), context.get_value_type(kind))
        if isinstance(kind, types.Float):
            return builder.bitcast(word(), ir.DoubleType())
        return context.cast(builder, word(), types.int64, kind)

    return read(kind)


def _view(context: Any, builder: Any, kind: Any, address: Any, shape: list[Any]) -> Any:
    """Make a C-contiguous array at an address; it owns nothing."""
    array = context.make_array(kind)(context, builder)
    itemsize = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    strides = [ir.Constant(ir.IntType(64), itemsize)]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    pointer = builder.inttoptr(address, array.data.type)
    arrayobj.populate_array(
        array, data=pointer, shape=shape, strides=strides, itemsize=itemsize, meminfo=None
    )
    return array._getvalue()


def make_opener(type_of: Callable[[type], Any], known: Mapping[type, Any]) -> Any:
    """Return the kernel ``(cell, words) -> group`` that compiled code starts with.

    Parameters
    ----------
    type_of
        Returns numba's type of the group for a class of cells.
    known
        By class: an object with `group`, the class of a group, and `values`, fields of it that are
        constants. A cell is wrapped in a tuple of such a class to tell compiled code so.
    """
    if not PACKED:
        return kernel(_itself)

    @intrinsic
    def opened(typing: Any, cell: Any, words: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.make_array(signature.args[1])(context, builder, args[1]).data

        constant = cell.instance_class if cell.instance_class in known else None
        kind = cell.types[0] if constant is not None else cell
        return GroupType(type_of(kind.instance_class), constant, known)(cell, words), generate

    return opened


def _itself(cell: Any, group: Any) -> Any:
    return group
