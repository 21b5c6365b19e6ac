"""Slow, plain float64 twins of the learning engine: textbook formulas, full matrices, nothing clever."""

import math

import numpy as np

from loco_stream.learner import encoding as encode
from loco_stream.learner.plasticity import project
from loco_stream.learner.plasticity import weights as update
from loco_stream.learner.readout import novelty_gate as gate
from loco_stream.learner.readout.stack import STACK_LEAK

# Encoding


class Feature:
    """Running statistics of one feature: all values are kept until it settles."""

    def __init__(self):
        self.values, self.low, self.high, self.beyond = [], math.inf, -math.inf, 0.0
        self.spread = None  # set when a settled constant feature moves

    @property
    def moments(self):
        """Return mean and population variance."""
        if not self.values:
            return 0.0, 0.0
        variance = np.mean((np.array(self.values) - np.mean(self.values)) ** 2)
        return float(np.mean(self.values)), float(variance if self.spread is None else self.spread)

    def scale(self, value):
        mean, variance = self.moments
        if is_masked(value) or variance == 0.0:
            return 0.0
        return float(np.clip((value - mean) / math.sqrt(variance), -encode.CLIP, encode.CLIP))

    def take(self, value):
        """Take a value in; returns whether it was masked."""
        if is_masked(value):
            return True
        clipped = abs(self.scale(value)) >= encode.CLIP
        self.low, self.high = min(self.low, value), max(self.high, value)
        mean, variance = self.moments
        if len(self.values) < encode.SETTLE:
            self.values.append(value)
        elif variance == 0.0:
            self.spread = (value - mean) ** 2
        else:
            self.beyond += encode.FADE * (clipped - self.beyond)
            if self.beyond > encode.REOPEN:
                self.values, self.low, self.high, self.beyond, self.spread = [value], value, value, 0.0, None
        return False


def is_masked(value):
    return not (math.isfinite(value) and abs(value) <= encode.LARGEST)


def fields_code(x, scaled, n_fields, window):
    """Return [(time, line)] in delivery order, and the least distance of any decision to its edge."""
    centres = np.linspace(-encode.FIELD_RANGE, encode.FIELD_RANGE, n_fields)
    width = encode.FIELD_WIDTH * (centres[1] - centres[0])
    strengths = {}
    margin = math.inf
    for f, z in enumerate(scaled):
        if is_masked(x[f]):
            continue
        activation = np.exp(-0.5 * ((np.clip(z, -encode.FIELD_RANGE, encode.FIELD_RANGE) - centres) / width) ** 2)
        for m in range(n_fields):
            strength = (activation[m] - encode.FIELD_THRESHOLD) / (1.0 - encode.FIELD_THRESHOLD)
            margin = min(margin, abs(strength))
            if strength > 0.0:
                strengths[f * n_fields + m] = strength
    return _latencies(strengths, window, margin)


def lines_code(x, features, threshold, window):
    """Return the same for one line a feature."""
    strengths, margin = {}, math.inf
    for f, feature in enumerate(features):
        if is_masked(x[f]) or not feature.high > feature.low:
            continue
        intensity = np.clip((x[f] - feature.low) / (feature.high - feature.low), 0.0, 1.0)
        strength = (intensity - threshold) / (1.0 - threshold)
        margin = min(margin, abs(strength))
        if strength > 0.0:
            strengths[f] = strength
    return _latencies(strengths, window, margin)


def _latencies(strengths, window, margin):
    spikes = []
    for line, strength in strengths.items():
        place = (1.0 - strength) * encode.N_SLOTS
        slot = min(math.floor(place), encode.N_SLOTS - 1)
        if 1e-12 < place < encode.N_SLOTS - 1e-12:
            margin = min(margin, abs(place - round(place)))
        spikes.append((np.float32(window * slot / encode.N_SLOTS), line))
    return sorted(spikes), margin


# The rule


def hadamard(n):
    """Return the Hadamard matrix of Sylvester."""
    matrix = np.ones((1, 1))
    while len(matrix) < n:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def projector(others, floor):
    """Return the n x n matrix that takes away a ridge regression on the rows of `others`."""
    c = np.asarray(others, np.float64).T
    n, k = c.shape
    return np.eye(n) - c @ np.linalg.solve(c.T @ c + floor * np.eye(k), c.T)


def project_trace(x, directions, rank, cluster, ridge):
    """Return the trace without its part in the rows of clusters other than `cluster`."""
    rows = np.asarray(directions, np.float64)
    floor = ridge * (rows**2).sum() / len(rows) + 1e-9
    others = np.delete(rows, range(cluster * rank, (cluster + 1) * rank), axis=0)
    return projector(others, floor) @ x


def choose_cluster(x, means, n_clusters):
    if not np.any(x):
        return -1
    cosines = [m @ x / np.linalg.norm(m) / np.linalg.norm(x) if np.any(m) else -1.0 for m in means]
    if (not cosines or max(cosines) < project.RECRUIT_BELOW) and len(means) < n_clusters:
        return len(means)
    return int(np.argmax(cosines))


