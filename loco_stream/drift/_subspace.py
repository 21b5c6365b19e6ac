"""The compiled part of the input detector: one pass over rows in order."""

import math

from loco_stream._compiler.jit import entry, kernel
from loco_stream.drift._scale import NO_VARIANCE, follow, is_missing

# Rows in the running statistics: long compared with the delay of an alarm, short with a season.
HORIZON = 1000.0
WARM_UP = 100  # rows before the statistics are good enough for an alarm
# Effective rows kept at a restart, so that new inputs dominate within about a hundred.
RESTART = 20.0
CLIP = 3.0  # standard deviations; a single outlier must not raise an alarm
LEVEL_SIZE = 6
TEST_SIZE = 8
FRESH_TEST = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, math.inf, -1.0)  # state of a test that has seen nothing
# Pace of all statistics while a change is suspected: young ones would absorb it too soon.
_SUSPICION_PACE = 0.1
_SLACK = 0.5  # standard deviations by which the mean may rise without evidence
STABLE = 0
WARNING = 1
DRIFT = 2
_OUTLIER = 4.0  # standard deviations at which a feature is clipped
_FLOOR = 1e-3  # energy per dimension below which all inputs look the same
# Wide inputs renew one in 16 standard deviations per row: square roots dominate the cost.
_REFRESH = 16


@entry
def observe(  # type: ignore[no-untyped-def]
    X, inputs, subspace, level, test, threshold, onset, found
):
    """Update the statistics and the test with rows in order; return the onset after the last one.

    All arrays but `X`, buckets and signs are changed in place.

    Parameters
    ----------
    X : float64 (n, n_features)
        The rows; see `is_missing` for values that are missing.
    inputs : tuple of arrays (n_features,)
        Running mean, variance and inverse standard deviation of each feature, float64. The
        dimension that it is folded to, int64, and its sign, float64; empty unless the input is
        wide.
    subspace : tuple of float64 arrays
        The standardised row, (width,), and what the components leave of it, (width,). The
        directions of the subspace, (rank, width), and their lengths, (rank,).
    level : float64 (6,)
        Rows since the restart; mean, variance and lag-one correlation of the log energy; its last
        standardised value; effective rows in the input statistics.
    test : float64 (8,)
        State of the Page-Hinkley test, see `_test_rise`.
    threshold : float64
        Rise at which the test fires.
    onset : int64
        Rows since the sum of the test began to rise.
    found : tuple of arrays
        Written: states, int64 (n,), onsets, int64 (n,), and standardised rows, float64 (n, width).
    """
    states, onsets, folded_rows = found
    folded = subspace[0]
    is_wide = X.shape[1] > folded.size
    for i in range(X.shape[0]):
        pace = _SUSPICION_PACE if test[4] - test[6] > threshold / 3.0 else 1.0
        level[5] += 1.0
        rate = max(1.0 / level[5], 1.0 / HORIZON) * pace
        if is_wide:
            _fill(folded, 0.0)
        _standardise(X[i], inputs, folded, rate)
        _refresh(inputs, level[5], is_wide)
        energy = _energy_outside(subspace, rate)
        innovation = _innovation(math.log(energy / folded.size + _FLOOR), level, pace)
        for j in range(folded.size):
            folded_rows[i, j] = folded[j]
        states[i] = STABLE
        if level[0] > WARM_UP:
            rise = _test_rise(test, innovation)
            onset = onset + 1 if rise > 0.0 else 0
            if rise > threshold:
                states[i] = DRIFT
                _restart(level, test)
            elif rise > threshold / 2.0:
                states[i] = WARNING
        onsets[i] = onset
    return onset


@kernel
def _test_rise(test, x):  # type: ignore[no-untyped-def]
    """Update the test with one value, and return the distance of its sum from the minimum.

    The Page-Hinkley test for a rise of the mean, without forgetting: a sum that were pulled
    towards 0 would lose its slack in the long run. `test` is float64 (8,): whether the last value
    raised an alarm, nothing, number and mean of the values, their summed deviations less and plus
    the slack, the minimum of the former, the maximum of the latter. The order is that of the saved
    numbers of river's test. `x` is float64.
    """
    test[2] += 1.0
    test[3] += (1.0 / test[2]) * (x - test[3])
    deviation = x - test[3]
    test[4] = test[4] + deviation - _SLACK
    test[5] = test[5] + deviation + _SLACK
    test[6] = min(test[6], test[4])
    test[7] = max(test[7], test[5])
    return test[4] - test[6]


