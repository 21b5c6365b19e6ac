"""Checks of output files before the work whose results they receive."""

from __future__ import annotations

import io
import os
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from loco_stream._persistence.files import StrPath, atomic_write, check_place
from loco_stream._text import reason_of
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PICTURES = (".png", ".svg", ".pdf")


def check_output(name: str, path: str | None) -> None:
    """Refuse a file that cannot be written.

    Raises `ConfigError` if the file cannot be written.

    name: setting that the file was given by; the error begins with it
    path: the file; None passes

    Examples
    --------
    >>> check_output("report", "report.json")
    """
    if path is None:
        return
    try:
        check_place(path)
        if not os.path.exists(path) or os.path.isfile(path):
            # some file systems, such as /proc, refuse new files in folders with all rights
            with TemporaryFile(dir=os.path.dirname(os.path.realpath(path))):
                pass
    except OSError as error:
        raise ConfigError(f"{name}: cannot write {path}: {reason_of(error)}") from error


def write_output(what: str, path: StrPath, content: bytes) -> None:
    """Write a file that a user named.

    Raises `ConfigError` if it cannot be written.

    what: what it is, for the error message
    path, content: as for `atomic_write`
    """
    try:
        atomic_write(path, content)
    except OSError as error:
        raise ConfigError(f"cannot write {what} {os.fspath(path)}: {reason_of(error)}") from error


def new_figure(**options: Any) -> Figure:
    """Return a figure with options of matplotlib; raises `ConfigError` if that is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("a picture needs matplotlib: pip install 'loco-stream[plot]'") from error
    return Figure(layout="constrained", **options)


def image(figure: Figure, kind: str, dpi: int = 120) -> bytes:
    """Return a picture as bytes in a format such as "png"."""
    content = io.BytesIO()
    figure.savefig(content, dpi=dpi, format=kind)
    return content.getvalue()


def write_picture(path: StrPath, figure: Figure, dpi: int = 120) -> None:
    """Write a picture in the format of its ending, PNG without one.

    Raises `ConfigError` if matplotlib does not know the ending, or the file cannot be written.
    """
    try:
        content = image(figure, Path(path).suffix[1:] or "png", dpi)
    except ValueError as error:
        raise ConfigError(f"cannot write the picture {os.fspath(path)}: {error}") from error
    write_output("the picture", path, content)


def check_folder(what: str, path: str) -> None:
    """Refuse a folder that cannot be created or written to; nothing is created.

    Raises `ConfigError` if a part of the path is no folder, or this user may not write there.

    what: what it is, for the error message
    path: the folder; it and those above it may be missing

    Examples
    --------
    >>> check_folder("the checkpoint folder", "state")
    """
    found = os.path.abspath(path)
    while not os.path.exists(found):
        found = os.path.dirname(found)
    if not os.path.isdir(found):
        raise ConfigError(f"cannot use {what} {path}: {found} is a file")
    if not os.access(found, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot use {what} {path}: this user may not write to {found}")


def check_picture(name: str, path: str | None) -> None:
    """Refuse a picture that cannot be drawn or written; arguments as for `check_output`.

    Raises `ConfigError` if matplotlib is missing, the file name has another ending than a picture,
    or the file cannot be written.
    """
    if path is None:
        return
    if find_spec("matplotlib") is None:
        raise ConfigError(f"{name} needs matplotlib: pip install 'loco-stream[plot]'")
    if Path(path).suffix not in _PICTURES:
        raise ConfigError(f"{name}: {path} must end in one of {', '.join(_PICTURES)}")
    check_output(name, path)
