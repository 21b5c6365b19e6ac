"""Optional libraries that a source and a sink share."""

from __future__ import annotations

import logging

from loco_stream.connectors._base.connector import Extra

KAFKA = Extra("kafka", "confluent-kafka>=2.8", "confluent_kafka")
MQTT = Extra("mqtt", "paho-mqtt>=2.1", "paho.mqtt.client")
NATS = Extra("nats", "nats-py>=2.9", "nats")
REDIS = Extra("redis", "redis>=6.0", "redis")


def client_log(module: str) -> logging.Logger:
    """Return the logger for a client of Kafka.

    The client reports each failed try, so the logger is silent unless its level is set.
    """
    log = logging.getLogger(f"{module}.client")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL)
    return log


def kafka_login(user: str | None, secret: str | None, mechanism: str, tls: bool) -> dict[str, str]:
    """Return the settings of a client of Kafka for its login; without a user, for none."""
    if user is None:
        return {"security.protocol": "ssl" if tls else "plaintext"}
    return {
        "security.protocol": "sasl_ssl" if tls else "sasl_plaintext",
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": secret or "",
    }
