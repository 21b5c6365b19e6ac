"""`loco-stream doctor`: is everything here that a run needs."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from importlib import metadata

import click

__all__ = ["command"]

_NEEDED = ("numpy", "numba", "river", "msgspec", "pyzmq", "rich", "click")
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
    """Check this installation: versions, extras, the compile cache, and a first learning step.

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
        click.echo(f"{name:<13} {version or f'not installed: pip install {chr(39)}loco-stream[{extra}]{chr(39)}'}")
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


def _trials() -> Iterator[tuple[str, bool]]:
    try:
        from loco_stream.connectors.sockets import libzmq_version

        yield f"libzmq        {libzmq_version()}", True
        began = time.perf_counter()
        from loco_stream import LOCOClassifier

        model = LOCOClassifier(seed=0)
        model.learn_one({"a": 0.0}, "off")
        model.predict_one({"a": 0.0})
        yield f"first step    {time.perf_counter() - began:.1f} s, compiling included where the cache was empty", True
    except ImportError as error:
        yield f"broken        {error}", False
