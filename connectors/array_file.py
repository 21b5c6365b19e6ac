"""Files that `numpy.save` and `numpy.savez` write, read with bounds and refused in words."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors.live_text import refuse_stream
from loco_stream.errors import SourceError

__all__ = ["load_arrays"]

_UNPACKED = 1 << 30  # bytes of an .npz file in memory


def load_arrays(path: Path, names: Iterable[str]) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Return the one array of an ``.npy`` file, not read into memory yet, or those of an ``.npz`` file by `names`.

    Raises
    ------
    SourceError
        The file cannot be read, is damaged, holds objects, or would fill the memory.
    """
    refuse_stream(path, "an array")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"{path} is no regular file")
        with path.open("rb") as file:  # numpy leaves it open where the archive is damaged
            if file.read(2) != b"PK":
                array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
                return array
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                _check_size(path, archive)
                return {name: archive[name] for name in names if name in archive}
    except OSError as e:
        raise SourceError(f"cannot read {path}: {e.strerror or e}") from None
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as e:
        reason = "numpy did not write it, or it holds objects" if "pickle" in str(e) else e
        raise SourceError(f"{path} is no array of numbers: {reason}") from None


def _check_size(path: Path, archive: Any) -> None:
    """Refuse arrays that would fill the memory, before they are unpacked."""
    size = sum(member.file_size for member in archive.zip.infolist())
    if size > _UNPACKED:
        raise SourceError(
            f"{path} has {size} bytes unpacked, and {_UNPACKED} are allowed: save the array as .npy, which is not "
            "read into memory"
        )
