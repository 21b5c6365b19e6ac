"""Slow twins of the simulator in plain float64: every neuron is advanced at every event."""

import math

import numpy as np

IZHIKEVICH = {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0, "peak": 30.0}
ALIF = {"tau_adapt": 100.0, "adapt": 0.2}


def run_net(
    weights, times, indices, duration, delays=None, recurrent=None, recurrent_delays=None, **options
):
    """Run layer after layer; return (times, indices) per layer."""
    out = []
    for i, w in enumerate(weights):
        times, indices = run_layer(
            np.asarray(w, np.float64),
            times,
            indices,
            duration,
            delays=None if delays is None else delays[i],
            recurrent=None if recurrent is None else recurrent[i],
            recurrent_delays=None if recurrent_delays is None else recurrent_delays[i],
            **options,
        )
        out.append((times, indices))
    return out


def run_layer(
    w,
    times,
    indices,
    duration,
    *,
    neuron="lif",
    tau=20.0,
    threshold=1.0,
    reset="subtract",
    drive=0.0,
    refractory=0.0,
    delays=None,
    recurrent=None,
    recurrent_delays=None,
    margin=None,
    **model,
):
    """Run one layer; the distances to threshold of all decisions are appended to `margin`."""
    n = w.shape[1]
    d = np.zeros_like(w) if delays is None else np.broadcast_to(delays, w.shape)
    r = np.zeros((n, n)) if recurrent is None else np.asarray(recurrent, np.float64)
    rd = np.ones((n, n)) if recurrent_delays is None else np.broadcast_to(recurrent_delays, r.shape)
    make = {"lif": Leaky, "alif": Adaptive, "izhikevich": Quadratic}[neuron]
    layer = make(
        n, tau=tau, threshold=threshold, reset=reset, drive=drive, refractory=refractory, **model
    )
    coming = [
        (t + d[j, i], i, w[j, i]) for t, j in zip(times, indices, strict=True) for i in range(n)
    ]
    fired = []

    def fire(i, t):
        fired.append((t, i))
        layer.reset_neuron(i, t)
        if recurrent is not None:
            coming.extend((t + rd[i, k], k, r[i, k]) for k in range(n))

    now = 0.0
    last = np.full(n, -np.inf)
    while True:
        t = min((c[0] for c in coming), default=math.inf)
        when, who = layer.next_spike(now, min(t, duration))
        if who:
            layer.advance(when)
            for i in who:
                fire(i, when)
                last[i] = when
            now = when
            continue
        if t > duration:
            return np.array([f[0] for f in fired]), np.array([f[1] for f in fired], dtype=int)
        layer.advance(t)
        now = t
        for _, i, weight in [c for c in coming if c[0] == t]:
            layer.receive(i, weight, t)
        coming = [c for c in coming if c[0] != t]
        for i in range(n):
            if margin is not None:
                margin.append(abs(layer.excess(i)))
            if layer.at_threshold(i, t) and last[i] != t:
                last[i] = t
                fire(i, t)


def earliest(found):
    """Return the first time in `found`, and all neurons of that time up to rounding."""
    first = min((t for t, _ in found), default=math.inf)
    return first, [i for t, i in found if t - first < 1e-12]


