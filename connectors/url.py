"""SOURCE on the command line: one URL in, one source out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from loco_stream.connectors.ls1.limits import LIMITS, Limits, read_limits
from loco_stream.connectors.rows import check_task
from loco_stream.connectors.values import hint
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Source

__all__ = ["FORMS", "open_source"]

Convert = Callable[[str], Any]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


@dataclass(frozen=True)
class _Form:
    """How one kind of source is written and built."""

    example: str
    module: str
    build: str
    options: Mapping[str, Convert]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    split: Callable[[str], dict[str, Any]] | None = None  # where the place has several parts


def _flag(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError(text)
    return text == "1"


def _seconds(text: str) -> float:
    return (
        float(text.removesuffix("ms")) / 1000
        if text.endswith("ms")
        else float(text.removesuffix("s"))
    )


_WORDS: dict[Convert, str] = {
    _seconds: "a time such as 100ms or 0.1s",
    float: "a number",
    int: "a whole number",
    _flag: "0 or 1",
}
_TABLE: dict[str, Convert] = {
    "target": str,
    "drop": _names,
    "task": str,
    "time": str,
    "sequence": str,
    "rate": float,
    "speed": float,
    "on_bad": str,
}
_CSV: dict[str, Convert] = {"delimiter": str, "separator": str, "decimal": str, "encoding": str}
_SAME = {"separator": "delimiter"}  # two names of one option
_TEXT: dict[str, Convert] = {**_TABLE, "follow": _flag, "idle": float}
_ARRAY: dict[str, Convert] = {
    "target": int,
    "time": int,
    "sequence": int,
    "labels": str,
    "task": str,
    "block": int,
    "rate": float,
}
_LIVE: dict[str, Convert] = {"task": str, "idle": float, "max": int}
_PEERS: dict[str, Convert] = {**_LIVE, **LIMITS}
_ZMQ: dict[str, Convert] = {**_PEERS, "bind": _flag, "connect": _flag}


def _zmq(mode: str, **more: Convert) -> _Form:
    return _Form(
        f"zmq+{mode}://127.0.0.1:5555", "zmq_source", "ZMQSource", {**_ZMQ, **more}, {"mode": mode}
    )


def _broker(kind: str) -> Callable[[str], dict[str, Any]]:
    """Return what splits //HOST:PORT/NAME of this kind."""

    def split(where: str) -> dict[str, Any]:
        place, _, name = where.removeprefix("//").partition("/")
        host, _, port = (
            place.rpartition(":") if place.rpartition(":")[2].isdecimal() else (place, "", "")
        )
        if not where.startswith("//") or not name or not host:
            what = "STREAM" if kind == "redis" else "TOPIC"
            raise SourceError(
                f"{_AN[kind]} source is {kind}://HOST:PORT/{what}, not '{kind}:{where}'"
            )
        if "@" in host:
            raise ConfigError(
                f"{kind}: a URL is seen in logs and process lists: give username=, and the password in the "
                f"environment variable LOCO_STREAM_{kind.upper()}_PASSWORD"
            )
        names = {"redis": "stream"}
        return {"host": host, names.get(kind, "topic"): name} | (
            {"port": int(port)} if port else {}
        )

    return split


_AN = {"mqtt": "an MQTT", "redis": "a redis", "kafka": "a kafka"}
_LOGIN: dict[str, Convert] = {"username": str, "tls": _flag}
_MESSAGES: dict[str, Convert] = {**_PEERS, **_LOGIN, "target": str, "time": str, "group": str}

FORMS: dict[str, _Form] = {
    "river": _Form("river:ImageSegments", "river_source", "RiverSource", {}),
    "csv": _Form("csv:PATH?target=COLUMN", "csv_source", "CSVSource", {**_TEXT, **_CSV}),
    "jsonl": _Form("jsonl:PATH?target=KEY", "jsonl_source", "JSONLSource", _TEXT),
    "npy": _Form("npy:PATH?target=-1", "npy_source", "NPYSource", _ARRAY),
    "events": _Form(
        "events:PATH?bin=0.01",
        "event_source",
        "EventSource",
        {"bin": float, "lines": int, "task": str, "rate": float},
    ),
    "parquet": _Form("parquet:PATH?target=COLUMN", "parquet_source", "ParquetSource", _TABLE),
    "zmq+pull": _zmq("pull"),
    "zmq+sub": _zmq("sub", topic=str),
    "zmq+reliable": _zmq("reliable", credit=int, rate=float),
    "zmq+reply": _zmq("reply", credit=int, rate=float),
    "mqtt": _Form(
        "mqtt://127.0.0.1:1883/TOPIC",
        "mqtt_source",
        "MQTTSource",
        {
            **_PEERS,
            **_LOGIN,
            "client_id": str,
            "target": str,
            "time": str,
            "join": str,
            "within": _seconds,
        },
        split=_broker("mqtt"),
    ),
    "redis": _Form(
        "redis://127.0.0.1:6379/STREAM",
        "redis_source",
        "RedisSource",
        {**_MESSAGES, "field": str, "consumer": str},
        split=_broker("redis"),
    ),
    "serial": _Form(
        "serial:/dev/ttyUSB0?baud=115200",
        "serial_source",
        "SerialSource",
        {**_PEERS, "baud": int, "target": str, "time": str, "columns": _names},
    ),
    "kafka": _Form(
        "kafka://127.0.0.1:9092/TOPIC",
        "kafka_source",
        "KafkaSource",
        {**_MESSAGES, "label": str, "mechanism": str},
        split=_broker("kafka"),
    ),
    "lsl": _Form(
        "lsl:NAME",
        "lsl_source",
        "LSLSource",
        {**_LIVE, "target": str, "wait": float, "buffer": int},
    ),
}


