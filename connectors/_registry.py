"""Table of all sources and sinks.

A new source or sink is one module with a tuple ``CONNECTORS`` and one line below. URLs, the list of
sources in the help, and the tables of the documentation are generated from the definitions.
"""

from __future__ import annotations

from importlib import import_module

from loco_stream.connectors._base.connector import Connector

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


def _definitions(module: str) -> tuple[Connector, ...]:
    definitions: tuple[Connector, ...] = import_module(
        f"loco_stream.connectors.{module}"
    ).CONNECTORS
    return definitions
