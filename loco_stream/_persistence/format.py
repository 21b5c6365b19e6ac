"""The checked file: a kind, plain values and arrays, and nothing that can run code.

Layout, little-endian::

    8 bytes  magic "LOCOFILE"
    u16      format version
    u16      0
    u32      length of the header
    header   MessagePack {"kind", "config", "arrays": [[name, dtype, shape], ...]}
    data     bytes of the arrays, C order, in the order of the header
    32 bytes SHA-256 of everything before

Equal content gives equal bytes: the file holds no time and no host name.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import stat
import struct
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from loco_stream._arrays import Array
from loco_stream._numbers import shown
from loco_stream._persistence.content import Arrays, Plain, Saved, SavedArrays, State
from loco_stream._persistence.files import StrPath, atomic_write
from loco_stream._persistence.migrations import VERSION, check_version, migrate
from loco_stream._text import reason_of
from loco_stream.errors import CheckpointError

MAX_BYTES = 2**32  # largest file that is read unless the caller allows more
_MAGIC = b"LOCOFILE"
_PREFIX = struct.Struct("<8sHHI")
_HASH_BYTES = 32
_TUPLE = 1
_BIG_INT = 2
_DTYPE_KINDS = "biuf"
_DTYPE = re.compile(r"[<|>][biuf](1|2|4|8|16)")
_UNCHANGED = frozenset({str, float, bool, bytes, type(None), msgspec.Raw})  # Raw: encoded before


def write(
    path: StrPath,
    kind: str,
    config: State,
    arrays: SavedArrays,
    mode: int = 0o666,
) -> None:
    """Write one checked file atomically.

    The bytes go to a temporary file in the same folder, are synced, and take the name of `path` in
    one step: after a crash either the old file or the new one is there.

    Raises `CheckpointError` if a value is not plain, an array has another dtype, or the file cannot
    be written.

    path: the file; an existing one is replaced
    kind: type of the content, for example ``"LOCOClassifier"`` or ``"checkpoint"``
    config: plain values: None, bool, int, float, str, bytes, and lists, tuples and dicts of them
    arrays: boolean, integer and floating arrays of any shape
    mode: permissions of a new file, before the umask of the process; a replaced file keeps its own

    Examples
    --------
    >>> import numpy as np, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.loco")
    >>> write(path, "demo", {"size": (2, 1)}, {"w": np.array([[1.5], [2.0]], dtype=np.float32)})
    >>> saved = read(path)
    >>> saved.kind, saved.config, saved.arrays["w"].tolist()
    ('demo', {'size': (2, 1)}, [[1.5], [2.0]])
    """
    content = to_bytes(kind, config, arrays)
    try:
        atomic_write(path, content, mode)
    except OSError as error:
        raise CheckpointError(f"cannot write {os.fspath(path)}: {reason_of(error)}") from error


def read(path: StrPath, max_bytes: int = MAX_BYTES) -> Saved:
    """Read a file that `write` made; its checksum is verified first.

    Raises `CheckpointError` if the file is missing, too large, truncated, damaged, not a
    loco-stream file, or of a version that cannot be read.

    `max_bytes`: size in bytes beyond which the file is refused unread. Reading needs a small
    multiple of the file's size in memory; no number in the file can raise that.
    """
    name = os.fspath(path)
    try:
        content = _content(name, max_bytes)
    except OSError as error:
        raise CheckpointError(f"cannot read {name}: {reason_of(error)}") from error
    except (ValueError, MemoryError) as error:
        raise CheckpointError(
            f"cannot read {name}: {error or 'it does not fit into memory'}"
        ) from error
    return from_bytes(content, name)


def to_bytes(kind: str, config: State, arrays: SavedArrays) -> bytes:
    """Return the bytes of the file that `write` makes; raises `CheckpointError` as it does."""
    content = _pack(kind, config, arrays)
    return content + hashlib.sha256(content).digest()


def _check_whole(content: bytes, name: str) -> None:
    """Raise `CheckpointError` unless the content begins and ends as `to_bytes` makes it."""
    if len(content) < _PREFIX.size + _HASH_BYTES or content[:8] != _MAGIC:
        raise CheckpointError(f"{name} is not a loco-stream file: it does not begin with LOCOFILE")
    if hashlib.sha256(memoryview(content)[:-_HASH_BYTES]).digest() != content[-_HASH_BYTES:]:
        raise CheckpointError(f"{name} is damaged: its content does not match its SHA-256 checksum")


def from_bytes(content: bytes, name: str) -> Saved:
    """Undo `to_bytes`; the checksum is verified first, and earlier versions are migrated.

    Raises `CheckpointError`, in whose message the content is called `name`.
    """
    _check_whole(content, name)
    _, version, _, header_bytes = _PREFIX.unpack_from(content)
    body = memoryview(content)[_PREFIX.size : -_HASH_BYTES]
    try:
        check_version(version)
        return migrate(_unpack(body, header_bytes), version)
    except CheckpointError as error:
        raise CheckpointError(f"{name} {error}") from error


def digest(kind: str, config: State, arrays: SavedArrays) -> str:
    """Return the SHA-256 in hex of what `write` would write: equal states give equal digests."""
    return hashlib.sha256(_pack(kind, config, arrays)).hexdigest()


def encode_plain(value: Plain) -> bytes:
    """Return plain values as MessagePack; tuples and integers of any size are preserved.

    Raises `CheckpointError` if a value is of another type.
    """
    try:
        return msgspec.msgpack.encode(_plain(value))
    except (TypeError, ValueError, OverflowError) as error:
        place = _place_of(value).removeprefix(".").removeprefix("config.")
        what = f"`{place}`" if place else "this value"
        raise CheckpointError(f"cannot store {what}: {error}") from error


def decode_plain(content: bytes | memoryview) -> Plain:
    """Undo `encode_plain`; raises `CheckpointError` for anything it did not make."""
    try:
        return _DECODER.decode(content)
    except (
        msgspec.MsgspecError,
        ValueError,
        TypeError,
        OverflowError,
        RecursionError,
        MemoryError,
    ) as error:
        raise CheckpointError(f"stored values are unreadable: {error}") from error


def _pack(kind: str, config: State, arrays: SavedArrays) -> bytes:
    packed = {name: _packed_array(name, arrays[name]) for name in sorted(arrays)}
    table = [[name, array.dtype.str, array.shape] for name, array in packed.items()]
    header = encode_plain({"kind": kind, "config": dict(config), "arrays": table})
    prefix = _PREFIX.pack(_MAGIC, VERSION, 0, len(header))
    return b"".join([prefix, header, *(array.tobytes() for array in packed.values())])


def _packed_array(name: str, value: Array) -> Array:
    """Return an array in little-endian byte order."""
    array = np.asarray(value)
    if array.dtype.kind not in _DTYPE_KINDS:
        raise CheckpointError(
            f"array {name!r} must hold booleans, integers or floats, got dtype {array.dtype}"
        )
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _open(name: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a FIFO without a writer would wait for ever.
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _content(name: str, max_bytes: int) -> bytes:
    with open(name, "rb", opener=_open) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it must be a regular file")
        if status.st_size > max_bytes:
            raise ValueError(
                f"it must have at most {max_bytes} bytes (`max_bytes`), got {status.st_size}"
            )
        return file.read(status.st_size)


def _unpack(body: memoryview, header_bytes: int) -> Saved:
    if header_bytes > len(body):
        raise CheckpointError("is damaged: its header is longer than the file")
    try:
        header = decode_plain(body[:header_bytes])
        kind = header["kind"]
        config = header["config"]
        table = header["arrays"]
        if not (isinstance(kind, str) and isinstance(config, dict) and isinstance(table, list)):
            raise ValueError("its header must hold a kind, config and arrays")
        return Saved(kind, config, _unpack_arrays(table, body[header_bytes:]))
    except (KeyError, TypeError, ValueError, CheckpointError) as error:
        raise CheckpointError(f"is damaged: {error}") from error
    except MemoryError:
        raise CheckpointError("does not fit into memory") from None


def _unpack_arrays(table: list[Plain], data: memoryview) -> Arrays:
    arrays = {}
    for name, dtype_name, shape in table:
        dtype = _checked_dtype(name, dtype_name)
        _check_shape(name, shape)
        size = math.prod(shape) * dtype.itemsize
        if size > len(data):
            raise ValueError(f"array {name!r} must have {size} bytes, got {len(data)}")
        arrays[name] = np.frombuffer(data[:size], dtype).reshape(shape).copy()
        data = data[size:]
    if len(data):
        raise ValueError(f"its arrays must fill the file, got {len(data)} bytes more")
    return arrays


def _checked_dtype(name: object, dtype_name: object) -> np.dtype[Any]:
    if isinstance(name, str) and isinstance(dtype_name, str) and _DTYPE.fullmatch(dtype_name):
        return np.dtype(dtype_name)
    raise ValueError(f"array {name!r} must hold booleans, integers or floats, got {dtype_name!r}")


def _check_shape(name: str, shape: Plain) -> None:
    is_sequence = isinstance(shape, list | tuple)
    if not is_sequence or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise ValueError(f"array {name!r} must have a list of lengths as shape, got {shape!r}")


def _plain(value: Plain) -> Plain:
    """Wrap what MessagePack would not bring back as it was."""
    if type(value) in _UNCHANGED:
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, tuple):
        return msgspec.msgpack.Ext(_TUPLE, msgspec.msgpack.encode([_plain(item) for item in value]))
    if isinstance(value, list):
        return [item if type(item) is str else _plain(item) for item in value]
    if isinstance(value, Mapping):
        return {_plain_key(key): _plain(item) for key, item in value.items()}
    return _plain_scalar(value)


def _place_of(value: Plain) -> str:
    """Return where the first value is that cannot be stored, such as ``.classes[0]``."""
    names = isinstance(value, Mapping)
    items = value.items() if names else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, item in items:
        try:
            msgspec.msgpack.encode(_plain(item))
        except (TypeError, ValueError, OverflowError):
            return f"{f'.{name}' if names else f'[{name}]'}{_place_of(item)}"
    return ""


def _plain_scalar(value: Plain) -> Plain:
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return msgspec.msgpack.Ext(_BIG_INT, str(value).encode())
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    raise TypeError(
        "a stored value must be a text, a number, true, false, bytes, or a tuple, list or dict of "
        f"these, got {shown(value)} of type {type(value).__name__}"
    )


def _plain_key(key: Plain) -> Plain:
    # MessagePack arrays come back as tuples where they are keys, so a tuple needs no wrapping
    # there.
    if isinstance(key, np.generic):
        key = key.item()
    if isinstance(key, tuple):
        return tuple(_plain_key(item) for item in key)
    if key is None or isinstance(key, bool | int | float | str | bytes):
        return key
    raise TypeError(
        "a stored name must be a text, a number, true, false, bytes or a tuple of these, "
        f"got {shown(key)} of type {type(key).__name__}"
    )


def _extension(code: int, data: memoryview) -> Plain:
    if code == _TUPLE:
        return tuple(_DECODER.decode(data))
    if code == _BIG_INT:
        return int(bytes(data))
    raise ValueError(f"a stored extension must be known, got {code}")


_DECODER = msgspec.msgpack.Decoder(ext_hook=_extension)
