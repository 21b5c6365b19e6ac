"""`loco-stream doctor`: check that the installation has what a run needs."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from tempfile import TemporaryFile

import click

from loco_stream._cli._catalog import extras
from loco_stream._text import reason_of

_REQUIRED = (
    "numpy",
    "numba",
    "river",
    "msgspec",
    "pyarrow",
    "narwhals",
    "pyzmq",
    "rich",
    "click",
    "platformdirs",
)
_MODULES = {"pyzmq": "zmq"}  # where the module has another name than the package
_LINE = "{:<18} {}"


@click.command("doctor")
def command() -> None:
    """Check this installation.

    Print versions, extras, the compile cache, threads, and the time of a first learning step. The
    exit code is 1 if something required is missing or broken.

    \b
    Example
      loco-stream doctor
    """
    click.echo(_LINE.format("python", f"{platform.python_version()} on {platform.platform()}"))
    faults = {name: _fault(name) for name in _REQUIRED}
    for name, fault in faults.items():
        click.echo(_LINE.format(name, fault or _version(name)))
    _print_extras()
    is_sound = not any(faults.values())
    try:
        for name, text in _trials():
            click.echo(_LINE.format(name, text))
    except ImportError as error:
        click.echo(_LINE.format("broken", error))
        is_sound = False
    if not is_sound:
        sys.exit(1)


def _print_extras() -> None:
    for extra, distributions in extras().items():
        for name in distributions:
            hint = f"not installed: pip install 'loco-stream[{extra}]'"
            click.echo(_LINE.format(name, _version(name) or hint))


def _fault(name: str) -> str | None:
    """Return what is wrong with a required package; None if it can be imported."""
    version = _version(name)
    if version is None:
        return "MISSING"
    try:
        import_module(_MODULES.get(name, name))
    except Exception as error:  # a damaged package raises anything
        return f"{version}, BROKEN: {error!r}"
    return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _trials() -> Iterator[tuple[str, str]]:
    """Yield a name and a result for each part that is tried."""
    from loco_stream.connectors.ls1._sockets import libzmq_version

    yield "libzmq", libzmq_version()
    yield from _machine()
    began = time.perf_counter()
    from loco_stream import LOCOClassifier

    model = LOCOClassifier(seed=0)
    model.learn_one({"a": 0.0}, "off")
    model.predict_one({"a": 0.0})
    seconds = time.perf_counter() - began
    yield "first step", f"{seconds:.1f} s, with compilation if the cache was empty"


def _machine() -> Iterator[tuple[str, str]]:
    """Yield where compiled code is kept and how many threads may run."""
    import numba

    from loco_stream._learner import step

    yield "compile cache", _kept_code(step.run.stats.cache_path)
    yield "prebuilt code", _prebuilt()
    threads = numba.get_num_threads()
    yield "threads", f"a learning step uses 1 of {os.cpu_count()}; numba may use {threads}"


def _kept_code(folder: str | None) -> str:
    """Return how much compiled code is kept, and where; None is a folder that cannot be made."""
    if folder is None:
        return "nothing can be kept: every process compiles anew; set LOCO_STREAM_CACHE_DIR"
    cache = Path(folder).parent
    size = sum(file.stat().st_size for file in cache.rglob("*.nb[ic]"))
    kept = f"{size / 1e6:.1f} MB in {cache}" if size else f"nothing yet in {cache}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=cache).close()
    except OSError as error:
        return f"{kept}, which cannot be written to: {reason_of(error)}"
    return kept


def _prebuilt() -> str:
    """Return whether the code that came with the package is used, and if not, why."""
    from loco_stream._compiler import portable
    from loco_stream._compiler.cache import prebuilt_folder
    from loco_stream._compiler.jit import digest
    from loco_stream._compiler.processors import KINDS

    if not portable.PREBUILT.is_dir():
        return "none in this installation"
    folder = prebuilt_folder(digest())
    if folder is None:
        made = ", ".join(path.name for path in portable.PREBUILT.iterdir())
        return f"not used: it is for other versions ({made})"
    fitting = portable.targets()
    if not fitting:
        why = portable.unfit(KINDS[-1])
        return f"not used: {why or 'NUMBA_CPU_NAME or NUMBA_CPU_FEATURES is set'}"
    names = [name for _, name, _ in fitting if (folder / name).exists()]
    return f"fits this processor ({', '.join(names)})" if names else "not used: none fits"
