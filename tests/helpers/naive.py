"""Slow, plain float64 twins of the learner's kernels.

Textbook formulas and full matrices.
"""

import math

import numpy as np

from loco_stream._fillers import FILLERS
from loco_stream._learner import encoding, scale_guard
from loco_stream._learner.plasticity import weight_bounds
from loco_stream._learner.plasticity.projections import clusters
from loco_stream._learner.readout import calibration, mixture, recursive_steps, stacks
from loco_stream._learner.readout.experts import _search, naive_bayes
from loco_stream._learner.readout.softmax import SHARPNESS
from loco_stream._numbers import LARGEST
from loco_stream.neurons._spikes import LEAK_SHARE, MOST_SPIKES

# Encoding


class Scale:
    """Mean and deviation of values: all are kept until the scale settles."""

    def __init__(self, values=()):
        self.values = list(values)
        self.low = min(values, default=math.inf)
        self.high = max(values, default=-math.inf)
        self.later_variance = None  # set when a settled constant feature moves

    @property
    def statistics(self):
        """Return mean and population variance."""
        if not self.values:
            return 0.0, 0.0
        mean = float(np.mean(self.values))
        variance = float(np.mean((np.array(self.values) - mean) ** 2))
        return mean, variance if self.later_variance is None else float(self.later_variance)

    @property
    def has_settled(self):
        return len(self.values) >= encoding.SETTLE

    def scale(self, value, tail=encoding.TAIL):
        """Return standard deviations from the mean; beyond the clip their logarithm."""
        mean, variance = self.statistics
        if is_masked(value) or variance == 0.0:
            return 0.0
        z = (value - mean) / math.sqrt(variance)
        clip = encoding.CLIP
        return z if abs(z) <= clip else math.copysign(clip + tail * math.log(abs(z) / clip), z)

    def widen(self, value):
        self.low = min(self.low, value)
        self.high = max(self.high, value)

    def take(self, value):
        self.widen(value)
        mean, variance = self.statistics
        if not self.has_settled:
            self.values.append(value)
        elif variance == 0.0:
            self.later_variance = (value - mean) ** 2

    def judge(self, expected):
        """Return "sound", "wide" or "moved" for the range in which values are expected."""
        mean, variance = self.statistics
        low, high = expected
        width = (high - low) / (2.0 * scale_guard.REACH + 1.0)
        if math.sqrt(variance) > scale_guard.NARROW * width:
            return "wide"
        is_near = abs(0.5 * (low + high) - mean) <= 3.0 * math.sqrt(variance) + width
        return "sound" if is_near else "moved"


class Target(Scale):
    """Running statistics of a regression's target."""

    def __init__(self, values=()):
        super().__init__(values)
        self.beyond = 0.0

    def learn(self, value, clipped, reopen):
        """Learn a value; return whether values that stand apart were left out of the first ones."""
        _, variance = self.statistics
        may_reopen = self.has_settled and variance > 0.0
        self.take(value)
        if len(self.values) == scale_guard.BLOCK:
            low, high = expected_range(self.values) or (-math.inf, math.inf)
            kept = [v for v in self.values if low <= v <= high]
            if len(kept) < scale_guard.BLOCK:
                Target.__init__(self, kept)
                return True
        if may_reopen:
            self.beyond += encoding.RATE * (clipped - self.beyond)
            if self.beyond > reopen:
                Target.__init__(self, [value])
        return False


