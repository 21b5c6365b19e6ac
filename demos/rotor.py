"""A hall of equal electric motors, and the gateway process that sends what their vibration sensors measure.

125 motors with 8 windows of 0.125 s each a second are 1000 rows a second. A window is 512 samples of
acceleration at 4096 Hz, in g::

    a(t) = sum_k A_k cos(2 pi k f t + phase)                            shaft harmonics, k = 1, 2, 3
         + B (1 + cos(2 pi f_b t + phase))^3 cos(2 pi f_r t + phase)    impacts ringing the housing
         + noise

The shaft turns at f = 29.2 Hz less a slip that grows with the load. Unbalance raises A_1,
misalignment A_2 and A_3, and a loose foot, which is rare, A_1 and A_3. A pitted bearing rings the
housing (f_r, 1.3 kHz, falling with the temperature) at the rate at which balls roll over the pit:
for n balls of diameter d on a pitch circle D without contact angle, ``outer ring n f (1 - d/D) /
2``, ``inner ring n f (1 + d/D) / 2``. A pit on the inner ring turns through the loaded zone, so its
impacts swell once a turn. Load follows a slow shift pattern; the temperature follows it with a lag,
and the noise grows with it.

An overhaul changes the bearings (9 balls to 13, so that the new outer ring sounds at the order of
the old inner ring) and the sensors (another sensitivity and noise floor): what was learned is now
partly wrong.
"""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import SourceError
from loco_stream.rng import derive_key, normals, uniforms

__all__ = ["AFTER_OVERHAUL", "BEFORE", "FAULTS", "FEATURES", "RARE", "Hall", "Regime", "gateway"]

COMMON = ("healthy", "unbalance", "misalignment", "outer ring", "inner ring")
# one window in two hundred
RARE = "loose foot"
RARE_SHARE = 0.005
FAULTS = (*COMMON, RARE)
# Hz, and samples a window
RATE = 4096.0
SAMPLES = 512
SHAFT = (
    29.2  # Hz without load: a four-pole motor at 50 Hz, geared by nothing, a little below 1800 rpm
)
ORDERS = (1.0, 2.0, 3.0, 3.6, 4.5, 5.4, 6.5, 7.6)  # of the shaft, where the envelope is looked at
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


@dataclass(frozen=True)
class Regime:
    """What an overhaul changes."""

    balls: int
    ratio: float  # ball over pitch diameter
    sensitivity: float  # of the sensor, against the nominal one
    floor: float  # g of sensor noise


BEFORE = Regime(balls=9, ratio=0.205, sensitivity=1.0, floor=0.10)
AFTER_OVERHAUL = Regime(balls=13, ratio=0.17, sensitivity=0.3, floor=0.06)


