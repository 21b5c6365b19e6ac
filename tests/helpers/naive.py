"""Slow, plain float64 twins of the learning engine.

Textbook formulas, full matrices, nothing clever.
"""

import math

import numpy as np

from loco_stream.learner import encoding as encode
from loco_stream.learner.plasticity import prototypes
from loco_stream.learner.plasticity import weight_bounds as restraint
from loco_stream.learner.readout import gate, least_squares, log_loss, mixture, naive_bayes
from loco_stream.learner.readout.neighbors import LEAST, SOFTNESS
from loco_stream.learner.readout.stack import STACK_LEAK
from loco_stream.neurons.spikes import LEAK_SHARE, MOST_SPIKES
from loco_stream.options import HEAD_START, LASTING, NEAREST, NOISES, POWERS

# Encoding


class Feature:
    """Running statistics of one feature: all values are kept until it settles."""

    def __init__(self):
        self.values = []
        self.low = math.inf
        self.high = -math.inf
        self.beyond = 0.0
        self.spread = None  # set when a settled constant feature moves

    @property
    def moments(self):
        """Return mean and population variance."""
        if not self.values:
            return 0.0, 0.0
        variance = np.mean((np.array(self.values) - np.mean(self.values)) ** 2)
        return float(np.mean(self.values)), float(variance if self.spread is None else self.spread)

    def scale(self, value):
        """Return standard deviations from the mean; beyond the clip their logarithm."""
        mean, variance = self.moments
        if is_masked(value) or variance == 0.0:
            return 0.0
        z = (value - mean) / math.sqrt(variance)
        size = abs(z)
        return (
            z
            if size <= encode.CLIP
            else math.copysign(encode.CLIP + math.log(size / encode.CLIP), z)
        )

    @property
    def span(self):
        """Return the range in standard deviations."""
        return self.scale(self.high) - self.scale(self.low) if self.values else 0.0

    def intensity(self, value):
        """Return the value's place in the running range."""
        if is_masked(value) or not self.high > self.low:
            return 0.0
        return float(np.clip((value - self.low) / (self.high - self.low), 0.0, 1.0))

    def take(self, value, clipped=None, reopen=encode.REOPEN):
        """Take a value in; returns whether it was masked."""
        if is_masked(value):
            return True
        clipped = abs(self.scale(value)) >= encode.CLIP if clipped is None else clipped
        self.low = min(self.low, value)
        self.high = max(self.high, value)
        mean, variance = self.moments
        if len(self.values) < encode.SETTLE:
            self.values.append(value)
        elif variance == 0.0:
            self.spread = (value - mean) ** 2
        else:
            self.beyond += encode.FADE * (clipped - self.beyond)
            if self.beyond > reopen:
                self.values = [value]
                self.low = value
                self.high = value
                self.beyond = 0.0
                self.spread = None
        return False


def is_masked(value):
    return not (math.isfinite(value) and abs(value) <= encode.LARGEST)


def fields_code(x, scaled, n_fields):
    """Return the activation of every field above its threshold, rescaled to [0, 1].

    0 where masked.
    """
    centres = np.linspace(-encode.FIELD_RANGE, encode.FIELD_RANGE, n_fields)
    width = encode.FIELD_WIDTH * (centres[1] - centres[0])
    place = np.clip(np.asarray(scaled, float), -encode.FIELD_RANGE, encode.FIELD_RANGE)
    activation = np.exp(-0.5 * ((place[:, None] - centres) / width) ** 2)
    lines = np.maximum((activation - encode.FIELD_THRESHOLD) / (1.0 - encode.FIELD_THRESHOLD), 0.0)
    return (lines * [[not is_masked(value)] for value in x]).ravel()


# Neurons in a window


def level(drive, window, tau):
    """Return where the membrane settles under a drive in thresholds a window."""
    return drive * tau / window + LEAK_SHARE


def lif_times(drive, window, tau):
    """Return when a leaky neuron fires that starts again from 0 after each spike."""
    current = level(drive, window, tau)
    if current <= 1.0:
        return np.zeros(0)
    period = -tau * math.log(1.0 - 1.0 / current)
    times = period * np.arange(1, MOST_SPIKES + 1)
    return times[times <= window]


def trace(times, window, tau_trace):
    """Return the sum over spikes of 2 (exp(-s / tau) - exp(-2 s / tau)), `s` ms after each."""
    since = window - np.asarray(times)
    return float(2.0 * (np.exp(-since / tau_trace) - np.exp(-2.0 * since / tau_trace)).sum())


# The rule


