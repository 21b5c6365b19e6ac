"""--sink on the command line: one URL in, one sink out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from loco_stream.connectors.outlet import Outlet
from loco_stream.connectors.values import hint
from loco_stream.errors import ConfigError

__all__ = ["SINKS", "open_sink", "sink_urls"]

_WORDS: dict[Callable[[str], Any], str] = {float: "a number", int: "a whole number"}
_COMMON: dict[str, Callable[[str], Any]] = {
    "only": str,
    "queue": int,
    "wait": float,
    "linger": float,
}
_BATCH: dict[str, Callable[[str], Any]] = {**_COMMON, "batch": int}
_REMOTE: dict[str, Callable[[str], Any]] = {
    **_BATCH,
    "user": str,
    "secret_file": str,
    "ca": str,
    "timeout": float,
}


@dataclass(frozen=True)
class _Form:
    """How one kind of sink is written and built."""

    example: str
    module: str
    build: str
    options: Mapping[str, Callable[[str], Any]]
    whole: bool = False  # it gets the scheme too, and keeps options that are not its own
    secret: str = ""  # the environment variable of its password or token
    fixed: Mapping[str, Any] = field(default_factory=dict)


_WEB = _Form(
    "https://HOST/PATH",
    "http_sink",
    "HTTPRecords",
    _REMOTE,
    whole=True,
    secret="LOCO_STREAM_HTTP_SECRET",
)


def _broker(
    kind: str, build: str, more: Mapping[str, Callable[[str], Any]], secret: str
) -> dict[str, _Form]:
    """Return the form of a server and that of one behind TLS, whose name ends in s."""
    place = "DATABASE" if kind == "influx" else "STREAM" if kind == "redis" else "TOPIC"
    return {
        f"{kind}{s}": _Form(
            f"{kind}{s}://HOST:PORT/{place}",
            f"{kind}_sink",
            build,
            {**_REMOTE, **more},
            secret=secret,
            fixed={"tls": bool(s)},
        )
        for s in ("", "s")
    }


SINKS: dict[str, _Form] = {
    "jsonl": _Form("jsonl:PATH", "jsonl_sink", "JSONLRecords", _BATCH),
    "zmq+pub": _Form(
        "zmq+pub://127.0.0.1:5557", "zmq_sink", "ZMQRecords", {**_COMMON, "keys": str}
    ),
    "http": _WEB,
    "https": _WEB,
    **_broker("mqtt", "MQTTRecords", {}, "LOCO_STREAM_MQTT_PASSWORD"),
    **_broker("redis", "RedisRecords", {"maxlen": int}, "LOCO_STREAM_REDIS_PASSWORD"),
    **_broker("kafka", "KafkaRecords", {}, "LOCO_STREAM_KAFKA_PASSWORD"),
    **_broker("influx", "InfluxRecords", {"org": str}, "LOCO_STREAM_INFLUX_PASSWORD"),
    "exec": _Form(
        "exec:COMMAND", "exec_sink", "ExecRecords", {**_COMMON, "timeout": float}, whole=True
    ),
}


def open_sink(url: str) -> Outlet:
    """Open the sink that `url` names.

    A sink takes the engine's records and sends them from a thread of its own. Every kind has the
    options of `Outlet`: ``only=drift,task`` selects kinds of records, ``queue``, ``wait``,
    ``batch`` and ``linger`` are its bounds.

    Parameters
    ----------
    url
        ``KIND:WHERE?option=value&option=value``. A password or token comes from an environment
        variable such as ``LOCO_STREAM_HTTP_SECRET`` or from the file that ``secret_file=PATH`` or
        ``LOCO_STREAM_HTTP_SECRET_FILE`` names, which nobody else may read: a URL is seen in the
        list of processes.

    Raises
    ------
    ConfigError
        An unknown kind, an option it does not have, a password in the URL, or what the sink itself
        finds wrong.
    SourceError
        A port to bind that is in use, or a library that is missing.

    Examples
    --------
    >>> from loco_stream.connectors import open_sink
    >>> sink = open_sink("https://example.org/hook?only=drift,task")
    >>> sink.name, sorted(sink.kinds)
    ('https://example.org/#6fc2d0', ['drift', 'task'])
    >>> open_sink("htp://example.org/hook")
    Traceback (most recent call last):
    loco_stream.errors.ConfigError: no kind of sink 'htp'; did you mean 'http' or 'https'? ...
    """
    kind, colon, rest = url.partition(":")
    form = SINKS.get(kind)
    if not colon or form is None:
        forms = ", ".join(dict.fromkeys(form.example for form in SINKS.values()))
        raise ConfigError(f"no kind of sink {kind!r}{hint(kind, SINKS)} (allowed: {forms})")
    where, options = _split(kind, form, rest)
    if not where.strip("/"):
        raise ConfigError(f"{kind}: names no place; for example {form.example}")
    if form.secret:
        if "@" in urlsplit(f"{kind}:{where}").netloc:
            raise ConfigError(
                f"{kind}: a password in a URL is seen by every user of this machine: "
                f"give user=NAME, and the password in {form.secret} or secret_file=PATH"
            )
        options["secret"] = _secret(form.secret, options.pop("secret_file", None))
    build = getattr(import_module(f"loco_stream.connectors.{form.module}"), form.build)
    sink: Outlet = build(
        f"{kind}:{where}" if form.secret and form.whole else where, **options, **form.fixed
    )
    return sink


def sink_urls(urls: tuple[str, ...]) -> list[str]:
    """Return sink URLs with each ``@FILE`` replaced by the lines of that file, for URLs that are secrets themselves.

    Raises
    ------
    ConfigError
        The file cannot be read, or others can read it.
    """
    found = []
    for url in urls:
        lines = _private(url[1:]).splitlines() if url.startswith("@") else [url]
        found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return found


def _split(kind: str, form: _Form, rest: str) -> tuple[str, dict[str, Any]]:
    """Part the place from the options.

    A URL or a command may have a query of its own, whose names stay in it.
    """
    where, mark, query = rest.rpartition("?") if kind == "exec" else rest.partition("?")
    if not mark:
        return rest, {}
    options: dict[str, Any] = {}
    own = []
    for part in filter(None, query.split("&")):
        name, equals, text = part.partition("=")
        if name in options:
            raise ConfigError(f"{kind}: option {name!r} is given twice")
        if equals and name in form.options:
            options[name] = _convert(kind, name, unquote(text), form.options[name])
        elif form.whole:
            own.append(part)
        else:
            allowed = ", ".join(form.options)
            raise ConfigError(
                f"{kind}: has no option {name!r}{hint(name, form.options)} (allowed: {allowed})"
            )
    if kind == "exec" and own:  # the question mark is the command's
        return rest, {}
    return (f"{where}?{'&'.join(own)}" if own else where), options


def _convert(kind: str, name: str, text: str, convert: Callable[[str], Any]) -> Any:
    try:
        return convert(text)
    except ValueError:
        raise ConfigError(f"{kind}: {name} must be {_WORDS[convert]}, not {text!r}") from None


def _secret(variable: str, path: str | None) -> str | None:
    path = path or os.environ.get(f"{variable}_FILE")
    return os.environ.get(variable) if path is None else _private(path).strip()


def _private(path: str) -> str:
    """Return the text of a file that nobody but its owner may read."""
    try:
        with Path(path).open() as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigError(f"{path} can be read by others: chmod 600 {path}")
            return file.read(65_536)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
        ) from None
