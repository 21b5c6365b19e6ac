"""The parts that know classes and values from the whole stream, as formulas on all its rows."""

import math

import numpy as np

from loco_stream import _rng as rng
from loco_stream._compiler.simd.sizes import GROUP
from loco_stream._learner import fixed_layer
from loco_stream._learner.encoding import SETTLE
from loco_stream._learner.readout import dormancy, next_row, next_value, past_rows
from loco_stream._learner.readout.experts import discriminant, recency, transitions
from loco_stream._learner.readout.symmetric import YOUNG
from tests.helpers import naive


class FixedLayer:
    """Random neurons that never learn, behind scales that settle, and a skip connection."""

    def __init__(self, settings, n_features, n_skip):
        self.settings = settings
        n = settings.n_fixed
        spans = (settings.n_means + 1) * n_features
        weights_key = rng.derive_key(settings.seed_key, fixed_layer.WEIGHT_KEY)
        biases_key = rng.derive_key(settings.seed_key, fixed_layer.BIAS_KEY)
        groups_key = rng.derive_key(settings.seed_key, fixed_layer.GROUP_KEY)
        n_reached = fixed_layer.n_reached(settings)
        n_groups = n // GROUP
        drawn = np.zeros((spans, n))
        for row in range(spans):
            span, feature = divmod(row, n_features)
            place = feature * (1 + len(fixed_layer.TIME_CONSTANTS)) + span
            reached = np.arange(n)
            if n_reached < n:
                ranks = np.argsort(rng.normals(groups_key, place * n_groups, n_groups))
                reached = np.flatnonzero(np.isin(reached // GROUP, ranks[: n_reached // GROUP]))
            drawn[row, reached] = rng.normals(weights_key, place * n_reached, n_reached)
        norms = np.linalg.norm(drawn, axis=0)
        self.weights = drawn / np.where(norms > 0.0, norms, 1.0)
        low, high = fixed_layer.BIASES
        self.skip = np.eye(n_skip, n_features)
        for f in range(n_skip if n_skip else n_features, n_features):
            self.skip[f % n_skip, f] = math.copysign(1.0, drawn[f][np.flatnonzero(drawn[f])[0]])
        self.biases = low + (high - low) * rng.uniforms(biases_key, 0, n)
        self.center = np.zeros(n_features)
        self.factor = np.zeros(n_features)
        self.n_values = np.zeros(n_features)
        self.power = fixed_layer.FIRST_POWER[settings.n_fields == 1]
        self.n_rows = fixed_layer.FIRST_ROWS
        self.means = np.zeros((settings.n_means, n_features))
        self.carried = self.means

    def carry(self, gaps):
        """Let the fading means fade over a gap."""
        left = [math.exp(-gaps / tau) for tau in fixed_layer.TIME_CONSTANTS]
        self.carried = self.means * np.array(left[: len(self.means)]).reshape(-1, 1)

    def run(self, x):
        """Return the trace of each neuron, and what the skip connection carries."""
        s = self.settings
        self.code = np.zeros(len(x))
        for f, value in enumerate(x):
            if naive.is_masked(value):
                continue
            z = (value - self.center[f]) * self.factor[f]
            if s.n_fields == 1:
                z = np.clip(z, -1.0, 1.0)
            elif abs(z) > naive.encoding.CLIP:
                z = math.copysign(naive.encoding.CLIP + math.log(abs(z) / naive.encoding.CLIP), z)
            self.code[f] = z / math.sqrt(self.power)
        rises = [1.0 - math.exp(-1.0 / tau) for tau in fixed_layer.TIME_CONSTANTS]
        self.left = self.carried + np.array(rises[: len(self.means)]).reshape(-1, 1) * self.code
        drives = np.concatenate([self.code, *self.left]) @ self.weights
        drives = fixed_layer.GAIN * drives + self.biases
        times = [naive.lif_times(drive, s.window, s.tau) for drive in drives]
        traces = [naive.trace(spikes, s.window, s.tau_trace) for spikes in times]
        return np.concatenate([traces, self.skip @ self.code])

    def keep(self):
        """Keep the fading means for the next row."""
        self.means = self.left

    def settle(self, x, features):
        """Follow the scales of the features, and the power of a row, by values not apart."""
        usual = np.array(
            [naive.is_masked(v) or f.is_expected(v) for v, f in zip(x, features, strict=True)]
        )
        code = self.code[usual]
        if self.n_rows < SETTLE + fixed_layer.FIRST_ROWS and code.any():
            self.n_rows += 1
            mean = (code**2).mean()
            self.power += self.power * (mean - 1.0) / self.n_rows
        for f, (value, feature) in enumerate(zip(x, features, strict=True)):
            mean, variance = feature.statistics
            span = math.sqrt(variance)
            if self.settings.n_fields == 1:
                scale = feature.current
                span = scale.high - scale.low if scale.values else 0.0
            if not usual[f] or naive.is_masked(value):
                continue
            if self.n_values[f] < SETTLE and span > 0.0:
                self.n_values[f] += feature.n_wide == 0
                self.center[f] = mean
                self.factor[f] = 1.0 / span


class Discriminant:
    """Linear discriminant analysis of all rows so far, by a matrix inverse."""

    def __init__(self, settings, n_skip, n_classes):
        self.prior = discriminant.prior_power(settings)
        self.n_inputs = settings.n_fixed + n_skip
        self.rows = [[] for _ in range(n_classes)]
        self.waiting = []
        self.batch = settings.batch
        self.log_likelihoods = np.zeros(len(discriminant.TEMPERATURES))

    def scores(self, z, known):
        """Return the score of each known class."""
        scatter, total = self.scatter()
        precision = np.linalg.inv(scatter)
        counts = np.array([len(rows) for rows in self.rows[:known]])
        freedom = self.n_inputs - self.prior * np.trace(precision)
        scores = np.zeros(known)
        for c in np.flatnonzero(counts):
            mean = np.mean(self.rows[c], axis=0)
            scores[c] = total * (mean @ precision @ z - 0.5 * mean @ precision @ mean)
            scores[c] += 0.5 * freedom / counts[c]
        has_rows = counts > 0
        scores[~has_rows] = scores[has_rows].mean() if has_rows.any() else 0.0
        return scores

    def scatter(self):
        """Return the scatter within classes with the prior, and the rows that it is of."""
        scatter = self.prior * np.eye(self.n_inputs)
        for rows in self.rows:
            if rows:
                rest = np.array(rows) - np.mean(rows, axis=0)
                scatter += rest.T @ rest
        total = self.prior / discriminant.PRIOR_POWER
        total += sum(max(len(rows) - 1, 0) for rows in self.rows)
        return scatter, total

    @property
    def temperature(self):
        return discriminant.TEMPERATURES[int(np.argmax(self.log_likelihoods))]

    def learn(self, z, scores, label, n_seen):
        """Learn a row with these scores, or let it wait."""
        is_first = not self.rows[label]
        if not is_first:
            keep = min(discriminant.DECAY, (n_seen + 1) / (n_seen + 1 + discriminant.EARLY))
            chances = [naive.softmax(t * scores)[label] for t in discriminant.TEMPERATURES]
            losses = np.minimum(-np.log(chances), discriminant.MAX_LOSS)
            self.log_likelihoods = keep * self.log_likelihoods - losses
        self.waiting.append((label, z))
        is_young = len(self.rows[label]) < YOUNG
        if is_first or is_young or len(self.waiting) == self.batch:
            for own, row in self.waiting:
                self.rows[own].append(row)
            self.waiting = []


class PastRows:
    """Recent rows against all rows, as the fixed layer sees them."""

    def __init__(self, discriminant):
        self.discriminant = discriminant
        self.recent = np.zeros(discriminant.n_inputs)
        self.n_rows = 0
        self.direction = None
        self.rests = []
        self.past = 0.0

    def learn(self, z, n_seen):
        """Take a row that the discriminant has just learned."""
        if self.direction is not None:
            self.rests.append(self.direction @ (z - self.recent))
        self.recent = self.recent + max(past_rows.RATE, 1.0 / (n_seen + 1)) * (z - self.recent)
        n_learned = n_seen + 1
        if n_learned >= past_rows.FIRST_TURN and n_learned % past_rows.TURN_EVERY == 0:
            self.turn()

    def turn(self):
        """Point from the mean of all rows to that of the recent ones, in terms of the scatter."""
        known = [rows for rows in self.discriminant.rows if rows]
        mean = np.concatenate(known).mean(axis=0)
        scatter, total = self.discriminant.scatter()
        turned = np.linalg.solve(scatter, self.recent - mean)
        self.direction = turned * math.sqrt(total / (turned @ (self.recent - mean)))
        self.past = self.direction @ mean

    def share(self, z, threshold):
        """Return how likely a row is an earlier one."""
        if len(self.rests) + 1 < past_rows.MIN_ROWS:
            return 0.0
        mean = 0.0
        variance = 1.0
        for n, rest in enumerate(self.rests, 1):
            rate = max(past_rows.MOMENT_RATE, 1.0 / n)
            moved = rest - mean
            mean += rate * moved
            variance += rate * ((1 - rate) * moved**2 - variance)
        deviation = math.sqrt(max(variance, past_rows.MIN_VARIANCE))
        recent = self.direction @ self.recent + mean
        separation = (recent - self.past) / deviation
        if separation <= 0.0:
            return 0.0
        ratio = separation * ((recent - self.direction @ z) / deviation - separation / 2)
        share = 1.0 / (1.0 + math.exp(-(ratio - threshold) / past_rows.SOFTNESS))
        return min(separation, 1.0) * share


class Followers:
    """Fading shares of recent labels, and counts of the label after each label."""

    def __init__(self, n_classes):
        self.shares = np.zeros(n_classes)
        self.counts = [{} for _ in range(n_classes)]
        self.n_labels = np.zeros(n_classes)

    def scores(self, last, known):
        """Return the log-odds by recency, and after the last label."""
        recent = np.log(self.shares[:known] + recency.LEAST)
        if last is None:
            return recent, np.zeros(known)
        counts = np.array([self.counts[last].get(c, 0.0) for c in range(known)])
        return recent, np.log((counts + transitions.FLOOR) / (self.n_labels[:known] + 1.0))

    def learn(self, last, label):
        """Count a label after the last one that was known."""
        self.shares *= 1.0 - recency.RATE
        self.shares[label] += recency.RATE
        if last is not None:
            counts = self.counts[last]
            for c in counts:
                counts[c] *= transitions.DECAY
            counts[label] = counts.get(label, 0.0) + 1.0
        self.n_labels[label] += 1.0


class NextRow:
    """The log-linear stack, and its mixture with the discriminant."""

    def __init__(self):
        self.weights = np.array([1.0, 0.0, 0.0, 0.0])
        self.powers = np.full(4, next_row.FIRST_POWER)
        self.log_weights = np.zeros(2)

    def combine(self, log_odds, in_stream):
        """Return the stack's probabilities from four rows of log-odds; two of them are context."""
        weights = self.weights if in_stream else self.weights * [1.0, 1.0, 0.0, 0.0]
        return naive.softmax(weights @ log_odds)

    def answer(self, log_odds, in_stream):
        """Return the mixture of the stack's probabilities and those of the discriminant."""
        opinions = [self.combine(log_odds, in_stream), naive.softmax(log_odds[1])]
        head_start = np.array([next_row.HEAD_START, 0.0])
        return naive.mix(self.log_weights + head_start, np.array(opinions))

    def learn(self, log_odds, predicted, least, label, n_seen, share):
        """Weigh the stack and the discriminant, and make a share of a gradient step.

        The stack is weighed by what it predicted when a late row came, None where that is unknown;
        every label is granted a least probability.
        """
        proba = self.combine(log_odds, True)
        scored = proba if predicted is None else predicted
        opinions = np.maximum([scored, naive.softmax(log_odds[1])], least)
        self.log_weights = naive.learn_mixture(self.log_weights, opinions, label, n_seen, share)
        slopes = log_odds @ (proba - np.eye(len(proba))[label])
        self.powers = self.powers + share * next_row.POWER_RATE * (slopes**2 - self.powers)
        steps = slopes / np.sqrt(self.powers + next_row.MIN_POWER)
        self.weights = self.weights - share * next_row.RATE * steps


class Dormancy:
    """Which classes are dormant, and the moments of the lead of a dormant one."""

    def __init__(self, n_classes):
        self.gaps = np.zeros(n_classes)
        self.patience = np.full(n_classes, dormancy.MIN_ABSENCE)
        self.leads = []
        self.n_returns = 0

    def count(self, label, n_rows, gap):
        """Count a row of a class that had `n_rows` before, `gap` rows after the last one."""
        if n_rows:
            rate = max(dormancy.GAP_RATE, 1.0 / n_rows)
            self.gaps[label] += rate * (math.log(max(gap, 1.0)) - self.gaps[label])
            patience = dormancy.TIMES * math.exp(self.gaps[label])
            self.patience[label] = max(dormancy.MIN_ABSENCE, patience)

    def marks(self, counts, absences):
        """Return which classes are dormant."""
        return (counts > 0) & (absences > self.patience[: len(counts)])

    def learn(self, scores, dormant, label):
        """Keep the lead on a row of a present class."""
        if dormant[label]:
            self.n_returns += 1
        elif not dormant.all():
            self.leads.append(scores[dormant].max() - scores[~dormant].max())

    @property
    def moments(self):
        """Return mean and variance of the leads, the latest fading slowest."""
        mean = 0.0
        variance = 0.0
        for n, lead in enumerate(self.leads, 1):
            rate = max(dormancy.LEAD_RATE, 1.0 / n)
            rest = lead - mean
            mean += rate * rest
            variance += rate * ((1 - rate) * rest**2 - variance)
        return mean, variance

    def blend(self, proba, scores, dormant, temperature, retention):
        """Return probabilities in which dormant classes answer; None: every row is likely one."""
        shares = naive.softmax(temperature * scores)
        share = shares[dormant].sum()
        if retention is not None:
            if len(self.leads) < dormancy.MIN_LEADS or dormant.all():
                return proba
            mean, variance = self.moments
            lead = scores[dormant].max() - scores[~dormant].max()
            deviation = math.sqrt(max(variance, dormancy.MIN_VARIANCE))
            evidence = (lead - mean) / deviation
            bounds = (1 - retention) * np.array(
                [dormancy.LEAST_ABOVE_MEAN, dormancy.ABOVE_MEAN, dormancy.ABOVE_ZERO]
            )
            threshold = max(bounds[0], min(bounds[1], bounds[2] - mean / deviation))
            threshold += dormancy.RETURN_RISE * math.log(1 + self.n_returns / len(proba))
            share *= 0.5 + 0.5 * math.tanh(0.5 * (evidence - threshold) / dormancy.SOFTNESS)
        return (1 - share) * proba + share * dormant * shares / shares[dormant].sum()


class RecentValues:
    """The answer to the next row of a regression."""

    def __init__(self, n_lags):
        self.n_lags = n_lags
        n_models = len(next_value.FORGETTING)
        n_inputs = n_lags + 2
        self.known = []
        self.weights = np.tile(np.eye(n_inputs)[0], (n_models, 1))
        self.projectors = [np.eye(n_inputs) / next_value.PRIOR for _ in range(n_models)]
        self.errors = np.ones(n_models + 2)
        self.log_weights = np.zeros(n_models + 2)
        self.n_scored = 0

    def outputs(self, ensemble, known, mean, deviation):
        """Return the inputs of the linear models, and the output of each expert."""
        most = next_value.MAX_OUTPUT
        lags = np.zeros(self.n_lags)
        if deviation > 0.0:
            lags[: len(known)] = np.clip((np.array(known) - mean) / deviation, -most, most)
        inputs = np.r_[ensemble, lags, 1.0]
        return inputs, np.r_[ensemble, lags[0], np.clip(self.weights @ inputs, -most, most)]

    def mix(self, ensemble, known, mean, deviation):
        """Return the answer, standardised."""
        if not known:
            return ensemble
        _, outputs = self.outputs(ensemble, known, mean, deviation)
        return naive.softmax(self.log_weights) @ outputs

    def learn(self, ensemble, known, target, mean, deviation):
        """Compare the experts by a standardised target, and fit the linear models."""
        if not known:
            return
        inputs, outputs = self.outputs(ensemble, known, mean, deviation)
        squares = np.minimum((outputs - target) ** 2, next_value.MAX_ERROR)
        self.n_scored += 1
        rate = max(next_value.ERROR_RATE, 1.0 / self.n_scored)
        self.errors = self.errors + rate * (squares - self.errors)
        best = max(self.errors.min(), next_value.MIN_ERROR)
        losses = np.minimum(next_value.RATE * squares / (2 * best), next_value.MAX_STEP)
        self.log_weights = next_value.DECAY * self.log_weights - losses
        for m, forgetting in enumerate(next_value.FORGETTING):
            p = self.projectors[m]
            gain = p @ inputs
            scale = 1 - forgetting + inputs @ gain
            error = outputs[next_value.FIRST_MODEL + m] - target
            self.weights[m] = self.weights[m] - gain / scale * error
            p = (p - np.outer(gain, gain) / scale) / (1 - forgetting)
            most = 4 * len(inputs) / next_value.PRIOR
            self.projectors[m] = p * min(1.0, most / np.trace(p))

    def keep(self, value):
        """Keep a value as the last one."""
        self.known = [value, *self.known][: self.n_lags]
