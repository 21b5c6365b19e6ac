"""CURVE keys and the allow-list: who may speak, and nobody else.

CURVE alone admits every client that knows the engine's public key, so each handshake is also
checked against the keys in ``allowed/`` by an authenticator of the socket's own context. Every
doubt refuses: no authenticator, no folder, an unreadable key file.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from loco_stream.errors import ConfigError, SourceError

__all__ = ["ClientKeys", "Guard", "keygen"]

_DOMAIN = (
    "loco-stream"  # with an empty one libzmq would let clients in when the authenticator is missing
)
_CERTIFICATE = """#   CURVE certificate of loco-stream, in the format of pyzmq
metadata
curve
    public-key = "{public}"
{secret}"""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def keygen(folder: str | Path, name: str = "source") -> list[Path]:
    """Make the keys of an engine, if it has none yet, and of one client.

    The folder is 0700, secret files are 0600, and no file is ever overwritten.

    Parameters
    ----------
    folder
        Where ``engine.key``, ``engine.key_secret``, ``NAME.key_secret`` and ``allowed/NAME.key``
        go.
    name
        The client; it is admitted as long as its file is in ``allowed/``.

    Returns
    -------
    The files written.

    Raises
    ------
    ConfigError
        A name that is no file name, or one that has a key already.

    Examples
    --------
    >>> import tempfile
    >>> from loco_stream.connectors import keygen
    >>> folder = Path(tempfile.mkdtemp()) / "keys"
    >>> sorted(path.relative_to(folder).as_posix() for path in keygen(folder, "press"))
    ['allowed/press.key', 'engine.key', 'engine.key_secret', 'press.key_secret']
    """
    if not _NAME.fullmatch(name) or name == "engine":
        raise ConfigError(f"name must be 1..64 of A-Z a-z 0-9 . _ - and not 'engine', not {name!r}")
    folder = Path(folder)
    allowed = folder / "allowed" / f"{name}.key"
    try:
        _make_folders(folder)
        written = []
        if not (folder / "engine.key_secret").exists() or not (folder / "engine.key").exists():
            written = _certificate(folder, "engine", folder / "engine.key")
        return [*written, *_certificate(folder, name, allowed)]
    except OSError as e:
        raise ConfigError(f"cannot write keys to {folder}: {e.strerror or e}") from None


def _make_folders(folder: Path) -> None:
    """Make the folders for their user alone.

    One that others can enter is left as it is unless it is empty.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for place in (folder, folder / "allowed"):
        place.mkdir(mode=0o700, exist_ok=True)
        status = place.stat()
        mine = status.st_uid == os.getuid()
        if mine and status.st_mode & 0o077 and not any(place.iterdir()):
            place.chmod(0o700)
        elif not mine or status.st_mode & 0o077:
            raise ConfigError(
                f"{place} can be entered by others and holds files: name a new folder for the keys"
            )


def _certificate(folder: Path, name: str, public: Path) -> list[Path]:
    """Write a key pair: the public key under a passing name, the secret key, then the public key's own name.

    A run that was interrupted left the passing name, and is completed. A secret key without a
    public one is of a client that was taken off the list, and stays off it.
    """
    secret = folder / f"{name}.key_secret"
    passing = public.with_name(f".{public.name}.part")
    if public.exists() or (secret.exists() and not passing.exists()):
        path = public if public.exists() else secret
        raise ConfigError(f"{path} exists and is not overwritten", option="name")
    if not secret.exists():
        key, secret_key = (part.decode() for part in zmq.curve_keypair())
        _write(passing, _CERTIFICATE.format(public=key, secret=""), 0o644)
        _write(
            secret,
            _CERTIFICATE.format(public=key, secret=f'    secret-key = "{secret_key}"\n'),
            0o600,
        )
    os.link(passing, public)  # unlike a rename it replaces nothing
    passing.unlink()
    return [public, secret]


