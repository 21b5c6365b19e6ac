"""Machine code kept on disk: where it may lie, what is thrown away, and what is never kept.

Numba alone raises where it finds no folder to write to, and where a file of its cache is damaged or
the disk full.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import stat
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps

__all__ = ["keep"]


def keep(dispatcher: Any) -> None:
    """Keep the machine code of a function on disk.

    Beside it, in the home, in a temporary folder of the user's own.

    Where none of these can be written to, the function is compiled in every process; either is said
    once.
    """
    if not hasattr(dispatcher, "_cache"):  # interpreted
        return
    try:
        dispatcher._cache = _Cache(dispatcher.py_func)
    except RuntimeError:
        if not _move_to_own_folder():
            return
        dispatcher._cache = _Cache(dispatcher.py_func)


@cache
def _move_to_own_folder() -> bool:
    """Make numba keep its files in a folder of the user's own; return whether it can."""
    folder = own_folder()
    if folder is None:
        say_once(
            "no folder for compiled code can be written to: it is compiled anew in every process"
        )
        return False
    say_once(
        f"compiled code is kept in {folder}: neither the package's folder nor the home can be written to"
    )
    numba.config.CACHE_DIR = str(folder)
    return True


def own_folder() -> Path | None:
    """Return a temporary folder that only this user can read and write, or None.

    Who writes there runs code here.
    """
    try:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        folder = Path(tempfile.gettempdir()) / f"loco-stream-compiled-{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            return None
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return None
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o077):
        return None
    return folder


@cache
def say_once(text: str) -> None:
    """Warn, once a process."""
    warnings.warn(text, RuntimeWarning, stacklevel=2)


class _CheckedResult(CompileResultCacheImpl):
    """Compiled code with a checksum: a damaged file must not run."""

    def reduce(self, result: Any) -> Any:
        code = dumps(super().reduce(result))
        return hashlib.sha256(code).digest(), code

    def rebuild(self, target_context: Any, payload: Any) -> Any:
        checksum, code = payload
        if hashlib.sha256(code).digest() != checksum:
            raise ValueError("the checksum of the compiled code is wrong")
        return super().rebuild(target_context, pickle.loads(code))


class _Cache(FunctionCache):
    """Numba's cache of one function, which never raises."""

    _impl_class = _CheckedResult

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the machine code for a signature; None where there is none that can be used."""
        if _is_foreign(signature):
            return None
        try:
            return super().load_overload(signature, target_context)
        except Exception:  # damaged pickles raise anything
            self._throw_away()
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep the machine code for a signature, if that is possible."""
        if _is_foreign(signature):
            return
        try:
            super().save_overload(signature, result)
        except Exception as error:
            say_once(f"compiled code cannot be kept in {self.cache_path}: {error}")
            self.disable()

    def _throw_away(self) -> None:
        try:
            self.flush()
        except OSError:
            self.disable()


def _is_foreign(signature: Any) -> bool:
    """Return whether code is compiled for a type from outside the package, of whose sources the cache knows nothing."""
    tuples = [kind for kind in signature if isinstance(kind, types.BaseTuple)]
    named = (kind.instance_class for kind in tuples if hasattr(kind, "fields"))
    if any(not known.__module__.startswith("loco_stream.") for known in named):
        return True
    return any(_is_foreign(kind.types) for kind in tuples)