class Feature:
    """The robust scale of one feature."""

    def __init__(self):
        self.current = Scale()
        self.kept = None
        self.beyond = 0.0
        self.recent = []
        self.expected = (-math.inf, math.inf)
        self.n_fillers = 0
        self.n_wide = 0

    @property
    def statistics(self):
        return self.current.statistics

    def is_expected(self, value):
        return self.expected[0] <= value <= self.expected[1]

    def is_missing(self, value):
        return is_masked(value) or (is_filler(value) and not self.is_expected(value))

    def scale(self, value, tail=encoding.TAIL):
        return 0.0 if self.is_missing(value) else self.current.scale(value, tail)

    @property
    def bounded_range(self):
        """Return the range in standard deviations."""
        scale = self.current
        return scale.scale(scale.high) - scale.scale(scale.low) if scale.values else 0.0

    def intensity(self, value):
        """Return the value's position in the running range."""
        low = self.current.low
        high = self.current.high
        if self.is_missing(value) or not high > low:
            return 0.0
        return float(np.clip((value - low) / (high - low), 0.0, 1.0))

    def learn(self, value):
        """Take a value into the statistics; return whether it was missing."""
        if self.is_missing(value):
            self.n_fillers += not is_masked(value)
            return True
        # the kernel compares what `scale` wrote, a float32
        clipped = abs(np.float32(self.scale(value))) >= encoding.CLIP
        had_settled = self.current.has_settled
        if self.is_expected(value):
            self.current.take(value)
        self.recent.append(value)
        if had_settled and self.statistics[1] > 0.0:
            self.beyond += encoding.RATE * (clipped - self.beyond)
            if self.beyond > encoding.REOPEN:
                self.beyond = 0.0
                if self.look():
                    self.replace([value])
                return False
        if len(self.recent) % scale_guard.BLOCK == 0 and self.look():
            self.judge()
        return False

    def look(self):
        """Set the expected range from the last values; return whether they tell."""
        block = self.recent[-scale_guard.BLOCK :]
        others = [value for value in block if not is_filler(value)]
        if scale_guard.BLOCK / 2 <= len(others) < scale_guard.BLOCK:
            expected = expected_range(others)
            fillers = [value for value in block if is_filler(value)]
            if expected and not any(expected[0] <= value <= expected[1] for value in fillers):
                self.expected = expected
                return True
        expected = expected_range(block)
        self.expected = expected or self.expected
        return expected is not None

    def judge(self):
        block = self.recent[-scale_guard.BLOCK :]
        if len(self.recent) == len(self.current.values) == scale_guard.BLOCK:
            usual = [value for value in block if self.is_expected(value)]
            if len(usual) < len(block):
                self.adopt(usual)
            return
        verdict = self.current.judge(self.expected)
        self.n_wide = self.n_wide + 1 if verdict == "wide" else 0
        if verdict != "sound" and self.kept and self.kept.judge(self.expected) == "sound":
            self.swap()
        elif self.n_wide >= encoding.WIDE_BLOCKS:
            block = self.recent[-scale_guard.BLOCK :]
            self.replace([value for value in block if self.is_expected(value)])

    def replace(self, values):
        fits = self.kept is not None and self.kept.judge(self.expected) == "sound"
        self.swap()
        if not fits:
            self.adopt(values)

    def swap(self):
        self.current, self.kept = self.kept or Scale(), self.current
        self.n_wide = 0
        self.beyond = 0.0

    def adopt(self, values):
        self.current = Scale(values)
        self.beyond = 0.0


def text():
    """Return the feature of a text, 1 or masked, whose scale leaves a 1 as it is."""
    feature = Feature()
    feature.current = Scale([-1.0, 1.0] * int(encoding.SETTLE / 2.0))
    feature.current.low = 0.0
    return feature


def is_filler(value):
    size = abs(value)
    return size in FILLERS or size in (float(np.float32(1e20)), float(np.float32(1e30)))


