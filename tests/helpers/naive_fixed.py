"""The parts that know classes and values from the whole stream, as formulas on all its rows."""

import math

import numpy as np

from loco_stream import _rng as rng
from loco_stream._compiler.simd.sizes import GROUP
from loco_stream._learner import fixed_layer
from loco_stream._learner.readout import (
    domain_changes,
    domains,
    dormancy,
    next_row,
    next_value,
    past_rows,
)
from loco_stream._learner.readout.experts import discriminant, recency, transitions
from loco_stream._learner.readout.symmetric import YOUNG
from loco_stream._learner.target_units import TARGET_CLIP
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
            place = feature * (1 + len(fixed_layer.MEAN_CONSTANTS)) + span
            reached = np.arange(n)
            if n_reached < n:
                ranks = np.argsort(rng.normals(groups_key, place * n_groups, n_groups))
                reached = np.flatnonzero(np.isin(reached // GROUP, ranks[: n_reached // GROUP]))
            drawn[row, reached] = rng.normals(weights_key, place * n_reached, n_reached)
        norms = np.linalg.norm(drawn, axis=0)
        self.weights = drawn / np.where(norms > 0.0, norms, 1.0)
        low, high = fixed_layer.BIASES
        self.skip = np.eye(n_skip, n_features)
        for f in range(n_skip if n and n_skip else n_features, n_features):
            self.skip[f % n_skip, f] = math.copysign(1.0, drawn[f][np.flatnonzero(drawn[f])[0]])
        self.biases = low + (high - low) * rng.uniforms(biases_key, 0, n)
        self.center = np.zeros(n_features)
        self.factor = np.zeros(n_features)
        self.n_values = np.zeros(n_features)
        self.power = fixed_layer.FIRST_POWER[settings.n_fields == 1]
        self.n_rows = fixed_layer.FIRST_ROWS
        self.rows = []  # of the sequence so far: gap before, encoded features, traces
        self.before = []

    def carry(self, gaps):
        """Note the gap before a row."""
        self.before = [(gap + gaps, code, traces) for gap, code, traces in self.rows]

    def fading_mean(self, now, which, constant):
        """Return the mean over the rows up to this one, weighted by how long ago they came."""
        values = [now, *(row[which] for row in self.before)]
        weights = [1.0, *(math.exp(-row[0] / constant) for row in self.before)]
        return np.average(values, axis=0, weights=weights)

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
        means = [
            self.fading_mean(self.code, 1, constant)
            for constant in fixed_layer.MEAN_CONSTANTS[: s.n_means]
        ]
        drives = np.concatenate([self.code, *means]) @ self.weights
        drives = fixed_layer.GAIN * drives + self.biases
        times = [naive.lif_times(drive, s.window, s.tau) for drive in drives]
        traces = [naive.trace(spikes, s.window, s.tau_trace) for spikes in times]
        self.traces = np.array(traces)
        outputs = self.traces.copy()
        if s.n_means:
            fading = self.fading_mean(self.traces, 2, fixed_layer.TRACE_CONSTANT)
            outputs[-s.n_fading :] = fading[-s.n_fading :]
        return np.concatenate([outputs, fixed_layer.SKIP_GAIN * self.skip @ self.code])

    def keep(self):
        """Make the row one of those before the next."""
        self.rows = [*self.before, (0.0, self.code, self.traces)]

    def settle(self, x, features, n_seen):
        """Follow the scales of the features, and the power of a row, by values not apart."""
        usual = np.array(
            [naive.is_masked(v) or f.is_expected(v) for v, f in zip(x, features, strict=True)]
        )
        code = self.code[usual]
        if self.n_rows < fixed_layer.SETTLE + fixed_layer.FIRST_ROWS and code.any():
            self.n_rows += 1
            mean = (code**2).mean()
            self.power += self.power * (mean - 1.0) / self.n_rows
        for f, (value, feature) in enumerate(zip(x, features, strict=True)):
            mean, variance = feature.statistics
            span = math.sqrt(variance)
            if self.settings.n_fields == 1:
                scale = feature.current
                span = scale.high - scale.low if scale.values else 0.0
            if feature.n_wide > 0 and n_seen < fixed_layer.REOPENS:
                self.n_values[f] = 0
            if not usual[f] or naive.is_masked(value):
                continue
            if self.n_values[f] < fixed_layer.SETTLE and span > 0.0:
                self.n_values[f] += feature.n_wide == 0
                self.center[f] = mean
                self.factor[f] = 1.0 / span


class Discriminant:
    """Linear discriminant analysis of all rows so far, by a matrix inverse."""

    def __init__(self, settings, n_skip, n_classes):
        self.prior = discriminant.prior_power(n_skip)
        self.n_inputs = settings.n_fixed + n_skip
        self.rows = [[] for _ in range(n_classes)]
        self.waiting = []
        self.batch = settings.batch
        self.log_likelihoods = np.zeros(len(discriminant.TEMPERATURES))
        self.domains = Domains(self)

    def scores(self, z, known):
        """Return the score of each known class: the best one of all domains."""
        return self.domains.best_scores(z, self.own_scores(z, known))

    def own_scores(self, z, known):
        """Return the score of each known class in the current domain."""
        scatter, total = self.scatter()
        precision = np.linalg.inv(scatter)
        counts = np.array([len(rows) for rows in self.rows[:known]])
        scores = np.zeros(known)
        for c in np.flatnonzero(counts):
            mean = np.mean(self.rows[c], axis=0)
            scores[c] = total * (mean @ precision @ z - 0.5 * mean @ precision @ mean)
            scores[c] += 0.5 * self.freedom() / counts[c]
        has_rows = counts > 0
        scores[~has_rows] = scores[has_rows].mean() if has_rows.any() else 0.0
        return scores

    def freedom(self):
        """Return the number of inputs whose scatter is known."""
        return self.n_inputs - self.prior * np.trace(np.linalg.inv(self.scatter()[0]))

    def scatter(self):
        """Return the scatter about the means of all domains with the prior, and its rows."""
        scatter = self.prior * np.eye(self.n_inputs)
        total = self.prior / discriminant.PRIOR_POWER
        for rows in [*self.rows, *self.domains.earlier_rows()]:
            if rows:
                rest = np.array(rows) - np.mean(rows, axis=0)
                scatter += rest.T @ rest
                total += len(rows) - 1
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
                self.domains.learn(row, own)
                self.rows[own].append(row)
            self.waiting = []


class Domains:
    """The rows of each class in each domain, with projections as old as those of the kernel."""

    def __init__(self, lda):
        self.lda = lda
        self.kept = {0: {}}  # rows by class, of each domain
        self.current = 0
        self.places = []  # (domain, class) of each mean that is kept
        self.projected = []  # of each: P times the mean, their product, rows of the scatter
        self.turn = 0
        self.usual_error = 0.0
        self.usual_distance = 0.0
        self.n_errors = 0
        self.gains = []
        self.errors_before = []
        self.forget()

    def forget(self):
        """Forget the recent rows."""
        self.recent = []  # (row, class, rest, gain, log-likelihood ratios by domain)
        self.learned = []
        self.errors = []

    def earlier_rows(self):
        """Return the rows of all means but those of the current domain."""
        earlier = [own for d, own in self.kept.items() if d != self.current]
        return [rows for own in earlier for rows in own.values()]

    def log_likelihood(self, i, z):
        """Return that of a row by the mean in place `i`."""
        projected, offset, total = self.projected[i]
        return total * (projected @ z - 0.5 * offset)

    def rows_of(self, i):
        """Return the rows of the mean in place `i`."""
        domain, c = self.places[i]
        return self.kept[domain][c]

    def earlier_scores(self, z, known):
        """Return the best score of each class in an earlier domain."""
        scores = np.full(known, -np.inf)
        for i, (domain, c) in enumerate(self.places):
            if domain != self.current:
                bias = 0.5 * self.lda.freedom() / len(self.rows_of(i))
                scores[c] = max(scores[c], self.log_likelihood(i, z) + bias)
        return scores

    def best_scores(self, z, own):
        """Return the best score of each class in any domain, and keep the lead of earlier ones."""
        self.scores = self.earlier_scores(z, len(own))
        is_known = np.array([len(rows) > 0 for rows in self.lda.rows[: len(own)]], bool)
        if len(self.kept) == 1:
            return own
        self.lead = self.scores.max() - own[is_known].max(initial=-np.inf)
        best = np.where(is_known, np.maximum(own, self.scores), self.scores)
        return np.where(np.isfinite(best), best, own)

    def learn(self, z, label):
        """Take a row that the discriminant is about to learn."""
        rows = self.lda.rows[label]
        if not rows or len(rows) < discriminant.CLASS_ROWS:
            return
        rest = z - np.mean(rows, axis=0)
        self.learned.append((z, label, rest, np.linalg.solve(self.lda.scatter()[0], rest)))

    def follow(self, label, error):
        """Find the domain that the stream is in, after a row was learned or waits."""
        if len(self.lda.rows[label]) >= discriminant.CLASS_ROWS:
            self.errors.append(error)
        for z, c, rest, gain in self.learned:
            self.recent.append((z, c, rest, gain, self.leads(z, c)))
        self.learned = []
        if len(self.recent) >= domain_changes.N_COMPARED:
            self.decide()
            self.forget()

    def leads(self, z, label):
        """Return by how much each earlier domain fits a row better than the current one."""
        scatter, total = self.lda.scatter()
        mean = np.mean(self.lda.rows[label], axis=0)
        projected = np.linalg.solve(scatter, mean)
        present = total * (projected @ z - 0.5 * projected @ mean)
        return {
            domain: self.log_likelihood(i, z) - present
            for i, (domain, c) in enumerate(self.places)
            if c == label and domain != self.current
            if len(self.rows_of(i)) >= discriminant.CLASS_ROWS
        }

    def distance(self, rests):
        """Return what the recent rows and those before have in common."""
        if not self.gains:
            return 0.0
        total = self.lda.scatter()[1]
        return total * np.mean(self.gains, axis=0) @ np.mean(rests, axis=0)

    def fitting(self):
        """Return the domain that fits the recent rows clearly better, or None."""
        means = {}
        for domain in self.kept:
            leads = [leads[domain] for *_, leads in self.recent if domain in leads]
            if len(leads) >= 0.5 * len(self.recent) and np.mean(leads) > domains.LEAD:
                means[domain] = np.mean(leads)
        if not means:
            return None
        best = max(means, key=means.get)
        rests = [
            z - np.mean(self.kept[best].get(c) or self.lda.rows[c], axis=0)
            for z, c, *_ in self.recent
        ]
        return best if 0.5 * self.distance(rests) <= domains.LEAD else None

    def is_new(self, distance):
        """Return whether the recent rows are of a new domain, by their distance in common."""
        total = self.lda.scatter()[1]
        own = total * np.mean([rest @ gain for _, _, rest, gain, _ in self.recent])
        errors = self.errors + self.errors_before
        error = self.usual_error
        worst = error + domain_changes.WORSE * math.sqrt(error * (1 - error) / len(errors))
        is_far = 0.5 * distance >= domains.LEAD and distance >= domain_changes.PART * own
        rises = distance >= domain_changes.RISE * self.usual_distance
        return is_far and rises and np.mean(errors) > worst

    def decide(self):
        """Stay in the current domain, or go to another."""
        domain = self.fitting()
        distance = self.distance([rest for _, _, rest, *_ in self.recent])
        if domain is None and self.is_new(distance):
            domain = len(self.kept)
        self.gains = [gain for _, _, _, gain, _ in self.recent]
        self.errors_before = self.errors
        if domain is not None:
            self.gains = []
            self.enter(domain)
            return
        self.n_errors += 1
        rate = max(domain_changes.USUAL_RATE, 1.0 / self.n_errors)
        self.usual_error += rate * (np.mean(self.errors) - self.usual_error)
        self.usual_distance += rate * (max(distance, 0.0) - self.usual_distance)
        for _ in range(min(len(self.places), self.lda.batch)):
            self.project(self.turn)
            self.turn = (self.turn + 1) % len(self.places)

    def project(self, i):
        """Compute a projection anew."""
        scatter, total = self.lda.scatter()
        mean = np.mean(self.rows_of(i), axis=0)
        projected = np.linalg.solve(scatter, mean)
        self.projected[i] = (projected, projected @ mean, total)

    def enter(self, domain):
        """Go to a domain, and keep the rows of the one that is left."""
        left = self.current
        self.kept[left] = {c: rows for c, rows in enumerate(self.lda.rows) if rows}
        for c in self.kept[left]:
            if (left, c) not in self.places:
                self.places.append((left, c))
                self.projected.append(None)
            self.project(self.places.index((left, c)))
        self.current = domain
        kept = self.kept.setdefault(domain, {})
        self.lda.rows = [list(kept.get(c, [])) for c in range(len(self.lda.rows))]


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
        self.n_rows = np.zeros(n_classes)
        self.n_labels = np.zeros(n_classes)

    def scores(self, last, known):
        """Return the log-odds by recency, and after the last label."""
        usual = self.n_rows[:known] / max(self.n_rows.sum(), 1.0)
        counts = self.shares[:known] / recency.RATE
        recent = np.log((counts + 1.0) / (counts.sum() * usual + 1.0))
        if last is None:
            return recent, np.zeros(known)
        counts = np.array([self.counts[last].get(c, 0.0) for c in range(known)])
        return recent, np.log((counts + transitions.FLOOR) / (self.n_labels[:known] + 1.0))

    def learn(self, last, label, share=1.0):
        """Count a label, as `share` of an observation, after the last one that was known."""
        self.shares *= 1.0 - recency.RATE
        self.shares[label] += recency.RATE
        if last is not None:
            counts = self.counts[last]
            for c in counts:
                counts[c] *= 1.0 - share * (1.0 - transitions.DECAY)
            counts[label] = counts.get(label, 0.0) + share
        self.n_rows[label] += 1.0
        self.n_labels[label] += share


class NextRow:
    """The log-linear stack, and its mixture with the discriminant."""

    is_context = np.array([False, False, True, True, True])

    def __init__(self):
        self.weights = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
        self.powers = np.full(5, next_row.FIRST_POWER)
        self.log_weights = np.zeros(2)

    def combine(self, log_odds, in_stream):
        """Return the stack's probabilities from rows of log-odds."""
        weights = self.weights if in_stream else self.weights * ~self.is_context
        return naive.softmax(weights @ log_odds)

    def answer(self, log_odds, in_stream):
        """Return the mixture of the stack's probabilities and those of the discriminant."""
        return self.mix(self.combine(log_odds, in_stream), log_odds)

    def mix(self, stack, log_odds):
        """Return the mixture of the probabilities of a stack and those of the discriminant."""
        opinions = [stack, naive.softmax(log_odds[1])]
        head_start = np.array([next_row.HEAD_START, 0.0])
        return naive.mix(self.log_weights + head_start, np.array(opinions))

    def learn(self, log_odds, predicted, label, n_seen, share):
        """Weigh the stack and the discriminant, and make a share of a damped Newton step.

        The stack is weighed by what it predicted when a late row came, None where that is unknown.
        """
        proba = self.combine(log_odds, True)
        scored = proba if predicted is None else predicted
        opinions = np.maximum([scored, naive.softmax(log_odds[1])], next_row.LEAST)
        learned = naive.learn_mixture(self.log_weights, opinions, label, n_seen, share)
        self.log_weights = np.maximum(learned, learned.max() - next_row.LARGEST_LEAD)
        slopes = log_odds @ (proba - np.eye(len(proba))[label])
        curvatures = np.maximum(log_odds**2 @ proba - (log_odds @ proba) ** 2, 0.0)
        self.powers = self.powers + share * next_row.POWER_RATE * (slopes**2 - self.powers)
        context_damping = np.sqrt(self.powers + next_row.MIN_POWER) / next_row.CONTEXT_RATE
        growing = next_row.FIRST_DAMPING + next_row.DAMPING_GROWTH * n_seen
        damping = min(next_row.DAMPING, growing) + slopes**2
        damping = np.where(self.is_context, context_damping, damping)
        steps = slopes / (next_row.CURVED_ROWS * curvatures + damping)
        self.weights = self.weights - share * steps


class Dormancy:
    """Which classes are dormant, and the moments of the lead of a dormant one."""

    def __init__(self, n_classes):
        self.gaps = np.zeros(n_classes)
        self.patience = np.full(n_classes, dormancy.NEVER)
        self.leads = []
        self.n_returns = 0

    def count(self, label, n_rows, gap):
        """Count a row of a class that had `n_rows` before, `gap` rows after the last one."""
        if n_rows:
            rate = max(dormancy.GAP_RATE, 1.0 / n_rows)
            self.gaps[label] += rate * (math.log(max(gap, 1.0)) - self.gaps[label])
            patience = dormancy.TIMES * math.exp(self.gaps[label])
            self.patience[label] = patience

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


def least_squares_step(projector, inputs, forgetting):
    """Return the gain of a row over its scale, and the projector after it."""
    gain = projector @ inputs
    scale = 1 - forgetting + inputs @ gain
    after = (projector - np.outer(gain, gain) / scale) / (1 - forgetting)
    most = 4 * len(inputs) / next_value.PRIOR
    return gain / scale, after * min(1.0, most / np.trace(after))


class RecentValues:
    """The answer to the next row of a regression; with `n_joint` experts that are given."""

    def __init__(self, n_lags, n_joint=0):
        self.n_lags = n_lags
        self.n_joint = n_joint
        self.known = []
        self.learn_anew()
        self.log_weights[:] = 0.0

    def learn_anew(self):
        """Forget everything but the known values, once a value is late."""
        n_models = len(next_value.FORGETTING)
        n_inputs = self.n_lags + 2
        self.weights = np.tile(np.eye(n_inputs)[0], (n_models, 1))
        self.projectors = [np.eye(n_inputs) / next_value.PRIOR for _ in range(n_models)]
        self.errors = np.ones(n_models + 2 + self.n_joint)
        self.log_weights = np.full(len(self.errors), -next_value.HEAD_START)
        self.log_weights[next_value.ENSEMBLE] = 0.0
        self.n_scored = 0

    def scaled(self, known, mean, deviation):
        """Return the known values in standard deviations, 0 where there is none."""
        most = next_value.MAX_OUTPUT
        lags = np.zeros(self.n_lags)
        if deviation > 0.0:
            lags[: len(known)] = np.clip((np.array(known) - mean) / deviation, -most, most)
        return lags

    def outputs(self, ensemble, known, mean, deviation, joint=()):
        """Return the inputs of the linear models, and the output of each expert."""
        most = next_value.MAX_OUTPUT
        lags = self.scaled(known, mean, deviation)
        inputs = np.r_[ensemble, lags, 1.0]
        own = np.clip(self.weights @ inputs, -most, most)
        last = lags[0]
        if len(known) > 1 and deviation > 0.0:
            now, before = (np.array(known[:2]) - mean) / deviation
            if now * before > 0.0:  # a second value as far out is no outlier
                last = np.clip(now, -max(most, abs(before)), max(most, abs(before)))
        return inputs, np.r_[ensemble, last, own, joint]

    def mix(self, ensemble, known, mean, deviation, joint=()):
        """Return the answer, standardised."""
        if not known:
            return ensemble
        _, outputs = self.outputs(ensemble, known, mean, deviation, joint)
        log_weights = self.log_weights[: len(outputs)].copy()
        log_weights[next_value.FIRST_MODEL :] -= next_value.HEAD_START
        return naive.softmax(log_weights) @ outputs

    def learn(self, ensemble, known, target, mean, deviation, *, share=1.0, joint=()):
        """Compare the experts by a standardised target, and fit the linear models."""
        if not known:
            return
        inputs, outputs = self.outputs(ensemble, known, mean, deviation, joint)
        squares = np.minimum((outputs - target) ** 2, next_value.MAX_ERROR)
        self.n_scored += 1
        newest = 1.0 / (self.n_scored + 1)
        rate = max(next_value.ERROR_RATE, newest)
        self.errors = self.errors + rate * (squares - self.errors)
        best = max(self.errors.min(), next_value.MIN_ERROR)
        losses = np.minimum(squares / (2 * best), next_value.MAX_STEP)
        keep = 1 - share * max(1 - next_value.DECAY, newest)
        self.log_weights = keep * self.log_weights - share * losses
        target = np.clip(target, -TARGET_CLIP, TARGET_CLIP)
        for m, forgetting in enumerate(next_value.FORGETTING):
            gain, self.projectors[m] = least_squares_step(self.projectors[m], inputs, forgetting)
            error = outputs[next_value.FIRST_MODEL + m] - target
            self.weights[m] = self.weights[m] - gain * error

    def keep(self, value):
        """Keep a value as the last one."""
        self.known = [value, *self.known][: self.n_lags]


class SeveralRecentValues:
    """The answers to the next row of several targets, with joint models of all of them."""

    def __init__(self, n_lags, n_targets):
        n_models = len(next_value.FORGETTING)
        self.each = [RecentValues(n_lags, n_models) for _ in range(n_targets)]
        self.n_joint = min(n_targets, next_value.JOINT_TARGETS)
        n_inputs = 2 * self.n_joint
        self.weights = np.zeros((n_models, n_inputs, n_targets))
        self.projectors = [np.eye(n_inputs) / next_value.PRIOR for _ in range(n_models)]

    def joint(self, scores, known, moments):
        """Return the inputs of the joint models, and their outputs for each target."""
        pairs = zip(self.each, known, moments, strict=True)
        lasts = [own.scaled(values, *given)[0] for own, values, given in pairs]
        inputs = np.r_[scores[: self.n_joint], lasts[: self.n_joint]]
        most = next_value.MAX_OUTPUT
        return inputs, np.clip(scores + inputs @ self.weights, -most, most)

    def mix(self, scores, known, moments):
        """Return the answers, standardised."""
        _, outputs = self.joint(scores, known, moments)
        return np.array(
            [
                own.mix(scores[j], known[j], *moments[j], outputs[:, j])
                for j, own in enumerate(self.each)
            ]
        )

    def learn(self, scores, known, targets, moments, shares):
        """Learn the standardised targets, NaN where missing."""
        inputs, outputs = self.joint(scores, known, moments)
        learned = [j for j, own in enumerate(known) if own and not np.isnan(targets[j])]
        for j in learned:
            given = (scores[j], known[j], targets[j], *moments[j])
            self.each[j].learn(*given, share=shares[j], joint=outputs[:, j])
        if not learned:
            return
        for m, forgetting in enumerate(next_value.FORGETTING):
            gain, self.projectors[m] = least_squares_step(self.projectors[m], inputs, forgetting)
            for j in learned:
                target = np.clip(targets[j], -TARGET_CLIP, TARGET_CLIP)
                self.weights[m, :, j] -= gain * (outputs[m, j] - target)