def _write(path: Path, text: str, mode: int) -> None:
    """Write a whole file or none; what an interrupted run left is swept."""
    half = path.with_name(f"{path.name}.half")
    half.unlink(missing_ok=True)
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fsync(file.fileno())
    half.replace(path)


def _load(path: Path, *, secret: bool) -> tuple[bytes, bytes]:
    try:
        if secret and path.stat().st_mode & 0o077:
            raise SourceError(f"{path} can be read by others: chmod 600 {path}")
        public, private = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as e:
        raise SourceError(
            f"cannot read the key file {path}: {getattr(e, 'strerror', None) or e}"
        ) from None
    if secret and not private:
        raise SourceError(f"{path} holds no secret key")
    return public, private or b""


class Guard:
    """The engine's keys and allow-list, read again as soon as a file in ``allowed/`` changes.

    Parameters
    ----------
    folder
        What `keygen` made.

    Raises
    ------
    SourceError
        The engine's key or the folder of allowed keys is missing, unreadable, or readable by
        others.
    """

    def __init__(self, folder: str | Path) -> None:
        self._allowed_dir = Path(folder) / "allowed"
        self._public, self._secret = _load(Path(folder) / "engine.key_secret", secret=True)
        if not self._allowed_dir.is_dir():
            raise SourceError(
                f"{self._allowed_dir} is missing: without a list of allowed keys nobody could speak"
            )
        self._authenticator: ThreadAuthenticator | None = None
        self._keys: dict[str, bytes] = {}  # public key of each client, by its name
        self._seen: Any = None
        self._looked = -1.0
        self.refused = 0

    def start(self, context: zmq.Context[Any]) -> None:
        """Start to answer for the sockets of a context; comes before their bind."""
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(domain=_DOMAIN, credentials_provider=self)

    def stop(self) -> None:
        """End the authenticator's thread."""
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket speak CURVE as the engine, and nothing else."""
        socket.zap_domain = _DOMAIN.encode()
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.curve_secretkey = self._secret
        socket.curve_publickey = self._public
        socket.curve_server = True

    def callback(self, domain: str, key: bytes) -> bool:
        """Answer one handshake (called by the authenticator's thread)."""
        admitted = domain == _DOMAIN and self.admits(key)
        self.refused += not admitted
        return admitted

    def admits(self, key: bytes) -> bool:
        """Whether a public key (Z85) is on the list now.

        Looks at the folder at most every 0.2 s.
        """
        now = time.monotonic()
        if now - self._looked >= 0.2:
            self._looked = now
            self._read()
        return key in self._keys.values()

    def key_of(self, client: str) -> str:
        """Return the public key (Z85) of the client of this name, empty if the list has none."""
        self.admits(b"")
        return self._keys.get(client, b"").decode()

    def _read(self) -> None:
        try:
            files = sorted(self._allowed_dir.glob("*.key"))
            seen = [(f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files]
        except OSError:
            self._keys = {}
            self._seen = None
            return
        if seen == self._seen:
            return
        keys = {}
        for file in files:
            try:
                keys[file.stem] = zmq.auth.load_certificate(file)[0]
            except (OSError, ValueError):
                continue  # half written or damaged: that client waits outside, the others come in
        self._keys = keys
        self._seen = seen


class ClientKeys:
    """A client's keys: its own pair, and the engine's public key that it insists on.

    Parameters
    ----------
    folder
        Holds ``NAME.key_secret`` and ``engine.key``; a client needs no other file.
    name
        The client's name given to `keygen`.
    """

    def __init__(self, folder: str | Path, name: str = "source") -> None:
        self._public, self._secret = _load(Path(folder) / f"{name}.key_secret", secret=True)
        self._engine, _ = _load(Path(folder) / "engine.key", secret=False)

    def start(self, context: zmq.Context[Any]) -> None:
        """Nothing to start: the engine decides."""

    def stop(self) -> None:
        """Nothing to stop."""

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Make a socket speak CURVE as this client, to this engine only."""
        socket.curve_secretkey = self._secret
        socket.curve_publickey = self._public
        socket.curve_serverkey = self._engine
