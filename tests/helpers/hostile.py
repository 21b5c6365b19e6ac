"""Messages of every kind, damaged messages, and connections that send garbage."""

from __future__ import annotations

import json
import math
import socket
import struct

import msgspec

from tests.helpers import foreign


def damaged(rng, parts):
    """Return a message with flipped bits, and frames that are cut, extended, added or exchanged."""
    parts = [bytearray(p) for p in parts]
    for _ in range(rng.integers(1, 4)):
        at = rng.integers(len(parts))
        part = parts[at]
        match rng.integers(7):
            case 0 | 1 | 2:
                if part:
                    part[rng.integers(len(part))] ^= 1 << rng.integers(8)
            case 3:
                del part[rng.integers(len(part) + 1) :]
            case 4:
                part += rng.bytes(rng.integers(1, 40))
            case 5:
                parts.insert(at, bytearray(rng.bytes(rng.integers(0, 40))))
            case _:
                parts[at], parts[0] = parts[0], parts[at]
    if rng.random() < 0.3 and len(parts) == 3 and len(parts[1]) == 32:  # with a valid checksum
        parts[1][28:] = struct.pack("<I", foreign.zlib.crc32(bytes(parts[2])))
    return [bytes(p) for p in parts]


def honest():
    """Return messages of every kind."""
    return [
        foreign.hello("s", 5, predict=True),
        foreign.schema("s", ["a", "b"], ["n", "y"], units=["m", "s"]),
        foreign.rows("s", 1, [[1.0, 2.0], [3.0, math.nan]], [0, 1]),
        foreign.rows("s", 3, [[1.0, math.inf]]),
        foreign.late("s", 4, [(3, 1)]),
        foreign.rows("s", foreign.REQUEST | 1, [[1.0, 2.0]], kind=10),
        foreign.frames("s", 3),
        foreign.frames("s", 5, seq=4),
        foreign.frames("s", 9, msgspec.msgpack.encode({"error": "x"})),
        [b"s", json.dumps({"x": {"a": 1, "b": None}, "y": "n", "seq": 5}).encode()],
        [b"s", msgspec.msgpack.encode({"x": [1.0, 2.0], "y": 1})],
    ]


def intrude(address, n, stop):
    """Open n connections that send garbage, half a handshake, or nothing."""
    ip, _, port = address.removeprefix("tcp://").rpartition(":")
    held = []
    for i in range(n):
        if stop.is_set():
            break
        try:
            s = socket.create_connection((ip, int(port)), timeout=1)
        except OSError:
            continue
        try:
            if i % 4 == 1:
                s.sendall(bytes(range(256)) * 40)
            elif i % 4 == 2:  # a greeting of ZMTP 3 with the wrong mechanism
                s.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32))
            elif i % 4 == 3:  # a frame that claims 2**62 bytes
                s.sendall(
                    b"\xff"
                    + bytes(8)
                    + b"\x7f\x03\x00CURVE"
                    + bytes(15)
                    + bytes(32)
                    + b"\x06\x3f"
                    + b"\xff" * 7
                )
        except OSError:
            pass
        held.append(s)
        if len(held) > 200:
            held.pop(0).close()
    for s in held:
        s.close()
