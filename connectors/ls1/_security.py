"""CURVE keys and the allow-list of clients.

CURVE alone admits every client that knows the engine's public key. An authenticator of the
socket's own context therefore checks each handshake against the keys in ``allowed/``. If in doubt
it refuses: without authenticator, without folder, and for an unreadable key file.
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

from loco_stream._checks import checks_types
from loco_stream._text import reason_of
from loco_stream.errors import ConfigError, SourceError

# With an empty domain, libzmq would admit clients if the authenticator is missing.
_DOMAIN = "loco-stream"
_CERTIFICATE = """#   CURVE certificate of loco-stream, in the format of pyzmq
metadata
curve
    public-key = "{public}"
{secret}"""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RELOAD_SECONDS = 0.2


@checks_types
def keygen(folder: str | Path, name: str = "source") -> list[Path]:
    """Create the keys of an engine, unless they exist, and those of one client.

    The folder has mode 0700, secret files 0600. No file is overwritten.

    Parameters
    ----------
    folder
        Gets ``engine.key``, ``engine.key_secret``, ``NAME.key_secret`` and ``allowed/NAME.key``.
    name
        Name of the client, which is admitted as long as its file is in ``allowed/``.

    Returns
    -------
    list[Path]
        The files written.

    Raises
    ------
    ConfigError
        The name is not valid in a file name, or has a key already, or `folder` is not a directory.

    Examples
    --------
    >>> import tempfile
    >>> from loco_stream.connectors import keygen
    >>> folder = Path(tempfile.mkdtemp()) / "keys"
    >>> sorted(path.relative_to(folder).as_posix() for path in keygen(folder, "press"))
    ['allowed/press.key', 'engine.key', 'engine.key_secret', 'press.key_secret']
    """
    if not _NAME.fullmatch(name) or name == "engine":
        raise ConfigError(
            f"`name` must be 1..64 characters of A-Z a-z 0-9 . _ - and not 'engine', got {name!r}"
        )
    folder = Path(folder)
    allowed = folder / "allowed" / f"{name}.key"
    try:
        _create_folders(folder)
        written = []
        if not (folder / "engine.key_secret").exists() or not (folder / "engine.key").exists():
            written = _write_pair(folder, "engine", folder / "engine.key")
        return [*written, *_write_pair(folder, name, allowed)]
    except OSError as e:
        raise ConfigError(f"cannot write keys to {folder}: {reason_of(e)}") from None


def _create_folders(folder: Path) -> None:
    """Create the folders for their user alone; one that others can enter must be empty."""
    allowed = folder / "allowed"
    for path in (allowed, *allowed.parents):
        if os.path.lexists(path) and not path.is_dir():
            raise ConfigError(f"{path} must be a directory, got a file")
    folder.parent.mkdir(parents=True, exist_ok=True)
    for path in (folder, allowed):
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.stat()
        is_open = bool(status.st_mode & 0o077)
        is_own = status.st_uid == os.getuid()
        if is_own and is_open and not any(path.iterdir()):
            path.chmod(0o700)
        elif not is_own or is_open:
            raise ConfigError(
                f"{path} can be entered by others and holds files: choose a new folder for the keys"
            )


def _write_pair(folder: Path, name: str, public: Path) -> list[Path]:
    """Write a key pair: the public key under a temporary name, the secret key, then the final name.

    A pair that was interrupted left the temporary file and is completed. A secret key without any
    public one belongs to a client that was removed from the allow-list, and stays removed.
    """
    secret = folder / f"{name}.key_secret"
    temporary = public.with_name(f".{public.name}.part")
    if public.exists() or (secret.exists() and not temporary.exists()):
        path = public if public.exists() else secret
        raise ConfigError(f"{path} exists and is not overwritten", option="name")
    if not secret.exists():
        key, secret_key = (part.decode() for part in zmq.curve_keypair())
        line = f'    secret-key = "{secret_key}"\n'
        _write(temporary, _CERTIFICATE.format(public=key, secret=""), 0o644)
        _write(secret, _CERTIFICATE.format(public=key, secret=line), 0o600)
    os.link(temporary, public)  # unlike a rename, it replaces nothing
    temporary.unlink()
    return [public, secret]


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file completely or not at all."""
    half = path.with_name(f"{path.name}.half")
    half.unlink(missing_ok=True)
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fsync(file.fileno())
    half.replace(path)


