"""Table of all sources and sinks.

A new source or sink is one module with a tuple ``CONNECTORS`` and one line below. URLs, help texts,
``loco-stream doctor`` and the tables of the documentation are generated from the definitions.

``python -m loco_stream.connectors.registry docs/sources.md docs/outlets.md`` renews the tables in
these files; without a file it prints them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from inspect import Parameter
from pathlib import Path

from loco_stream.connectors._base.connector import Connector, Extra
from loco_stream.connectors._base.options import Option

# Modules, and the schemes that each defines.
SOURCES = {
    "sources.river_source": ("river",),
    "sources.csv_source": ("csv",),
    "sources.jsonl_source": ("jsonl",),
    "sources.npy_source": ("npy",),
    "sources.parquet_source": ("parquet",),
    "sources.arrow_source": ("arrow",),
    "sources.influx_source": ("influx",),
    "sources.event_source": ("events",),
    "sources.zmq_source": ("zmq+pull", "zmq+sub", "zmq+reliable", "zmq+reply"),
    "sources.mqtt_source": ("mqtt",),
    "sources.redis_source": ("redis",),
    "sources.kafka_source": ("kafka",),
    "sources.nats_source": ("nats",),
    "sources.opcua_source": ("opcua",),
    "sources.serial_source": ("serial",),
    "sources.lsl_source": ("lsl",),
}
SINKS = {
    "sinks.jsonl_sink": ("jsonl",),
    "sinks.exec_sink": ("exec",),
    "sinks.http_sink": ("http", "https"),
    "sinks.zmq_sink": ("zmq+pub",),
    "sinks.mqtt_sink": ("mqtt", "mqtts"),
    "sinks.redis_sink": ("redis", "rediss"),
    "sinks.kafka_sink": ("kafka", "kafkas"),
    "sinks.nats_sink": ("nats",),
    "sinks.influx_sink": ("influx", "influxs"),
    "sinks.mlflow_sink": ("mlflow",),
}

Table = dict[str, tuple[str, ...]]


def connectors(table: Table) -> list[Connector]:
    """Return all definitions of `SOURCES` or `SINKS`."""
    return [entry for module in table for entry in _definitions(module)]


def find(table: Table, scheme: str) -> Connector | None:
    """Return the definition of a scheme, None if there is none; imports that module alone."""
    for module, schemes in table.items():
        if scheme in schemes:
            return next(entry for entry in _definitions(module) if entry.scheme == scheme)
    return None


def extras() -> list[Extra]:
    """Return the optional libraries of all sources and sinks."""
    every = (entry.extra for table in (SOURCES, SINKS) for entry in connectors(table))
    return list(dict.fromkeys(extra for extra in every if extra is not None))


def _definitions(module: str) -> tuple[Connector, ...]:
    definitions: tuple[Connector, ...] = import_module(
        f"loco_stream.connectors.{module}"
    ).CONNECTORS
    return definitions


def tables() -> dict[str, str]:
    """Return the generated tables of the documentation, by name."""
    sources = [entry for entry in connectors(SOURCES) if not entry.is_variant]
    sinks = [entry for entry in connectors(SINKS) if not entry.is_variant]
    return {
        "sources": _forms(sources),
        "source options": _options(sources),
        "sinks": _forms(sinks),
        "sink secrets": _secrets(sinks),
        "sink options": _options(sinks),
    }


def renew_tables(text: str) -> str:
    """Return a page with every generated table replaced by its present content.

    A table stands between the lines ``<!-- generated: NAME -->`` and ``<!-- end -->``.
    """
    now = tables()
    return re.sub(
        r"(<!-- generated: ([\w ]+) -->\n).*?(<!-- end -->)",
        lambda match: f"{match[1]}{now[match[2]]}{match[3]}",
        text,
        flags=re.DOTALL,
    )


def _forms(every: Iterable[Connector]) -> str:
    rows = [
        (
            f"`{form.url}`",
            f"`loco-stream[{entry.extra.name}]`" if entry.extra else "",
            form.guarantee,
        )
        for entry in every
        for form in entry.forms
    ]
    return _markdown(("URL", "needs", "delivery"), rows)


def _secrets(every: Iterable[Connector]) -> str:
    rows = [(f"`{entry.scheme}`", f"`{entry.secret}`") for entry in every if entry.secret]
    return _markdown(("sink", "environment variable"), rows)


def _options(every: Iterable[Connector]) -> str:
    """Return one row per option and meaning, with the schemes that have it."""
    schemes: dict[Option, list[str]] = {}
    for entry in every:
        limits = set(entry.limit_options)
        for option in entry.options.values():
            if option.name not in limits:
                schemes.setdefault(option, []).append(entry.scheme)
    rows = [
        (f"`{option.name}`", ", ".join(names), option.type.name, _default(option), option.help)
        for option, names in sorted(schemes.items(), key=lambda item: item[0].name)
    ]
    return _markdown(("option", "of", "value", "default", "meaning"), rows)


def _default(option: Option) -> str:
    if option.default in (None, Parameter.empty):
        return ""
    if isinstance(option.default, bool):
        return str(int(option.default))
    value = ",".join(option.default) if isinstance(option.default, tuple) else option.default
    return f"`{value}`" if value != "" else ""


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines: Iterator[tuple[str, ...]] = iter([head, ("---",) * len(head), *rows])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    """Print the tables, or renew them in the files named on the command line."""
    for path in map(Path, sys.argv[1:]):
        path.write_text(renew_tables(path.read_text()))
    if len(sys.argv) == 1:
        for name, table in tables().items():
            print(f"{name}\n\n{table}")


if __name__ == "__main__":
    main()