class Leaky:
    adapt = 0.0
    tau_adapt = 1.0

    def __init__(self, n, tau, threshold, reset, drive, refractory):
        self.v = np.zeros(n)
        self.a = np.zeros(n)
        self.now = 0.0
        self.tau = tau
        self.reset = reset
        self.refractory = refractory
        self.threshold = np.broadcast_to(threshold, n)
        self.drive = np.broadcast_to(drive, n)
        self.ready_at = np.full(n, -np.inf)

    def at(self, i, t):
        """Return membrane and threshold of neuron `i` at `t`."""
        passed = max(0.0, t - max(self.now, self.ready_at[i]))
        v = self.drive[i] + (self.v[i] - self.drive[i]) * math.exp(-passed / self.tau)
        return v, self.threshold[i] + self.a[i] * math.exp(-(t - self.now) / self.tau_adapt)

    def advance(self, t):
        for i in range(len(self.v)):
            self.v[i] = self.at(i, t)[0]
        self.a *= math.exp(-(t - self.now) / self.tau_adapt)
        self.now = t

    def excess(self, i):
        return self.v[i] - self.threshold[i] - self.a[i]

    def receive(self, i, weight, t):
        if self.ready_at[i] <= t:
            self.v[i] += weight

    def at_threshold(self, i, t):
        return self.ready_at[i] <= t and self.v[i] >= self.threshold[i] + self.a[i]

    def reset_neuron(self, i, t):
        self.v[i] = 0.0 if self.reset == "zero" else self.v[i] - self.threshold[i] - self.a[i]
        self.a[i] += self.adapt
        self.ready_at[i] = t + self.refractory

    def next_spike(self, now, limit):
        """Return the first time in (now, limit] of spikes without input, and the neurons."""
        found = []
        for i in range(len(self.v)):
            start = max(now, self.ready_at[i])
            v, bound = self.at(i, start)
            if v < bound and self.drive[i] > self.threshold[i] and start < limit:
                passed = self.tau * math.log(
                    (self.drive[i] - v) / (self.drive[i] - self.threshold[i])
                )
                if start + passed <= limit:
                    found.append((start + passed, i))
        return earliest(found)


class Adaptive(Leaky):
    def __init__(self, n, tau_adapt, adapt, **options):
        super().__init__(n, **options)
        self.tau_adapt = tau_adapt
        self.adapt = adapt

    def next_spike(self, now, limit):
        found = []
        for i in range(len(self.v)):
            start = max(now, self.ready_at[i])
            v, bound = self.at(i, start)
            if v >= bound or start >= limit:
                continue
            grid = np.linspace(start, limit, 801)
            v, bound = np.array([self.at(i, t) for t in grid]).T
            above = np.flatnonzero(v >= bound)
            if len(above):
                low = grid[above[0] - 1]
                high = grid[above[0]]
                for _ in range(80):
                    middle = (low + high) / 2
                    v, bound = self.at(i, middle)
                    low, high = (low, middle) if v >= bound else (middle, high)
                found.append((high, i))
        return earliest(found)


class Quadratic:
    """Izhikevich neurons by the classical Runge-Kutta method with a small fixed step."""

    step = 1e-3

    def __init__(self, n, a, b, c, d, peak, drive, **_):
        self.a = a
        self.b = b
        self.c = c
        self.d = d
        self.peak = peak
        self.drive = np.broadcast_to(np.asarray(drive, float), n).copy()
        under = (5 - b) ** 2 - 0.16 * (140 + self.drive)
        self.v = np.array([(b - 5 - math.sqrt(x)) / 0.08 if x >= 0 else -65.0 for x in under])
        self.u = b * self.v
        self.now = 0.0

    def slope(self, v, u):
        return 0.04 * v * v + 5 * v + 140 - u + self.drive, self.a * (self.b * v - u)

    def _stepped(self, h):
        v = self.v
        u = self.u
        k1, l1 = self.slope(v, u)
        k2, l2 = self.slope(v + h / 2 * k1, u + h / 2 * l1)
        k3, l3 = self.slope(v + h / 2 * k2, u + h / 2 * l2)
        k4, l4 = self.slope(v + h * k3, u + h * l3)
        return v + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), u + h / 6 * (l1 + 2 * l2 + 2 * l3 + l4)

    def next_spike(self, now, limit):
        """Advance until a neuron reaches its peak, at most to `limit`."""
        while self.now < limit:
            h = min(self.step, limit - self.now)
            v, u = self._stepped(h)
            if (v >= self.peak).any():
                who = int(np.argmax(v))
                twins = np.flatnonzero(np.abs(v - v[who]) < 1e-12)
                share = (self.peak - self.v[who]) / (v[who] - self.v[who])
                self.v, self.u = self._stepped(h * share)
                self.now += h * share
                return self.now, list(twins)
            self.v = v
            self.u = u
            self.now = limit if h < self.step else self.now + h
        return math.inf, []

    def advance(self, t):
        self.now = t

    def excess(self, i):
        return self.v[i] - self.peak

    def receive(self, i, weight, t):
        self.v[i] += weight

    def at_threshold(self, i, t):
        return self.v[i] >= self.peak

    def reset_neuron(self, i, t):
        self.v[i] = self.c
        self.u[i] += self.d
