"""Messages with hostile values in any field, in every form that a source reads."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np

from loco_stream.connectors.ls1._messages import SchemaPayload, encode
from loco_stream.connectors.ls1._wire import HEADER, MAGIC, Kind, pack

FEATURES = ("a", "b")
NUMBERS = [
    *(0, -0.0, 1, -1, 0.5, 1e30, 1e31, -1e31, 1e308, 5e-324, 10**400, -(10**400)),
    *(2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1),
    *(math.nan, math.inf, -math.inf, True, False),
]
TEXTS = ["", "on", "\x00", "\ud800", "[/x]", "\x1b[2J", "a" * 5000, "=1+1", "\n", "\u202e", "NaN"]
OTHERS = [None, [], {}, [[]], [1, "on"], {"a": 1}, {"": None}, "seq", ["a"] * 50]
VALUES = [*NUMBERS, *TEXTS, *OTHERS]


def hostile_map(rng):
    """Return a message as a map, with one or two fields of any value."""
    message = {"x": {"a": 0.5, "b": 1.0}, "y": "on", "seq": rng.randrange(100), "t": 5.0}
    for _ in range(rng.randint(1, 2)):
        field = rng.choice(["x", "y", "seq", "t", "sequence", "a", "name", "z"])
        value = rng.choice(VALUES)
        if field == "a":
            message["x"] = {"a": value, "b": 1.0}
        elif field == "name":
            message["x"] = {rng.choice(TEXTS): 1.0}
        else:
            message[field] = value
    if rng.random() < 0.2:  # a flat map
        x = message.pop("x")
        message |= x if isinstance(x, dict) else {"x": x}
    return message


def json_body(rng):
    text = json.dumps(hostile_map(rng))  # with NaN, Infinity and integers of any size
    return text.encode("utf-8", "surrogatepass")


def msgpack_body(rng):
    while True:
        try:
            return msgspec.msgpack.encode(hostile_map(rng))
        except (OverflowError, UnicodeEncodeError):  # MessagePack cannot say it
            continue


def ls1_body(rng):
    schema = encode(SchemaPayload(1, "classification", FEATURES, None, ("on", "off")))
    rows = np.array([[rng.choice(NUMBERS[:4]), 1.0]], "<f4").tobytes() + b"\0\0\0\0"
    kind = rng.choice([Kind.SCHEMA, Kind.LABELLED, Kind.SAMPLE, Kind.LABEL, Kind.REQUEST])
    body = b"".join(pack("s", kind, schema if kind is Kind.SCHEMA else rows)[1:])
    if rng.random() < 0.7:
        fields = list(HEADER.unpack(body[: HEADER.size]))
        field = rng.randrange(1, len(fields))
        fields[field] = rng.choice([0, 1, 255, 65_535, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
        try:
            body = HEADER.pack(*fields) + body[HEADER.size :]
        except Exception:
            return MAGIC + bytes(rng.randrange(256) for _ in range(60))
    return body


def flipped(rng):
    body = bytearray(json_body(rng))
    for _ in range(rng.randint(1, 4)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return bytes(body)


FORMS = [json_body, msgpack_body, ls1_body, flipped]
