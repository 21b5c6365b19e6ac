"""Checks of output files before the work whose results they receive."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from loco_stream.errors import ConfigError
from loco_stream.persistence.files import check_place

__all__ = ["check_output", "check_picture"]

_PICTURES = (".png", ".svg", ".pdf")


def check_output(name: str, path: str | None) -> None:
    """Refuse a file that cannot be written.

    Parameters
    ----------
    name
        Setting that the file was given by; the error begins with it.
    path
        The file; None passes.

    Raises
    ------
    ConfigError
        The file cannot be written.

    Examples
    --------
    >>> check_output("report", "report.json")
    """
    try:
        if path is not None:
            check_place(path)
    except OSError as error:
        raise ConfigError(f"{name}: cannot write {path}: {error.strerror}") from error


def check_picture(name: str, path: str | None) -> None:
    """Refuse a picture that cannot be drawn or written; arguments as for `check_output`.

    Raises
    ------
    ConfigError
        matplotlib is missing, the file name has another ending than a picture, or the file cannot
        be written.
    """
    if path is None:
        return
    if find_spec("matplotlib") is None:
        raise ConfigError(f"{name} needs matplotlib: pip install 'loco-stream[plot]'")
    if Path(path).suffix not in _PICTURES:
        raise ConfigError(f"{name}: {path} must end in one of {', '.join(_PICTURES)}")
    check_output(name, path)