def hadamard(n):
    """Return the Hadamard matrix of Sylvester."""
    matrix = np.ones((1, 1))
    while len(matrix) < n:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def blocks_of(n, block):
    return [slice(start, min(start + block, n)) for start in range(0, n, block)]


def full(projector, block):
    """Return the whole matrix of a projector that is stored as blocks along the diagonal, and zeros elsewhere."""
    n = len(projector)
    matrix = np.zeros((n, n))
    for part in blocks_of(n, block):
        matrix[part, part] = projector[part, : part.stop - part.start]
    return matrix


def change_projector(p, x, block, power, orthogonality, leak):
    """Return P after an input.

    Each block that it reaches loses it and drifts back to the identity.
    """
    p = p.copy()
    for part in blocks_of(len(x), block):
        if not x[part].any():
            continue
        h = p[part, part] @ x[part]
        p[part, part] -= orthogonality * np.outer(h, h) / (power + x[part] @ h)
        p[part, part] += leak * (np.eye(len(h)) - p[part, part])
    return p


def change_weights(w, h, credit, rate, gain, power, energy, farthest):
    """Return the weights after one step along the projected input h, or that of each synapse.

    `energy` is x'h.
    """
    move = rate * energy / (power + energy) * np.abs(credit).max()
    rate *= min(1.0, farthest / max(move, 1e-300))
    return w - rate / gain * np.reshape(h, (len(w), -1)) * credit / (power + energy)


def restrained(w, plastic, n_seen):
    """Return the weights when the neuron whose turn it is, of the share that is plastic, was kept within bounds."""
    w, n = w.copy(), math.ceil(plastic * w.shape[1])
    column = w[:, n_seen % n - n]  # a view
    column -= max(column.mean() - restraint.STEADY / math.sqrt(len(w)), 0.0)
    column *= min(1.0, restraint.LONGEST / np.linalg.norm(column))
    return w


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
    if (not cosines or max(cosines) < prototypes.RECRUIT_BELOW) and len(means) < n_clusters:
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


def learn_feedback(feedback, traces, noise, change, size, rate, n_learned):
    """Return the feedback after one normalised least-mean-squares step of the change on the noise of who fired."""
    regressor = noise * (traces > 0)
    rest = change - regressor @ feedback
    step = rate * np.outer(regressor, rest) / (size**2 * (1.0 + rate * (traces > 0).sum()))
    step[n_learned:] = 0.0
    return feedback + step


def learn_from_loss(feedback, traces, noise, rise, error, size, rate, least):
    """Return the feedback after one normalised least-mean-squares step of the loss's rise on noise times error."""
    regressor = np.outer(noise * (traces > 0), error)
    rest = rise - np.sum(regressor * feedback)
    return feedback + rate * rest * regressor / (
        size**2 * (least + error @ error) * (1.0 + rate * (traces > 0).sum())
    )


def settle(power, gain, weighted, n_seen, target):
    """Return a layer's mean square drive after a row, and its gain, which stands while there was none."""
    power = (n_seen * power + np.mean(np.square(weighted))) / (n_seen + 1)
    return power, target / math.sqrt(power) if power > 0.0 else gain


# The readout


def softmax(scores):
    e = np.exp(np.asarray(scores, float) - np.max(scores))
    return e / e.sum()


def loss(scores, target, regression):
    """Return half the squared error, or the cross entropy of target and softmax."""
    if regression:
        return 0.5 * float((scores[0] - target[0]) ** 2)
    return float(-(target * np.log(softmax(scores))).sum())


def residuals(target, squares, logits, last_seen, n_seen, leak):
    """Return what the two sets of outputs of a member lack.

    None stands for no second loss or no classes.
    """
    open_ = np.ones(len(target), bool)
    if last_seen is not None and leak >= LASTING:
        open_ = n_seen - last_seen < least_squares.RECENT_SAMPLES
    lack = [np.where(open_, target - squares, 0.0)]
    if logits is not None:
        lack.append(np.where(open_, least_squares.LOG_LOSS_STEP * (target - softmax(logits)), 0.0))
    return lack


def recursive_update(p, weights, x, residual, leak, prior):
    """Return projector and all sets of weights after one step of leaky recursive least squares."""
    k = p @ x / (1.0 + x @ p @ x)
    p = (1.0 - leak) * (p - np.outer(k, x @ p)) + leak * prior * np.eye(len(x))
    return p, [w + np.outer(k, lack) for w, lack in zip(weights, residual, strict=True)]


def delta_update(w, x, error, rate):
    return w - rate * np.outer(x, error) / (1.0 + x @ x)


