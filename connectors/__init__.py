"""Sources that feed the engine, senders for their other end, and sinks for predictions and records.

`open_source` makes a source from a URL such as ``csv:data.csv?target=label``, `open_sink` a sink.
Names are imported on first use: an optional library is needed only by what uses it. A source or
sink of your own derives from `loco_stream.stream.Source` or `loco_stream.stream.Sink`.
"""

from typing import TYPE_CHECKING

from loco_stream._lazy import lazy_names

if __name__ != "loco_stream.connectors":  # under a second name, every class would exist twice
    raise ImportError(f"import this package as loco_stream.connectors, not as {__name__!r}")

if TYPE_CHECKING:
    from loco_stream.connectors._base.buffered_sink import BufferedSink
    from loco_stream.connectors._urls import open_sink, open_source
    from loco_stream.connectors.ls1._limits import Limits
    from loco_stream.connectors.ls1._security import keygen
    from loco_stream.connectors.ls1._sender import ZMQSender
    from loco_stream.connectors.sinks.exec_sink import ExecSink
    from loco_stream.connectors.sinks.http_sink import HTTPSink
    from loco_stream.connectors.sinks.influx_sink import InfluxSink
    from loco_stream.connectors.sinks.jsonl_sink import JSONLSink
    from loco_stream.connectors.sinks.kafka_sink import KafkaSink
    from loco_stream.connectors.sinks.mlflow_sink import MLflowSink
    from loco_stream.connectors.sinks.mqtt_sink import MQTTSink
    from loco_stream.connectors.sinks.nats_sink import NATSSink
    from loco_stream.connectors.sinks.redis_sink import RedisSink
    from loco_stream.connectors.sinks.zmq_sink import ZMQSink
    from loco_stream.connectors.sources.arrow_source import ArrowFileSource
    from loco_stream.connectors.sources.csv_source import CSVSource
    from loco_stream.connectors.sources.event_source import EventSource
    from loco_stream.connectors.sources.influx_source import InfluxSource
    from loco_stream.connectors.sources.jsonl_source import JSONLSource
    from loco_stream.connectors.sources.kafka_source import KafkaSource
    from loco_stream.connectors.sources.lsl_source import LSLSource
    from loco_stream.connectors.sources.mqtt_source import MQTTSource
    from loco_stream.connectors.sources.nats_source import NATSSource
    from loco_stream.connectors.sources.npy_source import NPYSource
    from loco_stream.connectors.sources.opcua_source import OPCUASource
    from loco_stream.connectors.sources.parquet_source import ParquetSource
    from loco_stream.connectors.sources.redis_source import RedisSource
    from loco_stream.connectors.sources.river_source import RiverSource
    from loco_stream.connectors.sources.serial_source import SerialSource
    from loco_stream.connectors.sources.zmq_source import ZMQSource

_MODULES = {
    "ArrowFileSource": "sources.arrow_source",
    "BufferedSink": "_base.buffered_sink",
    "CSVSource": "sources.csv_source",
    "EventSource": "sources.event_source",
    "ExecSink": "sinks.exec_sink",
    "HTTPSink": "sinks.http_sink",
    "InfluxSink": "sinks.influx_sink",
    "MLflowSink": "sinks.mlflow_sink",
    "InfluxSource": "sources.influx_source",
    "JSONLSink": "sinks.jsonl_sink",
    "JSONLSource": "sources.jsonl_source",
    "KafkaSink": "sinks.kafka_sink",
    "KafkaSource": "sources.kafka_source",
    "LSLSource": "sources.lsl_source",
    "Limits": "ls1._limits",
    "MQTTSink": "sinks.mqtt_sink",
    "MQTTSource": "sources.mqtt_source",
    "NATSSink": "sinks.nats_sink",
    "NATSSource": "sources.nats_source",
    "NPYSource": "sources.npy_source",
    "OPCUASource": "sources.opcua_source",
    "ParquetSource": "sources.parquet_source",
    "RedisSink": "sinks.redis_sink",
    "RedisSource": "sources.redis_source",
    "RiverSource": "sources.river_source",
    "SerialSource": "sources.serial_source",
    "ZMQSender": "ls1._sender",
    "ZMQSink": "sinks.zmq_sink",
    "ZMQSource": "sources.zmq_source",
    "keygen": "ls1._security",
    "open_sink": "_urls",
    "open_source": "_urls",
}

__all__ = [
    "ArrowFileSource",
    "BufferedSink",
    "CSVSource",
    "EventSource",
    "ExecSink",
    "HTTPSink",
    "InfluxSink",
    "InfluxSource",
    "JSONLSink",
    "JSONLSource",
    "KafkaSink",
    "KafkaSource",
    "LSLSource",
    "Limits",
    "MLflowSink",
    "MQTTSink",
    "MQTTSource",
    "NATSSink",
    "NATSSource",
    "NPYSource",
    "OPCUASource",
    "ParquetSource",
    "RedisSink",
    "RedisSource",
    "RiverSource",
    "SerialSource",
    "ZMQSender",
    "ZMQSink",
    "ZMQSource",
    "keygen",
    "open_sink",
    "open_source",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
