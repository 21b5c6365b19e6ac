"""Sources that feed the engine, senders for their other end, and sinks for predictions and records.

`open_source` makes a source from a URL such as ``csv:data.csv?target=label``, `open_sink` a sink.
Names are imported on first use: an optional library is needed only by what uses it. A source or
sink of your own derives from `loco_stream.stream.Source` or `loco_stream.stream.Sink`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != "loco_stream.connectors":  # under a second name every class would exist twice
    raise ImportError(f"import this package as loco_stream.connectors, not as {__name__!r}")

if TYPE_CHECKING:
    from loco_stream.connectors.csv_source import CSVSource
    from loco_stream.connectors.event_source import EventSource
    from loco_stream.connectors.jsonl_source import JSONLSource
    from loco_stream.connectors.kafka_source import KafkaSource
    from loco_stream.connectors.ls1.security import keygen
    from loco_stream.connectors.lsl_source import LSLSource
    from loco_stream.connectors.mqtt_source import MQTTSource
    from loco_stream.connectors.npy_source import NPYSource
    from loco_stream.connectors.parquet_source import ParquetSource
    from loco_stream.connectors.redis_source import RedisSource
    from loco_stream.connectors.river_source import RiverSource
    from loco_stream.connectors.serial_source import SerialSource
    from loco_stream.connectors.sink_url import open_sink
    from loco_stream.connectors.url import open_source
    from loco_stream.connectors.zmq_sender import ZMQSender
    from loco_stream.connectors.zmq_source import ZMQSource

_HOME = {
    "CSVSource": "csv_source",
    "EventSource": "event_source",
    "JSONLSource": "jsonl_source",
    "KafkaSource": "kafka_source",
    "LSLSource": "lsl_source",
    "MQTTSource": "mqtt_source",
    "NPYSource": "npy_source",
    "ParquetSource": "parquet_source",
    "RedisSource": "redis_source",
    "RiverSource": "river_source",
    "SerialSource": "serial_source",
    "ZMQSender": "zmq_sender",
    "ZMQSource": "zmq_source",
    "keygen": "ls1.security",
    "open_sink": "sink_url",
    "open_source": "url",
}

__all__ = [
    "CSVSource",
    "EventSource",
    "JSONLSource",
    "KafkaSource",
    "LSLSource",
    "MQTTSource",
    "NPYSource",
    "ParquetSource",
    "RedisSource",
    "RiverSource",
    "SerialSource",
    "ZMQSender",
    "ZMQSource",
    "keygen",
    "open_sink",
    "open_source",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'loco_stream.connectors' has no attribute {name!r}")
    value = getattr(import_module(f"loco_stream.connectors.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
