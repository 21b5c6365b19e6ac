"""Vibration of electric motors, and the gateway process that sends what their sensors measure.

125 motors with 8 windows of 0.125 s per second are 1000 rows per second. A window is 512 samples of
acceleration at 4096 Hz, in g::

    a(t) = sum_k A_k cos(2 pi k f t + phase)                            shaft harmonics, k = 1, 2, 3
         + B (1 + cos(2 pi f_b t + phase))^3 cos(2 pi f_r t + phase)    impacts that ring the
         housing + noise

The shaft turns at f = 29.2 Hz minus a slip that grows with the load. Unbalance raises A_1,
misalignment A_2 and A_3, and a loose foot, which is rare, A_1 and A_3. A pitted bearing rings the
housing (f_r, 1.3 kHz, falling with the temperature) at the rate at which balls roll over the pit:
for n balls of diameter d on a pitch circle D without contact angle, ``outer ring n f (1 - d/D) /
2``, ``inner ring n f (1 + d/D) / 2``. A pit on the inner ring passes through the loaded zone, so
that its impacts swell once per turn. The load follows a slow shift pattern, the temperature follows
the load with a lag, and the noise grows with it.

An overhaul changes the bearings (9 balls to 13, so that the new outer ring has the frequency of the
old inner ring) and the sensors (other sensitivity and noise floor): part of what was learned is
then wrong.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from loco_stream._arrays import Float32, Float64, Int64
from loco_stream._rng import derive_key, normals, uniforms
from loco_stream.errors import SourceError

Floats = Float64

COMMON = ("healthy", "unbalance", "misalignment", "outer ring", "inner ring")
RARE = "loose foot"
RARE_SHARE = 0.005  # one window in two hundred
FAULTS = (*COMMON, RARE)
_UNBALANCE, _MISALIGNMENT, _OUTER_RING, _INNER_RING, _LOOSE_FOOT = range(1, len(FAULTS))
RATE = 4096.0  # Hz
SAMPLES = 512  # per window
# Hz without load: a four-pole motor at 50 Hz runs a little below 1800 rpm
SHAFT = 29.2
ORDERS = (1.0, 2.0, 3.0, 3.6, 4.5, 5.4, 6.5, 7.6)  # multiples of the shaft speed in the envelope
FEATURES = (
    "rms",
    "kurtosis",
    "shaft 1x",
    "shaft 2x",
    "shaft 3x",
    *(f"envelope {order}x" for order in ORDERS),
    "load",
    "temperature",
)
UNITS = ("ln g", "1", *("ln g",) * 3, *("ln g^2",) * len(ORDERS), "1", "C")
_TIMES = np.arange(SAMPLES) / RATE
_BLOCK = 20  # rows sent together
_AMPLITUDES = {1: 0.20, 2: 0.08, 3: 0.04}  # of the shaft harmonics, in g


@dataclass(frozen=True)
class Regime:
    """What an overhaul changes.

    Attributes
    ----------
    balls
        Balls of the bearing.
    ratio
        Diameter of a ball over that of the pitch circle.
    sensitivity
        Of the sensor, relative to the nominal one.
    floor
        Noise of the sensor in g.
    """

    balls: int
    ratio: float
    sensitivity: float
    floor: float


BEFORE = Regime(balls=9, ratio=0.205, sensitivity=1.0, floor=0.10)
AFTER_OVERHAUL = Regime(balls=13, ratio=0.17, sensitivity=0.3, floor=0.06)


@dataclass(frozen=True)
class _Windows:
    """Conditions of n windows: faults (n,), loads (n,), shaft speeds (n,) in Hz, draws (n, 10)."""

    fault: Int64
    load: Floats
    speed: Floats
    draws: Floats


class Hall:
    """All motors; window number n depends on the seed and n alone.

    Parameters
    ----------
    seed
        Seed of faults, phases and noise.
    """

    def __init__(self, seed: int = 0) -> None:
        self._draw_key = derive_key(seed, 101)
        self._noise_key = derive_key(seed, 102)
        self.temperature = 45.0  # degrees Celsius

    def rows(self, first: int, n: int, regime: Regime) -> tuple[Float32, list[str]]:
        """Return features (n, 15) and faults of the windows from `first` on."""
        windows = self._windows(first, n)
        noise = normals(self._noise_key, SAMPLES * first, SAMPLES * n).reshape(n, SAMPLES)
        self.temperature += (25.0 + 40.0 * windows.load.mean() - self.temperature) * n / 6000.0
        wave = _shaft(windows) + self._impacts(windows, regime)
        wave += noise * (regime.floor + 0.0005 * self.temperature)
        features = self._features(regime.sensitivity * wave, windows)
        return features, [FAULTS[k] for k in windows.fault]

    def _windows(self, first: int, n: int) -> _Windows:
        draws = uniforms(self._draw_key, 10 * first, 10 * n).reshape(n, 10)
        is_rare = draws[:, 0] >= 1.0 - RARE_SHARE
        common = (draws[:, 0] / (1.0 - RARE_SHARE) * len(COMMON)).astype(int)
        shift = 0.2 * np.sin((first + np.arange(n)) / 9000.0)
        load = 0.7 + shift + 0.1 * (draws[:, 1] - 0.5)
        fault = np.where(is_rare, _LOOSE_FOOT, common)
        return _Windows(fault, load, SHAFT * (1.0 - 0.03 * load), draws)

    def _impacts(self, windows: _Windows, regime: Regime) -> Floats:
        """Return the vibration of pitted bearings, (n, samples)."""
        is_pitted = (windows.fault == _OUTER_RING) | (windows.fault == _INNER_RING)
        size = 0.30 * (0.7 + 0.6 * windows.draws[:, 2]) * (0.5 + windows.load)
        resonance = 1300.0 - 2.0 * (self.temperature - 45.0)  # Hz
        ringing = np.cos(2 * np.pi * (resonance * _TIMES + windows.draws[:, [9]]))
        force = np.where(is_pitted, size, 0.0)[:, None] * _zone(windows)
        impacts: Floats = force * _strikes(windows, regime) * ringing
        return impacts

    def _features(self, wave: Floats, windows: _Windows) -> Float32:
        rms = np.sqrt((wave**2).mean(axis=1))
        kurtosis = (wave**4).mean(axis=1) / rms**4
        taper = np.hanning(SAMPLES)
        envelope = _envelope(wave)
        envelope -= envelope.mean(axis=1, keepdims=True)
        shaft = _tones(wave * taper, windows.speed, (1.0, 2.0, 3.0))
        bearing = _tones(envelope * taper, windows.speed, ORDERS)
        temperature = np.full(len(wave), self.temperature) + windows.draws[:, 1] - 0.5
        columns = [
            np.log(rms),
            kurtosis,
            *np.log(shaft + 1e-6),
            *np.log(bearing + 1e-6),
            windows.load,
            temperature,
        ]
        return np.stack(columns, axis=1).astype(np.float32)


def _zone(windows: _Windows) -> Floats:
    """Return how much of the load is on the pit, (n, samples)."""
    turns = np.cos(2 * np.pi * windows.speed[:, None] * _TIMES)
    zone: Floats = np.where((windows.fault == _INNER_RING)[:, None], 0.6 + 0.4 * turns, 1.0)
    return zone


def _strikes(windows: _Windows, regime: Regime) -> Floats:
    """Return the impacts of balls that roll over a pit, (n, samples)."""
    ratio = np.where(windows.fault == _INNER_RING, regime.ratio, -regime.ratio)
    order = (regime.balls * (1.0 + ratio) / 2.0)[:, None]
    phase = windows.draws[:, [8]]
    rolls = np.cos(2 * np.pi * (order * windows.speed[:, None] * _TIMES + phase))
    strikes: Floats = (0.5 + 0.5 * rolls) ** 3
    return strikes


def _shaft(windows: _Windows) -> Floats:
    """Return the vibration of the shafts, (n, samples)."""
    wave = np.zeros((len(windows.load), SAMPLES))
    for k in _AMPLITUDES:
        turns = k * windows.speed[:, None] * _TIMES
        phase = windows.draws[:, [5 + k % 3]]
        wave += _amplitude(windows, k)[:, None] * np.cos(2 * np.pi * (turns + phase))
    return wave


def _amplitude(windows: _Windows, k: int) -> Floats:
    """Return the amplitude of shaft harmonic k in g, (n,), which some faults raise."""
    fault = windows.fault
    severity = 0.7 + 0.6 * windows.draws[:, 2]
    unbalance = 0.10 * (fault == _UNBALANCE) * (k == 1)
    misalignment = 0.14 * windows.load * (fault == _MISALIGNMENT) * (k > 1) / k
    size: Floats = _AMPLITUDES[k] * (0.8 + 0.4 * windows.draws[:, 2 + k])
    size = size + severity * (unbalance + misalignment)
    size += severity * 0.12 * (fault == _LOOSE_FOOT) * (k != 2)
    return size


def _envelope(wave: Floats) -> Floats:
    """Return the squared envelope of the ringing, which is above 800 Hz."""
    spectrum = np.fft.fft(wave)
    spectrum[:, : int(800 * SAMPLES / RATE)] = 0.0
    spectrum[:, SAMPLES // 2 :] = 0.0  # without negative frequencies: the analytic signal
    envelope: Floats = np.abs(np.fft.ifft(spectrum)) ** 2
    return envelope


def _tones(wave: Floats, speed: Floats, orders: tuple[float, ...]) -> Floats:
    """Return amplitudes (orders, rows) at multiples of each row's shaft speed, to within 8 Hz."""
    spectrum = np.abs(np.fft.rfft(wave)) * 4.0 / SAMPLES
    lines = np.rint(np.outer(orders, speed) * SAMPLES / RATE).astype(int)
    amplitudes: Floats = spectrum[np.arange(len(speed)), lines]
    return amplitudes


