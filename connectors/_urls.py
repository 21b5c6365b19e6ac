"""Sources and sinks from URLs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loco_stream._checks import require_type
from loco_stream._problems import split_names
from loco_stream._text import did_you_mean
from loco_stream.connectors._base.checks import check_task
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.options import convert, split_query
from loco_stream.connectors._base.secrets import password, read_private, secret
from loco_stream.connectors._base.table_source import TableSource
from loco_stream.connectors._base.values import split_server
from loco_stream.connectors._registry import SINKS, SOURCES, Table, connectors, find
from loco_stream.connectors.ls1._limits import ENGINE_LIMITS, parse_limits
from loco_stream.errors import ConfigError, SourceError
from loco_stream.records import check_kinds
from loco_stream.stream import Sink, Source


def open_source(
    url: str,
    *,
    task: str | None = None,
    keys: str | Path | None = None,
    endless: bool = False,
    limits: Mapping[str, str] | None = None,
    on_bad: str | None = None,
    labelled: bool = True,
) -> Source:
    """Open the source that a URL names.

    Parameters
    ----------
    url
        ``SCHEME:ADDRESS?option=value&option=value``. Percent-encoding is decoded in options only.
    task
        ``"classification"`` or ``"regression"``, for sources that cannot know it.
    keys
        Folder made by `keygen`; turns CURVE encryption on for the ``zmq+`` sources.
    endless
        Continue after the end of stream of a live source, as a service does.
    limits
        Bounds on what other processes may send, by their names in `Limits`. They may also be
        options of the URL.
    on_bad
        ``"stop"`` or ``"skip"``: what a bad row of a table does. None: the default of the source.

    labelled
        False reads tables that name no label column as rows without labels.

    Raises
    ------
    SourceError
        Unknown scheme, missing library, or the source cannot be opened.
    ConfigError
        The source has no such option, or the option does not take the value.

    Examples
    --------
    >>> from loco_stream.connectors import open_source
    >>> open_source("river:Phishing").schema.task
    'classification'
    >>> open_source("rivr:Phishing")
    Traceback (most recent call last):
    loco_stream.errors.SourceError: there is no source 'rivr:'; did you mean 'river'? (docs...
    """
    limits = require_type("limits", limits, "Mapping | None") or {}
    entry, where, options = _parsed(url, is_sink=False)
    if task is not None and "task" in entry.options:
        options["task"] = check_task(task)
    if on_bad is not None and "on_bad" in entry.options:
        options["on_bad"] = on_bad
    if not labelled and issubclass(entry.build, TableSource):
        options.setdefault("target", "")
    if "keys" in entry.hidden:
        options["keys"] = keys
    elif keys is not None:
        raise ConfigError(f"`keys` must be None unless the source is zmq+, got {entry.scheme}:")
    if entry.limit_options:
        given = {name: str(options.pop(name)) for name in entry.limit_options if name in options}
        options["limits"] = parse_limits({**limits, **given})
        options["endless"] = endless
    elif not ENGINE_LIMITS.issuperset(limits):
        raise ConfigError(
            f"`limits` must be empty unless other processes send to the source, got {entry.scheme}:"
        )
    source: Source = _build(entry, where, options)
    return source


def open_sink(url: str) -> Sink:
    """Open the sink that a URL names.

    Parameters
    ----------
    url
        ``SCHEME:ADDRESS?option=value&option=value``. A password or token is not part of it, as
        URLs show in process lists: it is taken from an environment variable such as
        ``LOCO_STREAM_HTTP_SECRET``, or from the file that ``secret_file=PATH`` or
        ``LOCO_STREAM_HTTP_SECRET_FILE`` names, which only its owner may read.

    Raises
    ------
    ConfigError
        Unknown scheme or option, a password in the URL, or a value that the sink does not take.
    SourceError
        A missing library, or a port that is in use.

    Examples
    --------
    >>> from loco_stream.connectors import open_sink
    >>> sink = open_sink("https://example.org/hook?only=drift,task")
    >>> sink.name, sorted(sink.kinds)
    ('https://example.org/#6fc2d0', ['drift', 'task'])
    >>> open_sink("htp://example.org/hook")
    Traceback (most recent call last):
    loco_stream.errors.ConfigError: there is no sink 'htp:'; did you mean 'http' or 'https'? ...
    """
    entry, where, options = _parsed(url, is_sink=True)
    if entry.secret:
        options["secret"] = secret(entry.secret, options.pop("secret_file", None))
    sink: Sink = _build(entry, where, options)
    return sink


def check_url(url: str, *, is_sink: bool = False) -> None:
    """Check the scheme, the address, the options and the password of a URL without opening it.

    Raises
    ------
    ConfigError
        An option is unknown or does not take its value, there is no program to run, or the file
        of a password cannot be read.
    SourceError
        The scheme of a source is unknown.

    Examples
    --------
    >>> check_url("redis://127.0.0.1:6379/rows?idle=never")
    Traceback (most recent call last):
    loco_stream.errors.ConfigError: redis: `idle` must be a duration such as 0.1, 0.1s or 100ms, ...
    """
    entry, where, options = _parsed(url, is_sink=is_sink)
    if entry.has_server:
        split_server(where, entry.example, needs_name=entry.needs_name)
    if entry.secret:
        secret(entry.secret, options.get("secret_file"))
    elif entry.has_server and (is_sink or entry.scheme == "redis" or "username" in options):
        password(entry.scheme.upper())
    if is_sink and "only" in options:
        check_kinds(options["only"])
    if is_sink and entry.scheme == "exec":
        from loco_stream.connectors.sinks.exec_sink import words_of

        words_of(where)


def targets_in(url: str) -> tuple[str, ...]:
    """Return the targets that the URL of a source names if they are several; else ().

    Examples
    --------
    >>> targets_in("redis://127.0.0.1:6379/rows?target=heat,flow")
    ('heat', 'flow')
    """
    options = dict(split_query(url.partition("?")[2]))
    names = split_names(options.get("target") or "")
    return names if len(names) > 1 else ()


def sink_urls(urls: tuple[str, ...]) -> list[str]:
    """Return sink URLs, with the lines of FILE in place of ``@FILE``.

    Such a file is for URLs that are secrets themselves. Lines that begin with # are comments.

    Raises
    ------
    ConfigError
        The file cannot be read, or others can read it.
    """
    found = []
    for url in urls:
        if url.startswith("@"):
            lines = map(str.strip, read_private(url[1:]).splitlines())
            found += [line for line in lines if line and not line.startswith("#")]
        else:
            found.append(url.strip())
    return found


def _parsed(url: object, *, is_sink: bool) -> tuple[Connector, str, dict[str, Any]]:
    """Return the definition that a URL names, its address, and the values of its options."""
    if not isinstance(url, str):  # a path is none: it has no scheme and no options
        raise ConfigError(f"`url` must be a text such as csv:PATH?target=COLUMN, got {url!r}")
    table = SINKS if is_sink else SOURCES
    scheme, colon, rest = url.partition(":")
    entry = find(table, scheme) if colon else None
    if entry is None:
        what = "sink" if is_sink else "source"
        raise (ConfigError if is_sink else SourceError)(_unknown(what, url, table))
    where, query = _split(entry, rest)
    _check_address(entry, where)
    return entry, where, _options(entry, split_query(query))


def _unknown(what: str, url: str, table: Table) -> str:
    scheme, colon, _ = url.partition(":")
    schemes = [entry.scheme for entry in connectors(table)]
    _, dot, suffix = url.partition("?")[0].rpartition(".")
    if not scheme:
        example = connectors(table)[0].example
        return f"a {what} must be named as SCHEME:ADDRESS, for example {example}, got {url!r}"
    if not colon and (entry := find(table, url)) is not None:
        return f"{url!r} has no address; the form is {entry.example}"
    if not colon and dot and suffix in schemes:
        return f"{url!r} has no scheme; did you mean '{suffix}:{url}'?"
    if similar := did_you_mean(scheme, schemes):
        return f"there is no {what} '{scheme}:'{similar} ({what}s: {', '.join(schemes)})"
    examples = ", ".join(dict.fromkeys(entry.example for entry in connectors(table)))
    return f"there is no {what} '{scheme}:' ({what}s: {examples})"


def _check_address(entry: Connector, where: str) -> None:
    if not where.strip("/"):
        raise ConfigError(
            f"the URL must have an address after '{entry.scheme}:', for example {entry.example}"
        )
    has_login = where.startswith("//") and "@" in where[2:].partition("/")[0]
    if has_login and (entry.secret or entry.has_server):
        variable = entry.secret or f"LOCO_STREAM_{entry.scheme.upper()}_PASSWORD"
        file = " or secret_file" if "secret_file" in entry.options else ""
        user = "user" if "user" in entry.options else "username"
        raise ConfigError(
            f"the URL of {entry.scheme}: must not hold a password, as other users and logs see it: "
            f"give {user}=NAME in the URL and the password in {variable}{file}"
        )


def _options(entry: Connector, query: list[tuple[str, str | None]]) -> dict[str, Any]:
    """Return the values of the options under the names of the parameters."""
    options: dict[str, Any] = {}
    for name, text in query:
        if text is None:
            raise ConfigError(
                f"{entry.scheme}: options must have the form name=value, got {name!r}"
            )
        value = text if entry.free_options else convert(entry.scheme, entry.options, name, text)
        target = entry.aliases.get(name, name)
        if target.startswith("not "):
            target = target.removeprefix("not ")
            value = not value
        if target in options:
            names = sorted(alias for alias, other in entry.aliases.items() if target in other)
            also = f" (or as {', '.join(names)})" if names else ""
            raise ConfigError(f"{entry.scheme}: {target!r}{also} must be given at most once")
        options[target] = value
    return options


def _split(entry: Connector, rest: str) -> tuple[str, str]:
    """Return address and options; a URL or command keeps a query of its own in the address."""
    where, mark, query = rest.rpartition("?") if entry.scheme == "exec" else rest.partition("?")
    if not mark:
        _check_mark(entry, rest)
        return rest, ""
    if not entry.keeps_query:
        return where, query
    parts = [part for part in query.split("&") if part]
    options = [part for part in parts if part.partition("=")[0] in entry.options and "=" in part]
    own = [part for part in parts if part not in options]
    if own and entry.scheme == "exec":  # the question mark belongs to the command
        return rest, ""
    return f"{where}?{'&'.join(own)}" if own else where, "&".join(options)


def _check_mark(entry: Connector, rest: str) -> None:
    """Refuse an address without options that continues with ``&`` and the name of one."""
    where, ampersand, query = rest.partition("&")
    name, equals, _ = query.partition("=")
    if ampersand and equals and name in entry.options and entry.scheme != "exec":
        raise ConfigError(
            f"{entry.scheme}: options must begin with ?, got &; "
            f"write '{entry.scheme}:{where}?{query}'"
        )


def _build(entry: Connector, where: str, options: dict[str, Any]) -> Any:
    if not entry.has_server:
        address = f"{entry.scheme}:{where}" if entry.keeps_scheme else where
        return entry.build(address, **options, **entry.fixed)
    host, port, name = split_server(where, entry.example, needs_name=entry.needs_name)
    if port is not None:
        options["port"] = port
    return entry.build(host, name, **options, **entry.fixed)