@kernel
def _restart(level, test):  # type: ignore[no-untyped-def]
    """Delay the next alarm: other inputs begin; arrays as for `observe`."""
    for j in range(5):
        level[j] = 0.0
    level[5] = min(level[5], RESTART)
    _start_test(test)


@kernel
def _start_test(test):  # type: ignore[no-untyped-def]
    """Reset the test, float64 (8,), see `_test_rise`."""
    for j in range(TEST_SIZE):
        test[j] = FRESH_TEST[j]


@kernel
def _fill(array, value):  # type: ignore[no-untyped-def]
    """Set every element of a float64 array (n,); slice assignment may raise, kernels may not."""
    for j in range(array.size):
        array[j] = value


@kernel
def _standardise(x, inputs, folded, rate):  # type: ignore[no-untyped-def]
    """Fill `folded` with the standardised row, and update mean and variance.

    Arrays as for `observe`, `rate` float64. Missing values count as average.
    """
    mean, variance, inverse, buckets, signs = inputs
    is_wide = x.size > folded.size
    for j in range(x.size):
        value = 0.0
        if not is_missing(x[j], mean[j], variance[j]):
            deviation = x[j] - mean[j]
            value = min(_OUTLIER, max(-_OUTLIER, deviation * inverse[j]))
            step, variance[j] = follow(deviation, variance[j], rate)
            mean[j] += step
        if is_wide:
            folded[buckets[j]] += signs[j] * value
        else:
            folded[j] = value


@kernel
def _refresh(inputs, n, is_wide):  # type: ignore[no-untyped-def]
    """Compute inverse standard deviations from variances; `inputs` as for `observe`.

    After some rows (`n`, float64) a wide input (`is_wide`, bool) refreshes one in 16 per row.
    """
    _, variance, inverse, _, _ = inputs
    step = _REFRESH if is_wide and n > 2 * _REFRESH else 1
    for j in range(int(n) % step, variance.size, step):
        inverse[j] = 1.0 / math.sqrt(variance[j]) if variance[j] > NO_VARIANCE else 0.0


@kernel
def _energy_outside(subspace, rate):  # type: ignore[no-untyped-def]
    """Update the components (CCIPCA) and return the energy outside; what is left goes to `rest`.

    `subspace` as for `observe`, `rate` float64.
    """
    folded, rest, components, lengths = subspace
    for j in range(rest.size):
        rest[j] = folded[j]
    for i in range(len(components)):
        if lengths[i] < 1e-12:
            lengths[i] = _start(components[i], rest)
            break
        lengths[i] = _deflate(components[i], rest, lengths[i], rate)
    energy = 0.0
    for j in range(rest.size):
        energy += rest[j] * rest[j]
    return energy


@kernel
def _start(component, rest):  # type: ignore[no-untyped-def]
    """Start a component in the direction of `rest`, both float64 (width,); return its length."""
    squared = 0.0
    for j in range(rest.size):
        component[j] = rest[j]
        squared += rest[j] * rest[j]
    _fill(rest, 0.0)
    return math.sqrt(squared)


@kernel
def _deflate(component, rest, length, rate):  # type: ignore[no-untyped-def]
    """Move a component towards `rest`, take its direction out of `rest`; return its new length.

    `component` and `rest` are float64 (width,), `length` and `rate` float64.
    """
    dot = 0.0
    for j in range(rest.size):
        dot += component[j] * rest[j]
    along = dot / length
    scale = along / length
    squared = 0.0
    for j in range(rest.size):
        before = component[j]
        component[j] = (1.0 - rate) * before + rate * along * rest[j]
        rest[j] -= scale * before
        squared += component[j] * component[j]
    return math.sqrt(squared)


@kernel
def _innovation(log_energy, level, pace):  # type: ignore[no-untyped-def]
    """Return the standardised log energy minus what the value before predicts; update `level`.

    `log_energy` and `pace` are float64, `level` as for `observe`.
    """
    level[0] += 1.0
    n = level[0]
    mean = level[1]
    variance = level[2]
    correlation = level[3]
    last = level[4]
    rate = max(1.0 / n, 1.0 / HORIZON) * pace
    deviation = math.sqrt(variance)
    change = log_energy - mean
    standard = min(CLIP, max(-CLIP, change / (deviation + 1e-6)))
    bounded = min(0.98, max(0.0, correlation))
    if n > WARM_UP / 2:
        change = standard * (deviation + 1e-6)
    level[1] = mean + rate * change
    level[2] = variance + rate * ((1.0 - rate) * change * change - variance)
    if n > 2.0:
        level[3] = correlation + rate * (standard * last - correlation)
    level[4] = standard
    return (standard - bounded * last) / math.sqrt(1.0 - bounded * bounded)
