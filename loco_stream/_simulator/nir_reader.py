"""Reading of NIR files by way of a copy that a process of its own writes.

NIR files are HDF5 files, and the library for HDF5 crashes on some damaged ones, or overwrites
memory and crashes later. The process runs this file as a script, which therefore imports nothing
of this package:

    python -P nir_reader.py PATH COPY
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

_MAX_BYTES = 4 << 30  # of all arrays of a file
_SECONDS = 600.0  # for a file that keeps the library busy
Location: TypeAlias = str | PathLike[str]
Untyped: TypeAlias = Any  # h5py and nir have no types


def read(path: Location) -> Untyped:
    """Return the graph of a file.

    Raises `ValueError` if the file cannot be read, ends the process that reads it, or does not fit
    in memory.
    """
    import nir

    if not sys.executable:  # Python is part of another program, and starts no other process
        _check_size(path)
        return nir.read(fspath(path))
    with tempfile.TemporaryDirectory(prefix="loco-stream-") as folder:
        sound = Path(folder) / "copy.nir"
        if fault := copied(path, sound):
            raise ValueError(fault)
        return nir.read(str(sound))


def copied(path: Location, sound: Location) -> str:
    """Copy a file in a process of its own; return why it cannot be read, empty if it can."""
    command = [sys.executable, "-P", __file__, fspath(path), fspath(sound)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"the HDF5 library takes more than {_SECONDS:g} s"
    if done.returncode == 0:
        return ""
    if done.returncode != 1:  # the exit code of an exception
        return "the HDF5 library crashes"
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    return lines[-1] if lines else "it is damaged"


def copy(path: Location, sound: Location) -> None:
    """Write what a file holds to another one."""
    import nir

    _check_size(path)
    nir.write(fspath(sound), nir.read(fspath(path)))


def _check_size(path: Location) -> None:
    """Raise `ValueError` for a file whose arrays do not fit in memory, however small it is."""
    import h5py

    sizes = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda _, item: sizes.append(_n_bytes(item)))
    if sum(sizes) > _MAX_BYTES:
        raise ValueError(f"it must hold at most {_MAX_BYTES:,} bytes, got {sum(sizes):,}")


def _n_bytes(item: Untyped) -> int:
    """Return the bytes of a data set in memory; 0 for a group."""
    return int(getattr(item, "nbytes", 0))


if __name__ == "__main__":
    copy(*sys.argv[1:])
