"""Files of `numpy.save` and `numpy.savez`, read within bounds."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from loco_stream._arrays import Array
from loco_stream._text import reason_of
from loco_stream.connectors._base.pipe_reader import refuse_pipe
from loco_stream.errors import SourceError

_MAX_UNPACKED = 1 << 30  # bytes of an .npz file in memory


def load_arrays(path: Path, names: Iterable[str]) -> Array | dict[str, Array]:
    """Return the array of an ``.npy`` file, memory-mapped, or the named arrays of an ``.npz`` file.

    Raises
    ------
    SourceError
        The file cannot be read, is damaged, holds Python objects, or is too large unpacked.
    """
    refuse_pipe(path, "an array")
    try:
        return _read(path, names)
    except OSError as e:
        raise SourceError(f"cannot read {path}: {reason_of(e)}") from None
    except SourceError:
        raise
    except Exception as e:  # numpy parses headers as Python, and archives fail in many ways
        reason = e.args[0] if e.args else type(e).__name__
        if "pickle" in str(reason):
            reason = "it was not written by numpy, or holds objects"
        raise SourceError(f"{path} must be an array of numbers: {reason}") from None


def _read(path: Path, names: Iterable[str]) -> Array | dict[str, Array]:
    if not stat.S_ISREG(path.stat().st_mode):
        raise SourceError(f"{path} must be a regular file")
    with path.open("rb") as file:  # numpy would leave a damaged archive open
        if file.read(2) != b"PK":
            array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
            return array
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            _check_size(path, archive)
            return {name: archive[name] for name in names if name in archive}


def _check_size(path: Path, archive: Any) -> None:
    """Refuse arrays that would fill the memory, before they are unpacked."""
    size = sum(member.file_size for member in archive.zip.infolist())
    if size > _MAX_UNPACKED:
        raise SourceError(
            f"{path} must have at most {_MAX_UNPACKED} bytes unpacked, got {size}: "
            "an .npy file is not read into memory"
        )


def array_labels(y: Array | None, task: str | None) -> tuple[str, str | None]:
    """Return the kind of labels in an array, as in `label_of`, and their task."""
    if y is None or task == "regression":
        return "float", task
    if y.dtype.kind == "f":
        known = y[np.isfinite(y)]
        is_whole = bool((known == np.floor(known)).all())
        return ("int", "classification") if is_whole or task else ("float", "regression")
    return "str", "classification"
