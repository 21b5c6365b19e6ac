"""A small event camera before which a spot of light moves in four gestures.

The camera has 8 x 8 pixels. A pixel emits an event whenever the logarithm of its brightness has
changed by a threshold since its last event, brighter or darker alike. Both edges of a moving spot
do that, so that a moment shows where the spot is but not where it moves: left and right, and up and
down, pass through the same pixels. Pixels also emit noise events.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loco_stream._arrays import Float64, Int64
from loco_stream._rng import derive_key, normals, uniforms

GESTURES = ("left", "right", "up", "down")
SIDE = 8  # pixels
_STEPS = 300  # of a gesture
_STEP = 0.001  # seconds
_PAUSE = 0.2  # seconds between gestures
_RADIUS = 1.0  # of the spot, in pixels
_DARK = 0.05  # brightness without the spot
_THRESHOLD = 0.25  # change of the logarithm of the brightness
_NOISE = 1.0  # noise events per pixel and second


def record(n: int, seed: int) -> dict[str, NDArray[np.generic]]:
    """Return the events of `n` gestures: `time` in s, `line` (x + 8 y), `label` and `sequence`."""
    kinds = (uniforms(derive_key(seed, 105), 0, n) * len(GESTURES)).astype(int)
    variations = normals(derive_key(seed, 106), 0, 3 * n).reshape(n, 3)
    paths = [_path(GESTURES[k], drawn) for k, drawn in zip(kinds, variations, strict=True)]
    steps, lines = zip(*(_events(path, seed, i) for i, path in enumerate(paths)), strict=True)
    sequence = np.repeat(np.arange(n), [len(of) for of in lines])
    start = (_STEPS * _STEP + _PAUSE) * sequence
    return {
        "time": start + _STEP * (np.concatenate(steps) + 0.5),
        "line": np.concatenate(lines),
        "label": np.array(GESTURES)[kinds][sequence],
        "sequence": sequence,
    }


def _path(gesture: str, drawn: Float64) -> Float64:
    """Return the position of the spot at each step, (steps, 2) pixels; length and place vary."""
    way = np.linspace(-1.0, 1.0, _STEPS) * (1.0 + 0.1 * drawn[0])
    way = way if gesture in ("right", "down") else -way  # y points down
    still = np.zeros(_STEPS)
    x, y = (way, still) if gesture in ("left", "right") else (still, way)
    return (SIDE - 1) / 2.0 + 3.0 * np.stack([x, y], axis=1) + 0.4 * drawn[1:]


def _brightness(path: Float64) -> Float64:
    """Return the logarithm of the brightness of each pixel at each step, (steps, pixels)."""
    y, x = np.divmod(np.arange(SIDE * SIDE), SIDE)
    distance = (path[:, :1] - x) ** 2 + (path[:, 1:] - y) ** 2
    brightness: Float64 = np.log(_DARK + np.exp(-distance / (2.0 * _RADIUS**2)))
    return brightness


def _events(path: Float64, seed: int, i: int) -> tuple[Int64, Int64]:
    """Return step and line of each event while the spot follows a path, in order."""
    brightness = _brightness(path)
    drawn = uniforms(derive_key(seed, 107), i * brightness.size, brightness.size)
    emitted = drawn.reshape(brightness.shape) < _NOISE * _STEP
    last = brightness[0].copy()
    for at, now in enumerate(brightness):
        changed = np.abs(now - last) >= _THRESHOLD
        last[changed] = now[changed]
        emitted[at] |= changed
    steps, lines = np.nonzero(emitted)
    return steps, lines