def open_source(
    url: str,
    *,
    task: str | None = None,
    keys: str | Path | None = None,
    endless: bool = False,
    limits: Mapping[str, str] | None = None,
    on_bad: str | None = None,
) -> Source:
    """Open the source that `url` names.

    Parameters
    ----------
    url
        ``KIND:WHERE?option=value&option=value``; percent-encoding is undone in the options only.
    task
        ``"classification"`` or ``"regression"`` where the source cannot know.
    keys
        Folder made by `keygen`; turns CURVE on for the ``zmq+`` kinds.
    endless
        Go on after a live source's end of stream, as a service does.
    limits
        Bounds on what peers may send, by their names in `Limits`; they may also be options of the
        URL.
    on_bad
        ``"stop"`` or ``"skip"``: what a bad row of a table does; None leaves it to the URL and the
        source.

    Raises
    ------
    SourceError
        An unknown kind, or what the source itself finds wrong.
    ConfigError
        An option that the kind does not have, or a value it does not take.

    Examples
    --------
    >>> from loco_stream.connectors import open_source
    >>> open_source("river:Phishing").schema.task
    'classification'
    >>> open_source("rivr:Phishing")
    Traceback (most recent call last):
    loco_stream.errors.SourceError: no kind of source 'rivr'; did you mean 'river'? (SOURCE is ...
    """
    kind, colon, rest = url.partition(":")
    form = FORMS.get(kind)
    if not colon or form is None:
        raise SourceError(_unknown(url, kind, colon))
    where, _, query = rest.partition("?")
    if not where.strip("/"):
        raise SourceError(f"{url!r} names no place after '{kind}:'; for example {form.example}")
    options: dict[str, Any] = (
        _split(query) if kind == "river" else _convert(kind, form, _split(query))
    )
    if "task" in form.options and task is not None:
        options["task"] = check_task(task)
    if "on_bad" in form.options and on_bad is not None:
        options["on_bad"] = on_bad
    if form.build == "ZMQSource":
        options |= _plugged(options, keys)
    elif keys is not None:
        raise ConfigError(f"keys guard zmq+ sources, and {kind}: is none")
    if form.options.keys() >= LIMITS.keys():
        options["endless"] = endless
        options["limits"] = _limits(options, limits or {})
    elif limits:
        raise ConfigError(f"limits bound the peers of live sources, and {kind}: has none")
    place = {} if form.split is None else form.split(where)
    build = getattr(import_module(f"loco_stream.connectors.{form.module}"), form.build)
    source: Source = build(*([] if place else [where]), **place, **options, **form.fixed)
    return source


def _limits(options: dict[str, Any], given: Mapping[str, str]) -> Limits:
    in_url = {name: str(options.pop(name)) for name in LIMITS if name in options}
    return read_limits({**given, **in_url})


def _plugged(options: dict[str, Any], keys: str | Path | None) -> dict[str, Any]:
    bind = options.pop("bind", None)
    connect = options.pop("connect", None)
    if bind is not None and connect is not None:
        raise ConfigError("give bind=1 or connect=1, not both")
    if connect is not None:
        bind = not connect
    return {"bind": bind, "keys": keys}


def _unknown(url: str, kind: str, colon: str) -> str:
    forms = "SOURCE is one of: " + ", ".join(f.example for f in FORMS.values())
    suffix = url.partition("?")[0].rpartition(".")[2]
    if not colon and suffix in FORMS:
        return f"{url!r} names no kind of source; did you mean '{suffix}:{url}'? ({forms})"
    return f"no kind of source {kind!r}{hint(kind, FORMS)} ({forms})"


def _split(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not equals or key in options:
            raise ConfigError(
                f"option {part!r} is {'given twice' if equals else 'not of the form name=value'}"
            )
        options[unquote(key)] = unquote(value)
    return options


def _convert(kind: str, form: _Form, options: Mapping[str, str]) -> dict[str, Any]:
    typed: dict[str, Any] = {}
    for key, text in options.items():
        if key not in form.options:
            allowed = ", ".join(form.options)
            raise ConfigError(
                f"{kind}: has no option {key!r}{hint(key, form.options)} (allowed: {allowed})"
            )
        convert = form.options[key]
        name = _SAME.get(key, key)
        if name in typed:
            raise ConfigError(f"{kind}: {key} and {name} are the same option; give one of them")
        try:
            typed[name] = convert(text)
        except ValueError:
            raise ConfigError(f"{kind}: {key} must be {_WORDS[convert]}, not {text!r}") from None
    return typed
