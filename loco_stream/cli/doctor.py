"""`loco-stream doctor`: is everything here that a run needs."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click

__all__ = ["command"]

_NEEDED = ("numpy", "numba", "river", "msgspec", "pyzmq", "rich", "click", "platformdirs")
_EXTRAS = {
    "plot": "matplotlib",
    "mqtt": "paho-mqtt",
    "lsl": "pylsl",
    "parquet": "pyarrow",
    "metrics": "prometheus-client",
    "dashboard": "starlette",
}


@click.command("doctor")
def command() -> None:
    """Check this installation.

    Versions, extras, the compile cache, threads, and a first learning step.

    \b
    Example
      loco-stream doctor

    Ends with exit code 1 if something needed is missing or does not work.
    """
    click.echo(f"python        {platform.python_version()} on {platform.platform()}")
    sound = True
    for name in _NEEDED:
        version = _version(name)
        sound &= version is not None
        click.echo(f"{name:<13} {version or 'MISSING'}")
    for extra, name in _EXTRAS.items():
        version = _version(name)
        click.echo(
            f"{name:<13} {version or f'not installed: pip install {chr(39)}loco-stream[{extra}]{chr(39)}'}"
        )
    for text, fine in _trials():
        sound &= fine
        click.echo(text)
    if not sound:
        sys.exit(1)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> Iterator[tuple[str, bool]]:
    """Tell where compiled code is kept, and on how many threads things may run."""
    import numba

    from loco_stream._shadowing import leftover_folders
    from loco_stream.learner import step

    cache = step.run.stats.cache_path
    if cache is None:
        yield "cache         none: code is compiled in every process", True
    else:
        folder = Path(cache).parents[1]  # of all versions
        kept = sum(file.stat().st_size for file in folder.rglob("*.nb[ic]"))
        yield f"cache         {kept / 1e6:.1f} MB of compiled code below {folder}", True
    for leftover in leftover_folders():
        yield f"leftover      version 0.2 left compiled code in {leftover}: delete the folder", False
    yield (
        f"threads       a learning step uses 1; {os.cpu_count()} here, numba may use {numba.get_num_threads()}",
        True,
    )


def _trials() -> Iterator[tuple[str, bool]]:
    try:
        from loco_stream.connectors.ls1.sockets import libzmq_version

        yield f"libzmq        {libzmq_version()}", True
        yield from _machine()
        began = time.perf_counter()
        from loco_stream import LOCOClassifier

        model = LOCOClassifier(seed=0)
        model.learn_one({"a": 0.0}, "off")
        model.predict_one({"a": 0.0})
        yield (
            f"first step    {time.perf_counter() - began:.1f} s, compiling included where the cache was empty",
            True,
        )
    except ImportError as error:
        yield f"broken        {error}", False