@dataclass(frozen=True)
class Gateway:
    """The sensor process.

    Attributes
    ----------
    address
        Address of the engine.
    seed
        Seed of the hall.
    rows_per_second
        The rate.
    plan
        Orders by row number, for a run without a user.
    end
        Rows after which to stop; None never stops.
    """

    address: str
    seed: int
    rows_per_second: float
    plan: Mapping[int, str]
    end: int | None

    def run(self, orders: Connection) -> None:
        """Send rows until stopped.

        Parameters
        ----------
        orders
            Receives "overhaul", "old regime" and "stop".
        """
        from loco_stream.connectors import ZMQSender

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the engine, which sends "stop"
        sender = ZMQSender(
            self.address,
            features=FEATURES,
            units=UNITS,
            classes=FAULTS,
            name="hall",
            reliable=True,
            linger=0.5,
        )
        hall = Hall(self.seed)
        regime = BEFORE
        began = time.monotonic()
        row = 0
        with suppress(SourceError), sender:  # the engine may end first
            while self.end is None or row < self.end:
                order = orders.recv() if orders.poll() else self.plan.get(row)
                if order == "stop":
                    break
                if order is not None:
                    regime = AFTER_OVERHAUL if order == "overhaul" else BEFORE
                sender.send(*hall.rows(row, _BLOCK, regime), t=time.time())
                row += _BLOCK
                time.sleep(max(0.0, began + row / self.rows_per_second - time.monotonic()))
            else:
                sender.flush()  # an engine that still compiles takes the rows later
