"""Passwords and tokens, which never stand in a URL: it would show in process lists and logs."""

from __future__ import annotations

import os
from pathlib import Path

from loco_stream._text import reason_of
from loco_stream.errors import ConfigError


def password(service: str) -> str | None:
    """Return the password for a source's server.

    It is taken from the environment variable ``LOCO_STREAM_<SERVICE>_PASSWORD``, or from the file
    that ``LOCO_STREAM_<SERVICE>_PASSWORD_FILE`` names; None without either.

    Raises
    ------
    ConfigError
        The file cannot be read, or others can read it.
    """
    variable = f"LOCO_STREAM_{service}_PASSWORD"
    path = os.environ.get(f"{variable}_FILE")
    if path is None:
        return os.environ.get(variable)
    return read_private(path, f"{variable}_FILE ").rstrip("\r\n")


def secret(variable: str, path: str | None = None) -> str | None:
    """Return the password or token for a sink.

    It is taken from the file `path`, from the file that the environment variable
    ``<VARIABLE>_FILE`` names, or from `variable` itself; None without any.

    Raises
    ------
    ConfigError
        The file cannot be read, or others can read it.
    """
    what = "secret_file " if path else f"{variable}_FILE "
    path = path or os.environ.get(f"{variable}_FILE")
    return os.environ.get(variable) if path is None else read_private(path, what).strip()


def read_private(path: str | Path, what: str = "") -> str:
    """Return the text of a file that only its owner can read, or that is a credential of systemd.

    Parameters
    ----------
    path
        The file.
    what
        What precedes its path in error messages.

    Raises
    ------
    ConfigError
        The file cannot be read, or others can read it.
    """
    try:
        with Path(path).open() as file:
            if os.fstat(file.fileno()).st_mode & _forbidden(path):
                raise ConfigError(f"{what}{path} can be read by others: chmod 600 {path}")
            return file.read(65_536)
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"cannot read {what}{path}: {reason_of(e)}") from None


def _forbidden(path: str | Path) -> int:
    """Return the permissions that a private file must not have."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and Path(path).absolute().parent == Path(credentials):
        return 0o007  # its access list for the service's user shows as permissions of the group
    return 0o077