def logistic_update(p, w, x, proba, target):
    """Return projector and weights after one recursive step of logistic regression."""
    curvature = np.mean(proba * (1.0 - proba))
    k = p @ x
    scale = 1.0 / (1.0 + curvature * (x @ k))
    return p - curvature * scale * np.outer(k, k), w + scale * np.outer(k, target - proba)


def stack_update(p, stack, members, target, prior, share=1.0):
    """Return projector and stack.

    `members` is (members, classes), `share` of an observation a class.
    """
    for outputs, wanted in zip(members.T, target, strict=True):
        k = p @ outputs / (1.0 / share + outputs @ p @ outputs)
        stack = stack + k * (wanted - outputs @ stack)
        p = p - np.outer(k, outputs @ p)
    leak = share * STACK_LEAK
    return (1.0 - leak) * p + leak * prior * np.eye(len(stack)), stack


def sharpened(n_blocks, n_says=0):
    """Return by how much each block of outputs counts before its weight.

    Least squares, then log-loss; says last.
    """
    squares = (np.arange(n_blocks) % 2 == 0) & (np.arange(n_blocks) < n_blocks - n_says)
    return np.where(squares, log_loss.SHARPNESS, 1.0)


def log_stack_update(weights, powers, blocks, error, n_says=0, share=1.0):
    """Return weights and mean squares after `share` of a normalised gradient step.

    `blocks` is (blocks, classes).
    """
    slopes = sharpened(len(blocks), n_says) * (blocks @ error)
    powers = powers + share * log_loss.STACK_FADE * (slopes**2 - powers)
    return weights - share * log_loss.STACK_RATE * slopes / np.sqrt(powers), powers


def mix(evidence, experts):
    """Return the mean of the experts' probabilities, weighted by their likelihood."""
    return softmax(evidence) @ experts


def judge(evidence, experts, label, n_seen, share=1.0, prior=0.0):
    n = n_seen + 1
    fade = min(mixture.FADE, n / (n + mixture.EARLY))
    kept = 1.0 - share * (1.0 - fade)
    return (
        kept * evidence
        + (1.0 - kept) * prior
        + share * np.log(np.maximum(experts[:, label], mixture.LEAST))
    )


def corrections(proba):
    """Return the probabilities (powers * noises, classes) under every correction."""
    raised = [proba**power / (proba**power).sum() for power in POWERS]
    return np.array([(1.0 - noise) * p + noise / len(proba) for p in raised for noise in NOISES])


def no_correction():
    """Return the log-odds of every correction at the start."""
    start = np.zeros((len(POWERS), len(NOISES)))
    start[POWERS.index(1.0), NOISES.index(0.0)] = HEAD_START
    return start.ravel()


def level_unknown(scores, n_known):
    lowest = scores[:n_known].min() if n_known else 0.0
    return np.where(np.arange(len(scores)) < n_known, scores, lowest)


class Gaussian:
    """What naive Bayes knows of one class: rows, mean and mean square deviation of each feature."""

    def __init__(self, n_features):
        self.n = 0
        self.mean = np.zeros(n_features)
        self.square = np.zeros(n_features)

    @property
    def variance(self):
        """That of the rows and of so many with variance 1."""
        return (self.n * self.square + naive_bayes.PRIOR) / (self.n + naive_bayes.PRIOR)

    def log_density(self, z):
        rest = np.clip(z, -naive_bayes.REACH, naive_bayes.REACH) - self.mean
        return -0.5 * np.sum(rest**2 / self.variance + np.log(self.variance))

    def learn(self, z):
        self.n = min(self.n + 1, naive_bayes.MEMORY)
        rest = np.clip(z, -naive_bayes.REACH, naive_bayes.REACH) - self.mean
        self.mean = self.mean + rest / (self.n + 1)
        self.square = self.square + (rest**2 * self.n / (self.n + 1) - self.square) / self.n


# Neighbours


def running_range(values, size):
    """Return the running range of values, the latest last.

    One outlier doubles it, and it shrinks slowly.
    """
    low = high = values[0]
    for value in values[1:]:
        span = high - low
        low = low + 0.5 * span / size
        high = high - 0.5 * span / size
        if span > 0:
            value = np.clip(value, low - span, high + span)
        low = min(low, value)
        high = max(high, value)
    return low, high


def neighbors(x, rows, spans, most=NEAREST):
    """Return the places of the nearest rows, at most so many, and their votes."""
    counts = ~np.isnan(x) & (spans > 0)
    squares = ((((rows - x) / np.where(spans > 0, spans, 1.0))[:, counts]) ** 2).sum(axis=1)
    places = np.argsort(squares, kind="stable")[:most]
    if len(places) == 0 or squares[places[-1]] == 0:
        return places, np.ones(len(places))
    furthest = squares[places[-1]]
    return places, furthest / (squares[places] + SOFTNESS * furthest)