def expected_range(values):
    """Return where further values are expected, or None if most of these are equal."""
    ordered = sorted(values)
    trim = min(scale_guard.TRIM, (len(ordered) - 1) // 2)
    while trim > 1 and ordered[trim] == ordered[-1 - trim]:
        trim -= 1
    low = ordered[trim]
    high = ordered[-1 - trim]
    reach = scale_guard.REACH * (high - low)
    return (low - reach, high + reach) if high > low else None


def is_masked(value):
    return not (math.isfinite(value) and abs(value) <= LARGEST)


def encode_fields(x, scaled, n_fields):
    """Return the activation of every field above its threshold, rescaled to [0, 1].

    It is 0 where the value is masked.
    """
    centres = np.linspace(-encoding.FIELD_RANGE, encoding.FIELD_RANGE, n_fields)
    width = encoding.FIELD_WIDTH * (centres[1] - centres[0])
    place = np.clip(np.asarray(scaled, float), -encoding.FIELD_RANGE, encoding.FIELD_RANGE)
    activation = np.exp(-0.5 * ((place[:, None] - centres) / width) ** 2)
    threshold = encoding.FIELD_THRESHOLD
    channels = np.maximum((activation - threshold) / (1.0 - threshold), 0.0)
    return (channels * [[not is_masked(value)] for value in x]).ravel()


# Neurons in a window


def level(drive, window, tau):
    """Return where the membrane settles under a drive in thresholds per window."""
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


def settle_gain(power, gain, weighted, n_seen, target):
    """Return a layer's mean square drive after a row, and its gain, which stays where that is 0."""
    power = (n_seen * power + np.mean(np.square(weighted))) / (n_seen + 1)
    return power, target / math.sqrt(power) if power > 0.0 else gain


# Plasticity


def hadamard(n):
    """Return Sylvester's Hadamard matrix."""
    matrix = np.ones((1, 1))
    while len(matrix) < n:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def blocks_of(n, block):
    return [slice(start, min(start + block, n)) for start in range(0, n, block)]


def full_projector(projector, block):
    """Return the whole matrix of a projector that is stored as blocks along its diagonal."""
    n = len(projector)
    matrix = np.zeros((n, n))
    for part in blocks_of(n, block):
        matrix[part, part] = projector[part, : part.stop - part.start]
    return matrix


def change_projector(p, x, block, power, orthogonality, leak):
    """Return P after an input.

    Each block that it reaches loses its direction and drifts back to the identity.
    """
    p = p.copy()
    for part in blocks_of(len(x), block):
        if not x[part].any():
            continue
        h = p[part, part] @ x[part]
        p[part, part] -= orthogonality * np.outer(h, h) / (power + x[part] @ h)
        p[part, part] += leak * (np.eye(len(h)) - p[part, part])
    return p


def change_weights(w, h, credit, rate, gain, power, energy, max_move):
    """Return the weights after one step along the projected input h, or the h of each synapse.

    `energy` is x'h.
    """
    move = rate * energy / (power + energy) * np.abs(credit).max()
    rate *= min(1.0, max_move / max(move, 1e-300))
    return w - rate / gain * np.reshape(h, (len(w), -1)) * credit / (power + energy)


def bound_neuron(w, plastic, n_seen):
    """Return the weights after the row's neuron, one of the plastic share, was bounded."""
    w = w.copy()
    n = math.ceil(plastic * w.shape[1])
    column = w[:, n_seen % n - n]  # a view
    column -= max(column.mean() - weight_bounds.MAX_CONSTANT / math.sqrt(len(w)), 0.0)
    column *= min(1.0, weight_bounds.MAX_NORM / np.linalg.norm(column))
    return w


def away_from(others, floor):
    """Return the n x n matrix that subtracts a ridge regression on the rows of `others`."""
    c = np.asarray(others, np.float64).T
    n, k = c.shape
    return np.eye(n) - c @ np.linalg.solve(c.T @ c + floor * np.eye(k), c.T)


def remove_other_clusters(x, directions, rank, cluster, ridge):
    """Return the input without its part in the directions of clusters other than `cluster`."""
    rows = np.asarray(directions, np.float64)
    floor = ridge * (rows**2).sum() / len(rows) + 1e-9
    others = np.delete(rows, range(cluster * rank, (cluster + 1) * rank), axis=0)
    return away_from(others, floor) @ x


def choose_cluster(x, means, n_clusters):
    if not np.any(x):
        return -1
    cosines = [m @ x / np.linalg.norm(m) / np.linalg.norm(x) if np.any(m) else -1.0 for m in means]
    if (not cosines or max(cosines) < clusters.RECRUIT_BELOW) and len(means) < n_clusters:
        return len(means)
    return int(np.argmax(cosines))


def learn_directions(x, rows, rate):
    """Return the directions of a cluster after they moved towards an input."""
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
    """Return the feedback after one normalised least-mean-squares step.

    The change of the outputs is regressed on the noise of the neurons that fired.
    """
    regressor = noise * (traces > 0)
    rest = change - regressor @ feedback
    step = rate * np.outer(regressor, rest) / (size**2 * (1.0 + rate * (traces > 0).sum()))
    step[n_learned:] = 0.0
    return feedback + step


def learn_from_loss(feedback, traces, noise, change, error, size, rate, min_squared_error):
    """Return the feedback after one normalised least-mean-squares step.

    The change of the loss is regressed on noise times error.
    """
    regressor = np.outer(noise * (traces > 0), error)
    rest = change - np.sum(regressor * feedback)
    n_firing = (traces > 0).sum()
    scale = size**2 * (min_squared_error + error @ error) * (1.0 + rate * n_firing)
    return feedback + rate * rest * regressor / scale


# Experts


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

    `logits` is None without a second loss, `last_seen` is None without classes.
    """
    learns = np.ones(len(target), bool)
    if last_seen is not None and leak >= recursive_steps.LASTING_LEAK:
        learns = n_seen - last_seen < recursive_steps.RECENT_ROWS
    lack = [np.where(learns, target - squares, 0.0)]
    if logits is not None:
        step = recursive_steps.LOG_LOSS_STEP * (target - softmax(logits))
        lack.append(np.where(learns, step, 0.0))
    return lack


def recursive_update(p, weights, x, residual, leak, prior):
    """Return projector and all sets of weights after one step of leaky recursive least squares."""
    k = p @ x / (1.0 + x @ p @ x)
    p = (1.0 - leak) * (p - np.outer(k, x @ p)) + leak * prior * np.eye(len(x))
    return p, [w + np.outer(k, lack) for w, lack in zip(weights, residual, strict=True)]


def in_blocks(before, after, x, n_joint, size):
    """Return a projector after a step: the late inputs of a row are in blocks of this size.

    Nothing is kept between blocks, and a block that the row does not reach stays as it was.
    """
    place = np.arange(len(x)) - n_joint
    block = np.where(place < 0, -1, place // size)
    reached = np.isin(block, block[x != 0.0]) | (block < 0)
    same = block[:, None] == block
    return np.where(same & reached, after, np.where(same, before, 0.0))


def delta_update(w, x, error, rate):
    return w - rate * np.outer(x, error) / (1.0 + x @ x)


def logistic_update(p, w, x, proba, target):
    """Return projector and weights after one recursive step of logistic regression."""
    curvature = np.mean(proba * (1.0 - proba))
    k = p @ x
    scale = 1.0 / (1.0 + curvature * (x @ k))
    return p - curvature * scale * np.outer(k, k), w + scale * np.outer(k, target - proba)


def level_unknown(scores, n_known):
    """Give classes from `n_known` on the lowest of the known scores."""
    lowest = scores[:n_known].min() if n_known else 0.0
    return np.where(np.arange(len(scores)) < n_known, scores, lowest)


class Gaussian:
    """One class of naive Bayes: rows, and mean and mean squared deviation of each feature."""

    def __init__(self, n_features):
        self.n = 0
        self.mean = np.zeros(n_features)
        self.square = np.zeros(n_features)

    @property
    def variance(self):
        """Return the variance of the rows and of `PRIOR_ROWS` rows of variance 1."""
        prior = naive_bayes.PRIOR_ROWS
        return (self.n * self.square + prior) / (self.n + prior)

    def log_density(self, z):
        rest = np.clip(z, -naive_bayes.CLIP, naive_bayes.CLIP) - self.mean
        return -0.5 * np.sum(rest**2 / self.variance + np.log(self.variance))

    def learn(self, z):
        self.n = min(self.n + 1, naive_bayes.MEMORY_ROWS)
        rest = np.clip(z, -naive_bayes.CLIP, naive_bayes.CLIP) - self.mean
        self.mean = self.mean + rest / (self.n + 1)
        self.square = self.square + (rest**2 * self.n / (self.n + 1) - self.square) / self.n


def running_range(values, size):
    """Return the running range of values, the latest last.

    One outlier at most doubles it, and it shrinks slowly.
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


def nearest(x, rows, ranges, most=_search.NEAREST):
    """Return the positions of the nearest rows, at most so many, and the weight of their votes."""
    counts = ~np.isnan(x) & (ranges > 0)
    squares = ((((rows - x) / np.where(ranges > 0, ranges, 1.0))[:, counts]) ** 2).sum(axis=1)
    places = np.argsort(squares, kind="stable")[:most]
    return places, vote_weights(squares[places])


def vote_weights(squares):
    """Return the weight of each vote by squared distances in ascending order."""
    if len(squares) == 0 or squares[-1] == 0:
        return np.ones(len(squares))
    return squares[-1] / (squares + _search.SOFTNESS * squares[-1])


def vote_classes(labels, votes, n_classes):
    """Return the centred logarithm of each class's share of the votes."""
    if len(labels) == 0:
        return np.zeros(n_classes)
    return centre_logs(np.bincount(labels, votes, n_classes) / votes.sum())


def centre_logs(shares):
    """Return the logarithms of shares, less their mean."""
    logs = np.log(np.maximum(shares, _search.MIN_SHARE))
    return logs - logs.mean()


# Stacks and mixture


def learn_stack(p, stack, members, target, prior, share=1.0):
    """Return projector and stack; each class is `share` of an observation.

    `members` is (members, classes).
    """
    for outputs, wanted in zip(members.T, target, strict=True):
        k = p @ outputs / (1.0 / share + outputs @ p @ outputs)
        stack = stack + k * (wanted - outputs @ stack)
        p = p - np.outer(k, outputs @ p)
    leak = share * stacks.STACK_LEAK
    return (1.0 - leak) * p + leak * prior * np.eye(len(stack)), stack


def sharpness(n_blocks, n_votes=0):
    """Return the factor that turns each block of outputs into log-odds.

    Blocks of least squares and log-loss alternate; the last `n_votes` are log-odds already.
    """
    squares = (np.arange(n_blocks) % 2 == 0) & (np.arange(n_blocks) < n_blocks - n_votes)
    return np.where(squares, SHARPNESS, 1.0)


def learn_log_stack(weights, powers, blocks, error, n_votes=0, share=1.0):
    """Return weights and mean squares after `share` of a normalised gradient step.

    `blocks` is (blocks, classes).
    """
    slopes = sharpness(len(blocks), n_votes) * (blocks @ error)
    powers = powers + share * stacks.POWER_RATE * (slopes**2 - powers)
    return weights - share * stacks.LOG_STACK_RATE * slopes / np.sqrt(powers), powers


def mix(log_weights, opinions):
    """Return the mean of the opinions, weighted by their likelihood."""
    return softmax(log_weights) @ opinions


def learn_mixture(log_weights, opinions, label, n_seen, share=1.0, prior=0.0):
    """Return the log-weights after `share` of a label; they fade towards `prior`."""
    n = n_seen + 1
    decay = min(mixture.DECAY, n / (n + mixture.EARLY))
    kept = 1.0 - share * (1.0 - decay)
    gained = share * np.log(np.maximum(opinions[:, label], mixture.MIN_PROBABILITY))
    return kept * log_weights + (1.0 - kept) * prior + gained


def corrections(proba):
    """Return the probabilities (powers * noises, classes) under every correction."""
    raised = [proba**power / (proba**power).sum() for power in calibration.POWERS]
    noises = calibration.NOISES
    return np.array([(1.0 - noise) * p + noise / len(proba) for p in raised for noise in noises])


def start_corrections():
    """Return the log-odds of every correction at the start."""
    start = np.zeros((len(calibration.POWERS), len(calibration.NOISES)))
    unchanged = calibration.POWERS.index(1.0), calibration.NOISES.index(0.0)
    start[unchanged] = calibration.HEAD_START
    return start.ravel()


# Snapshots


def learn_posterior(posterior, chances, share, back):
    """Return the posterior after a label: Bayes' rule, then one step of the Markov chain.

    A weight of 0 stays 0.
    """
    posterior = posterior * chances / (posterior @ chances)
    in_use = posterior > 0
    n = len(posterior)
    chain = np.eye(n)  # from row to column
    for e in range(1, n):
        if in_use[e]:
            chain[0, 0] -= share
            chain[0, e] = share
            chain[e, e] = 1 - back
            chain[e, 0] = back
    return posterior @ chain


def linear_map(weights, traces, linear, capacity, first):
    """Return the readout as one matrix (inputs, classes).

    `traces` and `linear` hold the weights of the members side by side.
    """
    n_inputs = len(traces)
    padded = np.vstack([np.zeros((first, linear.shape[1])), linear])[:n_inputs]
    members = np.hstack([traces, padded]).reshape(n_inputs, len(weights), capacity)
    return np.einsum("m,jmc->jc", weights, members)


# Context


def median_gap(gaps):
    """Return the running median of the first gaps.

    Its logarithm moves by steps that shrink and never pass the gap. At first it makes a fifth of
    the way to a gap that is far off.
    """
    median = gaps[0]
    for n, gap in enumerate(gaps[1:300], start=2):
        distance = math.log(gap / median)
        is_far = n <= 30 and abs(distance) > 3.0
        most = max(2.0 / n, 0.2 * abs(distance)) if is_far else 2.0 / n
        median *= math.exp(np.clip(distance, -most, most))
    return median


def gaps_between(last, t, gaps):
    """Return the time from `last` to `t` in median gaps.

    It is 1 where a time is missing or runs backwards.
    """
    if math.isnan(last) or math.isnan(t) or t < last:
        return 1.0
    if not gaps:
        return float(t > last)
    return (t - last) / median_gap(gaps)