def learn_directions(x, rows, rate):
    """Return the moved rows of one cluster."""
    rows = np.array(rows, np.float64)
    rows[0] += rate * (x - rows[0])
    rest = x - rows[0]
    for r in range(1, len(rows)):
        old = rows[r].copy()
        sign = 1.0 if old @ rest >= 0.0 else -1.0
        rows[r] = old + rate * (sign * rest - old)
        if old @ old > 1e-12:
            rest = rest - (old @ rest) / (old @ old) * old
    return rows


def update_weights(w, x, credit, rate, limit):
    """Return the weights after a step, columns longer than their limit scaled back to it."""
    w = w - rate * np.outer(x, credit)
    norms = np.linalg.norm(w, axis=0)
    return w * np.where(norms > limit, limit / np.maximum(norms, 1e-300), 1.0)


def adapt_thresholds(threshold, fired, rate):
    return np.maximum(threshold + rate * ((np.asarray(fired) > 0) - update.TARGET_RATE), 0.1)


def learn_feedback(feedback, h, noise, change, size, rate, sign):
    """Return the feedback after one normalised least-mean-squares step of change on sign * h * noise."""
    regressor = sign * h * noise
    rest = change - regressor @ feedback
    return feedback + rate * np.outer(regressor, rest) / (size**2 * (1.0 + rate * (h @ h)))


# The readout


def recursive_update(p, w, x, target, leak, prior, is_open):
    """Return projector and weights after one step of leaky recursive least squares."""
    n = len(x)
    k = p @ x / (1.0 + x @ p @ x)
    w = w + np.outer(k, np.where(is_open, target - x @ w, 0.0))
    return (1.0 - leak) * (p - np.outer(k, x @ p)) + leak * prior * np.eye(n), w


def delta_update(w, x, error, rate):
    return w - rate * np.outer(x, error) / (1.0 + x @ x)


def stack_update(p, stack, members, target, prior):
    """Return projector and stack; `members` is (members, classes), one observation a class."""
    for outputs, wanted in zip(members.T, target, strict=True):
        k = p @ outputs / (1.0 + outputs @ p @ outputs)
        stack = stack + k * (wanted - outputs @ stack)
        p = p - np.outer(k, outputs @ p)
    return (1.0 - STACK_LEAK) * p + STACK_LEAK * prior * np.eye(len(stack)), stack


# The gate


def any_dormant(counts, last_seen, n_seen):
    """Return whether a class that is known is away for longer than chance explains."""
    for count, last in zip(counts, last_seen, strict=True):
        absence = n_seen - last
        if gate.DORMANT_AFTER <= count < n_seen and absence >= gate.DORMANT_ABSENCE:
            share = count / n_seen
            if absence * math.log(1.0 - share) < gate.DORMANT_ODDS:
                return True
    return False


def newness_moments(moments, slow, fast, rate):
    """Return the moments after one more pair of logarithms; deviations are from the means before it."""
    slow_mean, fast_mean = moments[:2]
    a, b = slow - slow_mean, fast - fast_mean
    return (1 - rate) * moments + rate * np.array([slow, fast, a * a, b * b, a * b])


def newness(moments, slow, fast):
    """Return the standardised residual of a linear regression of the fast member's logarithm on the slow one's."""
    slow_mean, fast_mean, slow_variance, fast_variance, covariance = moments
    slope = covariance / slow_variance if slow_variance else 0.0
    residual = (fast - fast_mean) - slope * (slow - slow_mean)
    return residual / math.sqrt(max(fast_variance - slope * covariance, gate.LEAST_VARIANCE))


def openness(new, dormant, retention):
    """Return the logistic function of newness above its threshold."""
    threshold = (1 - retention) * (gate.DORMANT_THRESHOLD if dormant else gate.THRESHOLD)
    return 1 / (1 + math.exp(min((threshold - new) / gate.SOFTNESS, 700)))


# Recall


def recall_weights(weights, chances, share, back):
    """Return the weights after a label: Bayes' rule, then one step of the Markov chain; weight 0 stays out."""
    posterior = weights * chances / (weights @ chances)
    speaks = posterior > 0
    n = len(weights)
    chain = np.eye(n)  # from row to column
    for e in range(1, n):
        if speaks[e]:
            chain[0, 0] -= share
            chain[0, e] = share
            chain[e, e], chain[e, 0] = 1 - back, back
    return posterior @ chain


def one_map(stack, traces, linear, capacity, first):
    """Return the readout as one matrix (inputs, classes); `traces` and `linear` are the members' side by side."""
    n_inputs = len(traces)
    padded = np.vstack([np.zeros((first, linear.shape[1])), linear])[:n_inputs]
    members = np.hstack([traces, padded]).reshape(n_inputs, len(stack), capacity)
    return np.einsum("m,jmc->jc", stack, members)


def softmax(scores):
    e = np.exp(scores - np.max(scores))
    return e / e.sum()


def log_loss(scores, label, sharpness):
    return -math.log(softmax(sharpness * np.asarray(scores))[label])