def said_classes(labels, votes, n_classes):
    """Return the centred logarithm of each class's share of the votes."""
    if len(labels) == 0:
        return np.zeros(n_classes)
    shares = np.bincount(labels, votes, n_classes) / votes.sum()
    logs = np.log(np.maximum(shares, LEAST))
    return logs - logs.mean()


# The gate


def dormancy(counts, last_seen, n_seen, rows_a_draw=1.0):
    """Return whether hidden layers stand still, and which known classes are away for longer than chance explains."""
    guarded = False
    dormant = np.zeros(len(counts))
    for c, (count, last) in enumerate(zip(counts, last_seen, strict=True)):
        absence = (n_seen - last) / rows_a_draw
        if not gate.DORMANT_AFTER <= count < n_seen or absence < gate.GUARD_ABSENCE:
            continue
        if (1.0 - count / n_seen) ** absence < math.exp(gate.DORMANT_ODDS):
            guarded = True
            dormant[c] = absence >= gate.GATE_ABSENCE
    return guarded, dormant


def newness_moments(moments, slow, fast, rate):
    """Return the moments after one more pair of logarithms.

    Deviations are from the means before it.
    """
    slow_mean, fast_mean = moments[:2]
    a = slow - slow_mean
    b = fast - fast_mean
    return (1 - rate) * moments + rate * np.array([slow, fast, a * a, b * b, a * b])


def newness(moments, slow, fast):
    """Return the standardised residual of a linear regression of the fast member's logarithm on the slow one's."""
    slow_mean, fast_mean, slow_variance, fast_variance, covariance = moments
    slope = covariance / slow_variance if slow_variance else 0.0
    residual = (fast - fast_mean) - slope * (slow - slow_mean)
    return residual / math.sqrt(max(fast_variance - slope * covariance, gate.LEAST_VARIANCE))


def lead(slow, dormant):
    """Return by how much the best dormant class leads the best of the others."""
    asleep = slow[dormant > 0]
    awake = slow[dormant == 0]
    return asleep.max() - awake.max() if len(asleep) and len(awake) else 0.0


def lead_moments(leads):
    """Return mean and variance of a list of leads, the latest fading slowest."""
    mean = variance = 0.0
    for n, value in enumerate(leads, 1):
        rate = max(gate.FADE, 1.0 / n)
        mean, before = (1 - rate) * mean + rate * value, mean
        variance = (1 - rate) * (variance + rate * (value - before) ** 2)
    return mean, variance


def openness(evidence, dormant, retention):
    """Return the logistic function of the evidence above its threshold."""
    threshold = (1 - retention) * (gate.DORMANT_THRESHOLD if dormant else gate.THRESHOLD)
    return 1 / (1 + math.exp(min((threshold - evidence) / gate.SOFTNESS, 700)))


# Recall


def recall_weights(weights, chances, share, back):
    """Return the weights after a label: Bayes' rule, then one step of the Markov chain.

    Weight 0 stays out.
    """
    posterior = weights * chances / (weights @ chances)
    speaks = posterior > 0
    n = len(weights)
    chain = np.eye(n)  # from row to column
    for e in range(1, n):
        if speaks[e]:
            chain[0, 0] -= share
            chain[0, e] = share
            chain[e, e] = 1 - back
            chain[e, 0] = back
    return posterior @ chain


def one_map(weights, traces, linear, capacity, first):
    """Return the readout as one matrix (inputs, classes).

    `traces` and `linear` are the members' side by side.
    """
    n_inputs = len(traces)
    padded = np.vstack([np.zeros((first, linear.shape[1])), linear])[:n_inputs]
    members = np.hstack([traces, padded]).reshape(n_inputs, len(weights), capacity)
    return np.einsum("m,jmc->jc", weights, members)


def median_gap(gaps):
    """Return the median of the first gaps, by steps of its logarithm that shrink and never go beyond the gap."""
    median = gaps[0]
    for n, gap in enumerate(gaps[1:300], start=2):
        median *= math.exp(np.clip(math.log(gap / median), -2.0 / n, 2.0 / n))
    return median


def gaps_between(last, t, gaps):
    """Return the time from `last` to `t` in median gaps.

    1 where a time is missing or runs backwards.
    """
    if math.isnan(last) or math.isnan(t) or t < last:
        return 1.0
    if not gaps:
        return float(t > last)
    return (t - last) / median_gap(gaps)
