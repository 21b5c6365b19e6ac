"""A small event camera before which a spot of light moves.

Four gestures, told apart by the order of events.

The camera has 8 x 8 pixels. A pixel says so whenever the logarithm of its brightness has changed by
a threshold since it last spoke, brighter or darker alike. Both edges of a moving spot do, so that
one moment shows where the spot is and not where it goes: left and right, up and down pass through
the same places. Now and then a pixel speaks for no reason.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loco_stream.rng import derive_key, normals, uniforms

__all__ = ["GESTURES", "SIDE", "record"]

Floats = NDArray[np.float64]

GESTURES = ("left", "right", "up", "down")
SIDE = 8  # pixels
# of a gesture: number, and seconds of each
_STEPS = 300
_STEP = 0.001
_PAUSE = 0.2  # seconds between gestures
# pixels; brightness without the spot; change of its logarithm
_RADIUS = 1.0
_DIM = 0.05
_THRESHOLD = 0.25
_NOISE = 1.0  # events of a pixel a second that mean nothing


def record(n: int, seed: int) -> dict[str, NDArray[np.generic]]:
    """Return the events of `n` gestures.

    Arrays `time` (s), `line` (x + 8 y), `label` and `sequence`.
    """
    kinds = (uniforms(derive_key(seed, 105), 0, n) * len(GESTURES)).astype(int)
    times = []
    lines = []
    sequences = []
    for i in range(n):
        step, line = _events(
            _path(GESTURES[kinds[i]], normals(derive_key(seed, 106), 3 * i, 3)), seed, i
        )
        times.append((_STEPS * _STEP + _PAUSE) * i + _STEP * (step + 0.5))
        lines.append(line)
        sequences.append(np.full(len(line), i))
    sequence = np.concatenate(sequences)
    labels = np.array(GESTURES)[kinds][sequence]
    return {
        "time": np.concatenate(times),
        "line": np.concatenate(lines),
        "label": labels,
        "sequence": sequence,
    }


def _path(gesture: str, drawn: Floats) -> Floats:
    """Return where the spot is at each step, (steps, 2) in pixels.

    Length and place differ from time to time.
    """
    way = np.linspace(-1.0, 1.0, _STEPS) * (1.0 + 0.1 * drawn[0])
    way = way if gesture in ("right", "down") else -way  # y points down
    x, y = (way, np.zeros(_STEPS)) if gesture in ("left", "right") else (np.zeros(_STEPS), way)
    return (SIDE - 1) / 2.0 + 3.0 * np.stack([x, y], axis=1) + 0.4 * drawn[1:]


def _events(path: Floats, seed: int, i: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return step and line of each event while the spot takes a path, in order."""
    y, x = np.divmod(np.arange(SIDE * SIDE), SIDE)
    distance = (path[:, :1] - x) ** 2 + (path[:, 1:] - y) ** 2
    brightness = np.log(_DIM + np.exp(-distance / (2.0 * _RADIUS**2)))
    drawn = uniforms(derive_key(seed, 107), i * brightness.size, brightness.size)
    spoke = drawn.reshape(brightness.shape) < _NOISE * _STEP
    last = brightness[0].copy()
    for at, now in enumerate(brightness):
        changed = np.abs(now - last) >= _THRESHOLD
        last[changed] = now[changed]
        spoke[at] |= changed
    steps, lines = np.nonzero(spoke)
    return steps, lines
