"""Machine code on disk: where it is kept, what is removed, and what is never kept.

Code is kept in a folder per version of the sources, below the first of

1. the folder that LOCO_STREAM_CACHE_DIR names,
2. the folder that NUMBA_CACHE_DIR names,
3. the user's cache folder (on Linux ``~/.cache/loco-stream/compiled``),
4. a temporary folder of the user's own, with a warning,

never in the package itself, where files would outlive the package when it is uninstalled. Folders 3
and 4 are used only if nobody else can write to them: whoever writes there runs code here. Folders
that nobody has used for long are removed when a new version is first kept.

Portable code (see `portable`) is read from there as well, and from the package, where a wheel for
one system has it.

Unlike numba's own cache this one never raises: a damaged file or a full disk costs time only.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numba
from numba import types
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps

from loco_stream._compiler import portable

Untyped: TypeAlias = Any  # numba's classes have no types
_VERSION_NAMES = re.compile(r"[0-9a-f]{12}(-plain)?-numba[\w.+-]+-py\d+")
_MOST_OLD_VERSIONS = 3
_MOST_OLD_BYTES = 1 << 29  # of all old versions together


def keep(dispatcher: Untyped, version: str) -> None:
    """Keep the machine code of a function on disk.

    Parameters
    ----------
    version
        Version of the sources; code of other versions is not used.
    """
    if not hasattr(dispatcher, "_cache"):  # interpreted
        return
    own = version_folder(version)
    places: list[tuple[Path | None, portable.Target | None]] = [(own, None)]
    for target in portable.targets():
        places += [(own, target), (prebuilt_folder(version), target)]
    caches = [
        _cache_in(folder, target)(dispatcher.py_func)
        for folder, target in places
        if folder is not None
    ]
    if caches:
        dispatcher._cache = caches[0]
        caches[0].others = caches[1:]


def prebuilt_folder(version: str) -> Path | None:
    """Return the folder of code that came with the package, or None if none fits.

    It was made by this version of the sources, of numba and of Python.
    """
    folder = portable.PREBUILT / _version_name(version)
    return folder if folder.is_dir() else None


@cache
def version_folder(version: str) -> Path | None:
    """Return the folder for code of a version of the sources, or None if nothing can be kept.

    Removes folders of old versions.
    """
    base = base_folder()
    if base is None:
        return None
    folder = base / _version_name(version)
    try:
        is_new = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)  # the time of its last use
        if is_new:
            _remove_old(base, folder)
    except OSError:  # read-only: its content can still be used
        pass
    return folder


def _version_name(version: str) -> str:
    python = f"{sys.version_info.major}{sys.version_info.minor}"
    return f"{version}-numba{numba.__version__}-py{python}"


def base_folder() -> Path | None:
    """Return the folder that holds the code of all versions, or None if nothing can be kept."""
    chosen = os.environ.get("LOCO_STREAM_CACHE_DIR") or numba.config.CACHE_DIR
    if chosen:
        return Path(chosen).absolute()
    from platformdirs import user_cache_path

    usual = user_cache_path("loco-stream", appauthor=False) / "compiled"
    if _is_own(usual, forbidden=0o022):
        return usual
    own = _temporary_folder()
    if _is_own(own, forbidden=0o077):
        _warn_once(
            f"compiled code is kept in {own}, since {usual} cannot be written to, or others can "
            "write to it; LOCO_STREAM_CACHE_DIR names another folder"
        )
        return own
    _warn_once(
        f"compiled code is not kept, since neither {usual} nor {own} can be written to by this "
        "user alone: every process compiles anew; LOCO_STREAM_CACHE_DIR names another folder"
    )
    return None


def _temporary_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"loco-stream-compiled-{user}"


def _is_own(folder: Path, forbidden: int) -> bool:
    """Make a folder if it is missing; return whether it is this user's and can be written to.

    `forbidden` are permissions of others that it must not have.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):  # as a link
            return False
        if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & forbidden):
            return False
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _remove_old(base: Path, current: Path) -> None:
    """Remove old versions but the last ones used, which are kept up to a size."""
    old = [
        folder
        for folder in base.iterdir()
        if folder != current and _VERSION_NAMES.fullmatch(folder.name) and folder.is_dir()
    ]
    old.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    n_bytes = 0
    for k, folder in enumerate(old):
        n_bytes += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if k >= _MOST_OLD_VERSIONS or n_bytes > _MOST_OLD_BYTES:
            shutil.rmtree(folder, ignore_errors=True)


