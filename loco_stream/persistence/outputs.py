"""Outputs that cannot be written, refused before the work whose result they are for."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from loco_stream.errors import ConfigError
from loco_stream.persistence.files import check_place

__all__ = ["check_output", "check_picture"]

_PICTURES = (".png", ".svg", ".pdf")


def check_output(option: str, path: str | None) -> None:
    """Refuse a file that cannot be written.

    Raises
    ------
    ConfigError
        It names the option and why.

    Examples
    --------
    >>> check_output("--report", "report.json")
    """
    try:
        if path is not None:
            check_place(path)
    except OSError as error:
        raise ConfigError(f"{option}: cannot write {path}: {error.strerror}") from error


def check_picture(path: str | None) -> None:
    """Refuse a picture that cannot be drawn or written.

    Raises
    ------
    ConfigError
        matplotlib is missing, or the file's ending or place is not one for a picture.
    """
    if path is None:
        return
    if find_spec("matplotlib") is None:
        raise ConfigError("--plot needs matplotlib: pip install 'loco-stream[plot]'")
    if Path(path).suffix not in _PICTURES:
        raise ConfigError(f"--plot: {path} must end in one of {', '.join(_PICTURES)}")
    check_output("--plot", path)