class Hall:
    """All motors; the state of window number n is a function of the seed and n.

    Parameters
    ----------
    seed
        Of faults, phases and noise.
    """

    def __init__(self, seed: int = 0) -> None:
        self._keys = [derive_key(seed, purpose) for purpose in (101, 102)]
        self.temperature = 45.0  # degrees Celsius

    def rows(self, first: int, n: int, regime: Regime) -> tuple[NDArray[np.float32], list[str]]:
        """Return features (n, 15) and faults of the windows from `first` on."""
        u = uniforms(self._keys[0], 10 * first, 10 * n).reshape(n, 10)
        noise = normals(self._keys[1], SAMPLES * first, SAMPLES * n).reshape(n, SAMPLES)
        rare = u[:, 0] >= 1.0 - RARE_SHARE
        fault = np.where(
            rare, len(COMMON), (u[:, 0] / (1.0 - RARE_SHARE) * len(COMMON)).astype(int)
        )
        load = 0.7 + 0.2 * np.sin((first + np.arange(n)) / 9000.0) + 0.1 * (u[:, 1] - 0.5)
        self.temperature += (25.0 + 40.0 * load.mean() - self.temperature) * n / 6000.0
        f = SHAFT * (1.0 - 0.03 * load)
        wave = self._shaft(fault, load, f, u) + self._impacts(fault, load, f, u, regime)
        wave += noise * (regime.floor + 0.0005 * self.temperature)
        return self._features(regime.sensitivity * wave, f, load, u), [FAULTS[k] for k in fault]

    def _shaft(
        self,
        fault: NDArray[np.int64],
        load: NDArray[np.float64],
        f: NDArray[np.float64],
        u: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        t = np.arange(SAMPLES) / RATE
        wave = np.zeros((len(f), SAMPLES))
        severity = 0.7 + 0.6 * u[:, 2]
        for k, base in ((1, 0.20), (2, 0.08), (3, 0.04)):
            size = base * (0.8 + 0.4 * u[:, 2 + k])
            size = size + severity * (
                0.10 * (fault == 1) * (k == 1) + 0.14 * load * (fault == 2) * (k > 1) / k
            )
            size += severity * 0.12 * (fault == len(COMMON)) * (k != 2)
            wave += size[:, None] * np.cos(2 * np.pi * (k * f[:, None] * t + u[:, [5 + k % 3]]))
        return wave

    def _impacts(
        self,
        fault: NDArray[np.int64],
        load: NDArray[np.float64],
        f: NDArray[np.float64],
        u: NDArray[np.float64],
        regime: Regime,
    ) -> NDArray[np.float64]:
        t = np.arange(SAMPLES) / RATE
        outer = (fault == 3)[:, None]
        inner = (fault == 4)[:, None]
        order = regime.balls * (1.0 + np.where(inner, regime.ratio, -regime.ratio)) / 2.0
        strike = (0.5 + 0.5 * np.cos(2 * np.pi * (order * f[:, None] * t + u[:, [8]]))) ** 3
        zone = np.where(inner, 0.6 + 0.4 * np.cos(2 * np.pi * f[:, None] * t), 1.0)
        ringing = np.cos(2 * np.pi * ((1300.0 - 2.0 * (self.temperature - 45.0)) * t + u[:, [9]]))
        size = np.where(outer | inner, 0.30 * (0.7 + 0.6 * u[:, [2]]) * (0.5 + load[:, None]), 0.0)
        impacts: NDArray[np.float64] = size * zone * strike * ringing
        return impacts

    def _features(
        self,
        wave: NDArray[np.float64],
        f: NDArray[np.float64],
        load: NDArray[np.float64],
        u: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        rms = np.sqrt((wave**2).mean(axis=1))
        kurtosis = (wave**4).mean(axis=1) / rms**4
        window = np.hanning(SAMPLES)
        spectrum = np.fft.fft(wave)
        spectrum[:, : int(800 * SAMPLES / RATE)] = 0.0  # the ringing lies above 800 Hz
        spectrum[:, SAMPLES // 2 :] = (
            0.0  # no negative frequencies: the result is the analytic signal
        )
        envelope = np.abs(np.fft.ifft(spectrum)) ** 2
        shaft = _tones(wave * window, f, (1.0, 2.0, 3.0))
        bearing = _tones((envelope - envelope.mean(axis=1, keepdims=True)) * window, f, ORDERS)
        temperature = np.full(len(f), self.temperature) + u[:, 1] - 0.5
        columns = [
            np.log(rms),
            kurtosis,
            *np.log(shaft + 1e-6),
            *np.log(bearing + 1e-6),
            load,
            temperature,
        ]
        return np.stack(columns, axis=1).astype(np.float32)


def _tones(
    wave: NDArray[np.float64], f: NDArray[np.float64], orders: tuple[float, ...]
) -> NDArray[np.float64]:
    """Return the amplitudes (orders, rows) at multiples of each row's shaft speed, to the nearest 8 Hz."""
    spectrum = np.abs(np.fft.rfft(wave)) * 4.0 / SAMPLES
    lines = np.rint(np.outer(orders, f) * SAMPLES / RATE).astype(int)
    amplitudes: NDArray[np.float64] = spectrum[np.arange(len(f)), lines]
    return amplitudes


def gateway(
    address: str,
    orders: Connection,
    seed: int,
    rows_per_second: float,
    plan: dict[int, str],
    end: int | None,
) -> None:
    """Send rows until told to stop; the body of the sensor process.

    Parameters
    ----------
    address
        Of the engine.
    orders
        Brings "overhaul", "old regime" or "stop"; each change is answered with the row it takes
        effect at.
    seed
        Of the hall.
    rows_per_second
        The pace.
    plan
        Orders by row number, for a run without anybody at the buttons.
    end
        Rows after which to stop; None never does.
    """
    from loco_stream.connectors import ZMQSender

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the engine, which then says stop
    hall = Hall(seed)
    regime = BEFORE
    block = 20
    began = time.monotonic()
    row = 0
    sender = ZMQSender(
        address,
        features=FEATURES,
        units=UNITS,
        classes=FAULTS,
        name="hall",
        reliable=True,
        linger=0.5,
    )
    with suppress(SourceError), sender:  # the engine may leave first: it has all it wanted
        while end is None or row < end:
            order = orders.recv() if orders.poll() else plan.get(row)
            if order == "stop":
                break
            if order is not None:
                regime = AFTER_OVERHAUL if order == "overhaul" else BEFORE
                orders.send((order, row))
            sender.send(*hall.rows(row, block, regime), t=time.time())
            row += block
            time.sleep(max(0.0, began + row / rows_per_second - time.monotonic()))
        else:
            sender.flush()  # an engine that still compiles takes them later
    orders.send(("sent", row))
