"""Sources that feed the engine, the senders at their other ends, and the sinks that its records leave by.

Every source follows `loco_stream.stream.Source`; `open_source` makes one from a URL such as
``csv:data.csv?target=label``. Names are imported on first use: an optional library is needed only
by the source that uses it.

A source of your own is any object with these members; the engine asks for nothing else:

>>> from loco_stream.stream import Sample, Schema, Source
>>> class Coin:
...     name, guarantee = "coin", "exact: a pure function of the row number"
...     schema = Schema(task="classification")
...     def __init__(self):
...         self.row = 0
...     @property
...     def position(self):
...         return {"row": self.row}
...     def seek(self, position):
...         self.row = position["row"]
...     def __iter__(self):
...         while self.row < 3:
...             self.row += 1
...             yield Sample({"n": self.row - 1}, y=self.row % 2, seq=self.row - 1, source=self.name)
...     def ack(self, position): ...
...     def reply(self, event, values, classes): ...
...     def close(self): ...
>>> isinstance(Coin(), Source)
True
>>> [sample.y for sample in Coin()]
[1, 0, 1]
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
