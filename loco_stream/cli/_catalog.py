"""Every kind of source, and every extra with the distributions it installs.

Help texts and `doctor` read these lists through `source_kinds` and `extras` alone. They must be
available without importing the connectors, whose libraries would make `--help` slow.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["extras", "source_kinds", "sources_help"]

_SOURCES = {
    "river:ImageSegments": "data set of river",
    "river:synth.SEA?seed=1&variant=2": "generator of river",
    "csv:PATH?target=COLUMN": "table; csv:- reads standard input",
    "jsonl:PATH?target=KEY": "JSON objects, one per line",
    "npy:PATH?target=-1": "array of numpy",
    "parquet:PATH?target=COLUMN": "Parquet table",
    "events:PATH?bin=0.01": "recording of an event camera",
    "zmq+pull://HOST:PORT": "ZeroMQ, from senders that push",
    "zmq+sub://HOST:PORT": "ZeroMQ, from a publisher",
    "zmq+reliable://HOST:PORT": "ZeroMQ, acknowledged rows",
    "zmq+reply://HOST:PORT": "ZeroMQ, with a prediction per row",
    "mqtt://HOST:PORT/TOPIC": "MQTT broker",
    "redis://HOST:PORT/STREAM": "Redis stream",
    "kafka://HOST:PORT/TOPIC": "Kafka topic",
    "serial:/dev/ttyUSB0?baud=115200": "serial port",
    "lsl:NAME": "Lab Streaming Layer",
}
_EXTRAS = {
    "plot": ("matplotlib",),
    "dashboard": ("starlette", "uvicorn"),
    "metrics": ("prometheus-client",),
    "mqtt": ("paho-mqtt",),
    "redis": ("redis",),
    "kafka": ("confluent-kafka",),
    "serial": ("pyserial",),
    "lsl": ("pylsl",),
    "parquet": ("pyarrow",),
    "ray": ("ray",),
    "nir": ("nir",),
}


def source_kinds() -> Mapping[str, str]:
    """Return an example URL of each kind of source, and what it reads."""
    return _SOURCES


def extras() -> Mapping[str, tuple[str, ...]]:
    """Return the distributions that each extra installs."""
    return _EXTRAS


def sources_help() -> str:
    """Return the lines of a help text that list all kinds of sources."""
    width = max(map(len, source_kinds()))
    return "\n".join(f"  {url:{width}}  {what}" for url, what in source_kinds().items())