def _load(path: Path, *, secret: bool) -> tuple[bytes, bytes]:
    """Return the public and the secret key in a file; the latter may be empty."""
    try:
        if secret and path.stat().st_mode & 0o077:
            raise SourceError(f"{path} can be read by others: chmod 600 {path}")
        public, private = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as e:
        raise SourceError(f"cannot read the key file {path}: {reason_of(e)}") from None
    if secret and not private:
        raise SourceError(f"{path} must hold a secret key")
    return public, private or b""


class ServerKeys:
    """The engine's keys, and the allow-list in ``allowed/``, which may change at any time.

    Parameters
    ----------
    folder
        Folder made by `keygen`.

    Attributes
    ----------
    n_refused
        Number of handshakes that were refused.

    Raises
    ------
    SourceError
        The engine's key or the allow-list is missing or unreadable, or others can read the key.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder) / "allowed"
        self._public, self._secret = _load(Path(folder) / "engine.key_secret", secret=True)
        if not self._folder.is_dir():
            raise SourceError(f"{self._folder} is missing: without it, no client is admitted")
        self.n_refused = 0
        self._authenticator: ThreadAuthenticator | None = None
        self._keys: dict[str, bytes] = {}  # public key of each client, by its name
        self._state: object = None  # of the folder when it was read
        self._read_at = -1.0

    def start(self, context: zmq.Context[Any]) -> None:
        """Start to authenticate for the sockets of a context; call it before their bind."""
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(domain=_DOMAIN, credentials_provider=self)

    def stop(self) -> None:
        """End the authenticator's thread."""
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Let a socket accept CURVE only, as the engine."""
        socket.zap_domain = _DOMAIN.encode()
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.curve_secretkey = self._secret
        socket.curve_publickey = self._public
        socket.curve_server = True

    def callback(self, domain: str, key: bytes) -> bool:
        """Decide on a handshake; called in the authenticator's thread."""
        admitted = domain == _DOMAIN and self.admits(key)
        self.n_refused += not admitted
        return admitted

    def admits(self, key: bytes) -> bool:
        """Whether a public key (Z85) is on the list; the folder is read every 0.2 s at most."""
        now = time.monotonic()
        if now - self._read_at >= _RELOAD_SECONDS:
            self._read_at = now
            self._read()
        return key in self._keys.values()

    def key_of(self, client: str) -> str:
        """Return the public key (Z85) of a client, empty if the list has none."""
        self.admits(b"")
        return self._keys.get(client, b"").decode()

    def _read(self) -> None:
        try:
            files = sorted(self._folder.glob("*.key"))
            state = [(f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in files]
        except OSError:
            self._keys = {}
            self._state = None
            return
        if state == self._state:
            return
        keys = {}
        for file in files:
            try:
                keys[file.stem] = zmq.auth.load_certificate(file)[0]
            except (OSError, ValueError):
                continue  # half written or damaged: only this client is refused
        self._keys = keys
        self._state = state


class ClientKeys:
    """A client's key pair, and the public key that the engine must have.

    Parameters
    ----------
    folder
        Holds ``NAME.key_secret`` and ``engine.key``; a client needs no other file.
    name
        The name given to `keygen`.

    Raises
    ------
    SourceError
        A key is missing or unreadable, or others can read it.
    """

    def __init__(self, folder: str | Path, name: str = "source") -> None:
        self._public, self._secret = _load(Path(folder) / f"{name}.key_secret", secret=True)
        self._engine, _ = _load(Path(folder) / "engine.key", secret=False)

    def start(self, context: zmq.Context[Any]) -> None:
        """Do nothing: the engine authenticates."""

    def stop(self) -> None:
        """Do nothing."""

    def apply(self, socket: zmq.Socket[bytes]) -> None:
        """Let a socket connect by CURVE, and to this engine only."""
        socket.curve_secretkey = self._secret
        socket.curve_publickey = self._public
        socket.curve_serverkey = self._engine