@cache
def _warn_once(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)


@cache
def _cache_in(folder: Path, target: portable.Target | None) -> type[_Cache]:
    """Return the class of caches whose files are below a folder.

    `target` selects portable code; None selects code for the host processor.
    """

    class Locator(_Locator):
        root = folder

    class Result(_CheckedResult):
        _locator_classes = (Locator,)

    class Native(_Cache):
        _impl_class = Result

    class Portable(_PortableCache):
        _impl_class = Result
        known_by = _NamedTarget(lambda: target)

    return Native if target is None else Portable


class _Locator:
    """Numba's protocol for where the code of a function is kept: one folder per Python package."""

    root: Path

    def __init__(self, py_func: Untyped, py_file: str) -> None:
        self._py_file = py_file  # read by numba
        self._line = py_func.__code__.co_firstlineno
        self._package = py_func.__module__.rpartition(".")[0] or py_func.__module__

    @classmethod
    def from_function(cls, py_func: Untyped, py_file: str) -> _Locator:
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        return str(self.root / self._package)

    def ensure_cache_path(self) -> None:
        os.makedirs(self.get_cache_path(), exist_ok=True)

    def get_source_stamp(self) -> str:
        return _hash_of(self._py_file)

    def get_disambiguator(self) -> str:
        return str(self._line)


@cache
def _hash_of(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


class _CheckedResult(CompileResultCacheImpl):
    """Compiled code with a checksum: damaged code must not run."""

    def reduce(self, result: Untyped) -> Untyped:
        code = dumps(super().reduce(result))
        return hashlib.sha256(code).digest(), code

    def rebuild(self, target_context: Untyped, payload: Untyped) -> Untyped:
        checksum, code = payload
        if hashlib.sha256(code).digest() != checksum:
            raise ValueError("the checksum of the compiled code is wrong")
        return super().rebuild(target_context, pickle.loads(code))


class _Cache(FunctionCache):
    """Numba's cache of one function, which never raises.

    On a miss, the caches in `others` are searched in order.
    """

    others: Sequence[_Cache] = ()

    def load_overload(self, signature: Untyped, target_context: Untyped) -> Untyped:
        """Return the machine code for a signature, or None."""
        if _is_foreign(signature):
            return None
        for kept in (self, *self.others):
            found = kept._own_overload(signature, target_context)
            if found is not None:
                return found
        return None

    def _own_overload(self, signature: Untyped, target_context: Untyped) -> Untyped:
        try:
            return super().load_overload(signature, target_context)
        except Exception:  # damaged pickles raise anything
            self._discard()
            return None

    def save_overload(self, signature: Untyped, result: Untyped) -> None:
        """Keep the machine code for a signature, if possible."""
        if _is_foreign(signature):
            return
        try:
            super().save_overload(signature, result)
        except Exception as error:
            self._give_up(error)

    def _discard(self) -> None:
        try:
            self.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or error
        _warn_once(f"compiled code cannot be kept in {Path(self.cache_path).parent}: {reason}")
        self.disable()


class _NamedTarget(NamedTuple):
    """The part of a code generator that the cache of numba reads."""

    magic_tuple: Callable[[], portable.Target | None]


class _PortableCache(_Cache):
    """Portable code of one function, which is only read here."""

    known_by: _NamedTarget

    def save_overload(self, signature: Untyped, result: Untyped) -> None:
        """Keep nothing."""

    def _index_key(self, signature: Untyped, codegen: Untyped) -> Untyped:
        return super()._index_key(signature, self.known_by)

    def _discard(self) -> None:
        self.disable()


def _is_foreign(signature: Untyped) -> bool:
    """Return whether code is compiled for a type from outside the package.

    The cache does not know the sources of such types, and of kernels that belong to them.
    """
    tuples = [kind for kind in signature if isinstance(kind, types.BaseTuple)]
    named = (kind.instance_class for kind in tuples if hasattr(kind, "fields"))
    if any(not known.__module__.startswith("loco_stream.") for known in named):
        return True
    return any(_is_foreign(kind.types) for kind in tuples)
