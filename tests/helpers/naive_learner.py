"""The whole learner as formulas.

A slow float64 twin of both estimators with LIF neurons, row by row.
"""

import copy
import math

import numpy as np

from loco_stream.learner.arrays.init_weights import delayed_targets, start_weights
from loco_stream.learner.arrays.state import GOLDEN
from loco_stream.learner.context.delays import WHOLE_STEPS
from loco_stream.learner.delayed_labels import weights as lateness
from loco_stream.learner.encoding import CLIP, REOPEN_TARGET
from loco_stream.learner.hidden import SETTLE
from loco_stream.learner.plasticity.credit import (
    ALWAYS_UNTIL,
    BASELINE_FADE,
    EVERY,
    FEEDBACK_RATE,
    LEAST_ERROR,
)
from loco_stream.learner.plasticity.noise import draw_noise
from loco_stream.learner.plasticity.prototypes import REFRESH, SLOWEST
from loco_stream.learner.plasticity.update import POWER_ROWS
from loco_stream.learner.plasticity.weight_bounds import FARTHEST, FARTHEST_WIDE
from loco_stream.learner.readout import gate, intervals, log_loss, naive_bayes
from loco_stream.learner.readout import snapshots as recall
from loco_stream.learner.readout.ensemble import READOUT_RATE
from loco_stream.learner.readout.neighbors import SHORT
from loco_stream.learner.step import RANGE_MARGIN, TARGET_CLIP
from loco_stream.options import (
    COVERAGES,
    FEW,
    FEW_ROWS,
    LASTING,
    LEARNED,
    LINEAR_LEAKS,
    LINEAR_PRIORS,
    LOGISTIC_PRIOR,
    MIRROR,
    N_CENTROID_SAYS,
    NEAREST,
    NEURON_CLUSTER,
    PERTURBATION,
    PRIORS,
    PROMPT_EVERY,
    SPACING,
    STACK_POWER,
    STACK_PRIOR,
    START_SAY,
    START_VOTES,
    TOWARDS_LONG,
    TRIAL,
    WINDOW,
)
from loco_stream.rng import derive_key
from tests.helpers import naive
from tests.helpers.doors import door
from tests.helpers.naive_centroids import Centroids
from tests.helpers.naive_late import Events, LateValues

draw = door(draw_noise)


class Member:
    """One recursive member: its projector, its weights for each loss, what they say."""

    def __init__(self, n_inputs, n_classes, n_losses, leak, prior):
        self.p, self.leak, self.prior = prior * np.eye(n_inputs), leak, prior
        self.weights = [np.zeros((n_inputs, n_classes)) for _ in range(n_losses)]

    def say(self, z):
        """Return the outputs of every loss, (losses, classes), and x'Px and that over prior x'x."""
        self.z = z
        self.said = np.array([z @ w for w in self.weights])
        self.q = z @ self.p @ z
        return self.said, self.q, self.q / (self.prior * (z @ z))

    def learn(self, target, last_seen, n_seen):
        """Learn the target; return what its readout gained."""
        known = len(target)
        logits = self.said[1][:known] if len(self.weights) > 1 else None
        lack = naive.residuals(target, self.said[0][:known], logits, last_seen, n_seen, self.leak)
        lack = [np.pad(rest, (0, self.said.shape[1] - known)) for rest in lack]
        before = self.weights
        self.p, self.weights = naive.recursive_update(
            self.p, before, self.z, lack, self.leak, self.prior
        )
        return [new - old for new, old in zip(self.weights, before, strict=True)]


class Learner:
    """A twin of a model with that config whose first row has `n_features` features.

    Labels are numbers in turn.
    """

    def __init__(self, config, n_features, n_classes, *, regression):
        self.layout = config.layout_for(n_features)
        self.settings = config.settings(
            self.layout, regression=regression, seed_key=derive_key(config.seed or 0, 0)
        )
        s = self.settings
        sizes = self.layout.hidden_sizes
        self.regression = regression
        self.class_weight = config.class_weight
        below = [n_features * s.n_fields, *sizes[:-1]]
        self.sizes = sizes
        self.borders = np.cumsum([0, *sizes])
        self.weights = [
            start_weights(s, layer, *pair)
            for layer, pair in enumerate(zip(below, sizes, strict=True))
        ]
        self.projectors = [np.eye(n) for n in below]
        self.blocks = [s.block] * len(sizes)
        self.gains = [s.gain] * len(sizes)
        self.drive_powers = [0.0] * len(sizes)
        self.input_powers = [0.0] * len(sizes)
        self.feedback = np.zeros((s.n_hidden, n_classes))
        self.baseline = 0.0
        self.n_draws = 0
        self.features, self.target = [naive.Feature() for _ in range(n_features)], naive.Feature()
        self.known = 0
        self.n_seen = 0
        self.room = n_classes
        self.counts = np.zeros(n_classes)
        self.last_seen = np.zeros(n_classes)
        self.residuals = []
        self.risks = 1.0 - np.array(COVERAGES)
        self.prototypes = []
        self.members_seen = []
        self.inverses = [None] * len(sizes)
        self._start_delays(below[0])
        self._start_readout(n_features, n_classes)
        ratio = s.longest / s.shortest if s.longest else 1.0
        odd = np.arange(s.n_hidden) % 2 == 1 if s.longest else np.zeros(s.n_hidden, bool)
        places = (np.arange(1, s.n_hidden + 1) * GOLDEN % 1.0) ** TOWARDS_LONG
        self.spans = np.where(odd, s.shortest * ratio**places, 0.0)
        self.kept = np.zeros(s.n_hidden)
        self.carried = np.zeros(s.n_hidden)
        self.last = math.nan
        self.gaps = []

    def _start_delays(self, n_lines):
        """Draw the lag of every synapse of the first layer, (lines, neurons).

        No row has come yet.
        """
        s = self.settings
        n_post = self.sizes[0]
        self.lags = np.zeros((n_lines, n_post), int)
        if s.max_delay:
            prompt = np.arange(n_post) % PROMPT_EVERY == 1 if s.longest else np.zeros(n_post, bool)
            rest = n_post - prompt.sum()
            shares = [(lag + 1) * rest // (s.max_delay + 1) for lag in range(s.max_delay + 1)]
            in_order = np.r_[
                np.zeros(prompt.sum(), int), np.searchsorted(shares, np.arange(rest), side="right")
            ]
            np.put_along_axis(
                self.lags, delayed_targets(s, n_lines, n_post), in_order[None, :], axis=1
            )
            assert not self.lags[:, prompt].any()
        self.past = np.zeros((s.max_delay, n_lines))
        self.run_of = (None, 0.0)

    def _start_readout(self, n_features, n_classes):
        s = self.settings
        self.first = s.n_hidden - s.n_last if s.last_layer else 0
        self.n_inputs = s.n_hidden - self.first + 1 + (n_features if s.raw_inputs else 0)
        self.members = [
            Member(self.n_inputs, n_classes, s.n_losses, leak, PRIORS[leak < LASTING])
            for leak in (self.layout.leaks if s.recursive else (0.0,))
        ]
        self.members += [
            Member(n_features + 1, n_classes, s.n_losses, leak, prior)
            for leak, prior in zip(LINEAR_LEAKS[: s.n_linear], LINEAR_PRIORS, strict=False)
        ]
        n = len(self.members)
        blocks = len(self.members) * s.n_losses + s.n_says
        n_stacked = blocks if self.regression else n
        self.stack, self.stack_p = (
            np.full(n_stacked, 1.0 / n_stacked),
            STACK_PRIOR * np.eye(n_stacked),
        )
        self.log_stack = np.full(blocks, 1.0 / blocks)
        self.log_powers = np.full(blocks, STACK_POWER)
        self.log_stack[blocks - s.n_says :] = START_VOTES[1]
        if s.n_centroids > 0:
            self.log_stack[blocks - s.n_says :][:N_CENTROID_SAYS] = START_VOTES[0]
        self.centroids = Centroids(s.n_centroids, n_classes)
        self.rows = []
        self.answers = []
        self.seen_values = [[] for _ in range(n_features)]
        self.has_logistic = s.n_linear > 0 and not self.regression
        self.logistic = (
            np.zeros((n_features + 1, n_classes)),
            LOGISTIC_PRIOR * np.eye(n_features + 1),
        )
        self.gaussians = [naive.Gaussian(n_features) for _ in range(n_classes)]
        self.prior = np.zeros(2 + n + 2 * self.has_logistic)
        if self.has_logistic:
            self.prior[-1] = FEW_ROWS
        self.evidence = self.prior
        self.moments = np.zeros(5)
        self.leads = []
        self.corrections = naive.no_correction()
        self.say = np.r_[START_SAY, np.zeros(s.n_snapshots)]
        self.old = [None] * s.n_snapshots
        self.fits = np.zeros(2 + s.n_snapshots)
        self.births = np.zeros(s.n_snapshots, int)
        self.clock = np.array([0, -SPACING, 0, 0])
        self.trust, self.events, self.labels, self.tickets = 1.0, Events(), [], 0
        self.late_values = LateValues(n_stacked, s.n_trace, s.n_linear)

    # Predict

    def run(self, weights, noise=0.0):
        """Return the traces of all layers, with what rows before left, their weighted inputs, and this row's part."""
        s = self.settings
        below = self.lines
        fresh = []
        traces = []
        weighted = []
        noise = np.broadcast_to(noise, s.n_hidden)
        for layer, w in enumerate(weights):
            weighted.append(below @ w if layer else (self.lagged() * w).sum(axis=0))
            drives = (
                self.gains[layer] * weighted[-1]
                + noise[self.borders[layer] : self.borders[layer + 1]]
            )
            times = [naive.lif_times(drive, s.window, s.tau) for drive in drives]
            fresh.append(np.array([naive.trace(spikes, s.window, s.tau_trace) for spikes in times]))
            below = fresh[-1] + self.carried[self.borders[layer] : self.borders[layer + 1]]
            traces.append(below)
        return np.concatenate(traces), weighted, np.concatenate(fresh)

    def lagged(self):
        """Return what each synapse of the first layer carries, (lines, neurons)."""
        rows = np.vstack([self.lines, self.past])
        return rows[self.lags, np.arange(len(self.lines))[:, None]]

    def consult(self, x, t=math.nan, carried=None):
        """Run the row at time `t`, or one that was left `carried`, through everything that speaks."""
        if self.settings.remembers:
            gaps = naive.gaps_between(self.last, t, self.gaps)
            left = [math.exp(-gaps / span) if span else 0.0 for span in self.spans]
            self.carried = self.kept * left if carried is None else carried
        s = self.settings
        n_hidden = self.settings.n_hidden
        scaled = np.array(
            [feature.scale(value) for feature, value in zip(self.features, x, strict=True)]
        )
        places = np.array(
            [feature.intensity(value) for feature, value in zip(self.features, x, strict=True)]
        )
        self.scaled = scaled
        self.lines = naive.fields_code(x, scaled, s.n_fields) if s.n_fields > 1 else places
        self.traces, self.weighted, self.fresh = self.run(self.weights)
        self.z = np.concatenate([self.traces, [1.0], scaled if s.n_fields > 1 else places])
        said = [
            member.say(
                self.z[self.first : self.first + self.n_inputs]
                if m < s.n_trace
                else self.z[n_hidden:]
            )
            for m, member in enumerate(self.members)
        ]
        self.outputs = np.concatenate(
            [outputs for outputs, _, _ in said]
        )  # (members * losses, classes)
        if s.n_centroids:
            given = np.array([not naive.is_masked(value) for value in x])
            self.centroids.look(scaled, [feature.span for feature in self.features], given)
            self.outputs = np.vstack([self.outputs, self.centroids.say(self.known)])
        if s.n_neighbors:
            self.outputs = np.vstack([self.outputs, self.neighbors(np.asarray(x, float))])
        self.shares = [share for _, _, share in said]
        self.linear_logits = self.z[n_hidden:] @ self.logistic[0]
        likelihoods = np.array(
            [gaussian.log_density(self.z[n_hidden + 1 :]) for gaussian in self.gaussians]
        )
        self.bayes = naive.level_unknown(
            likelihoods + np.log(self.counts + naive_bayes.UNSEEN), self.known
        )
        self.old_scores = [None] * s.n_snapshots
        for slot in np.flatnonzero(self.say[recall.FIRST :] * self.are_heard):
            weights, readout = self.old[slot]
            z = np.concatenate([self.run(weights)[0], self.z[n_hidden:]])
            self.old_scores[slot] = z[self.first : self.first + self.n_inputs] @ readout
        self.combine()

    def neighbors(self, x):
        """Return what the nearest of the short window and of all rows kept say, and few of these of classes."""
        size = self.settings.n_neighbors
        said = np.zeros((2 if self.regression else 3, self.room))
        ranges = [
            naive.running_range(values, size) if values else (0.0, 0.0)
            for values in self.seen_values
        ]
        origins = np.array([values[0] if values else 0.0 for values in self.seen_values])
        spans = np.array([high - low for low, high in ranges])
        asked = [(max(size // SHORT, 1), NEAREST), (size, NEAREST), (size, FEW)]
        for w, (window, most) in enumerate(asked[: len(said)]):
            rows = np.array(self.rows[-window:]).reshape(-1, len(x))
            answers = np.array(self.answers[-window:])
            places, votes = naive.neighbors(x - origins, rows, spans, most)
            if not self.regression:
                said[w, : self.known] = naive.said_classes(
                    answers[places].astype(int), votes, self.known
                )
            elif len(places):
                mean, variance = self.target.moments
                said[w] = (
                    (votes @ answers[places] / votes.sum() - mean) / math.sqrt(variance)
                    if variance
                    else 0.0
                )
        return said

    def keep(self, x, y):
        """Keep a row; what is masked lies in the middle of its range, or where the first value will be."""
        row = np.zeros(len(x))
        size = self.settings.n_neighbors
        for f, value in enumerate(x):
            values = self.seen_values[f]
            given = np.mean(naive.running_range(values, size)) if values else 0.0
            if not math.isnan(value):
                values.append(value)
                given = value
            row[f] = given - (values[0] if values else 0.0)
        self.rows.append(row)
        self.answers.append(y)

    def combine(self):
        """Write the combined scores and what every expert says of the known classes."""
        s = self.settings
        known = slice(0, self.known)
        if not s.recursive:
            self.mixing = np.ones(1)
        else:
            sharp = naive.sharpened(len(self.log_stack), s.n_says)
            self.mixing = (
                self.late_values.weights(self.stack) if self.regression else self.log_stack * sharp
            )
        self.scores = self.mixing @ self.outputs[:, known]
        if self.regression or self.known == 0:
            return
        if not s.recursive:
            self.proba = naive.softmax(self.scores)
            return
        members = self.outputs[: len(self.outputs) - s.n_says]
        self.stacked = self.stack @ members[::2, known]
        experts = [naive.softmax(self.scores), naive.softmax(log_loss.SHARPNESS * self.stacked)]
        experts += [naive.softmax(logits) for logits in members[1::2, known]]
        if self.has_logistic:
            experts += [naive.softmax(self.linear_logits[known]), naive.softmax(self.bayes[known])]
        self.experts = np.array(experts)
        self.proba = naive.mix(self.evidence, self.experts)

    @property
    def is_gated(self):
        s = self.settings
        return s.recursive and not self.regression and s.retention > 0.0 and s.n_trace > 1

    @property
    def are_heard(self):
        total = self.say[recall.FIRST :].sum()
        return bool(total > recall.WHISPER or (total > 0.0 and self.clock[recall.HEARING] > 0))

    def observe(self, x, t=math.nan):
        """Make a row the one that the next one follows; return what was said of it."""
        past = self.past
        self.consult(x, t)
        self.advance(t)
        self.tickets += 1
        then = copy.copy(self)
        then.said_past = past
        then.old_births = np.where(self.are_heard, self.births, -1)
        return then

    def advance(self, t):
        """Make a row of time `t` the last one."""
        self.kept = self.traces
        self.past = np.vstack([self.lines, self.past])[: self.settings.max_delay]
        if t > self.last:
            self.gaps.append(t - self.last)
        self.last = t

    def predict(self, x, t=math.nan):
        """Return the probabilities of the known classes, or the value."""
        self.consult(x, t)
        s = self.settings
        if self.regression:
            return self.value()
        if self.known == 0:
            return np.zeros(0)
        proba = self.proba
        if self.is_gated:
            _, dormant = self.dormancy()
            slow = self.outputs[0][: self.known]
            evidence = naive.newness(self.moments, *np.log(self.shares[:2]))
            if dormant.any():
                if len(self.leads) >= gate.LEAD_ROWS:
                    mean, variance = naive.lead_moments(self.leads)
                    evidence += (naive.lead(slow, dormant) - mean) / math.sqrt(
                        max(variance, gate.LEAST_VARIANCE)
                    )
                opened = naive.openness(evidence, True, s.retention)
                proba = naive.softmax(
                    log_loss.SHARPNESS * ((1 - opened) * self.stacked + opened * slow)
                )
            else:
                opened = naive.openness(evidence, False, s.retention)
                opened *= naive.softmax(self.evidence)[: -2 if self.has_logistic else None].sum()
                proba = (1 - opened) * proba + opened * naive.softmax(log_loss.SHARPNESS * slow)
        if self.are_heard:
            said = self.say[recall.STACK] * proba
            for weight, scores in zip(self.say[recall.FIRST :], self.old_scores, strict=True):
                if weight > 0.0:
                    said = said + weight * naive.softmax(scores[: self.known])
            proba = said / (1.0 - self.say[recall.GUESS])
        if s.recursive:
            proba = naive.mix(self.corrections, naive.corrections(proba))
        weighed = proba * self.class_weights()
        return weighed / weighed.sum()

    def class_weights(self):
        """Return the weight of each known class; labels are numbers in turn."""
        if self.class_weight == "balanced":
            counts = self.counts[: self.known]
            return counts.sum() / (self.known * np.maximum(counts, 1.0))
        given = self.class_weight or {}
        return np.array([given.get(label, 1.0) for label in range(self.known)])

    def dormancy(self):
        surplus = self.events.surplus
        rows_a_draw = self.n_seen / max(self.n_seen - surplus, 1.0) if surplus else 1.0
        return naive.dormancy(
            self.counts[: self.known], self.last_seen[: self.known], self.n_seen, rows_a_draw
        )

    def value(self):
        if not self.target.values:
            return 0.0
        mean, variance = self.target.moments
        margin = RANGE_MARGIN * (self.target.high - self.target.low)
        score = self.scores[0] if self.known else 0.0
        return float(
            np.clip(
                mean + math.sqrt(variance) * score,
                self.target.low - margin,
                self.target.high + margin,
            )
        )

    # Learn

    def learn(self, x, y, t=math.nan, then=None):
        """Learn a row's label or value, late if given what `observe` said `then`."""
        s = self.settings
        now = self.past
        if then is not None:
            self.past = then.said_past
        self.consult(x, t, None if then is None else then.carried)
        guarded, dormant = (
            self.dormancy() if s.recursive and s.retention > 0.0 else (False, np.zeros(self.known))
        )
        before = self.known
        self.known = 1 if self.regression else max(self.known, y + 1)
        dormant = np.pad(dormant, (0, self.known - before))
        if not self.regression:
            self.counts[y] += 1
            self.last_seen[y] = self.n_seen
        if self.known > before:
            self.combine()
        if not self.regression:
            self.labels.append(y)
        if self.regression and before:
            y = self.bounded(y)
        self.wanted = self.standardised(y) if self.regression else np.eye(self.known)[y]
        self.error = self.lack()
        said = self if then is None else self.judged(then)
        self.trust, share = (1.0, 1.0) if then is None else self.late_shares(then)
        if s.learns and not guarded:
            credit = self.credit()
            self.change_hidden(credit, self.share_of(y, share))
        self.learn_readout(y, dormant, said)
        if s.n_centroids:
            self.centroids.learn(y)
        if s.n_neighbors:
            self.keep(x, y)
        if self.n_seen < SETTLE:
            for layer, weighted in enumerate(self.weighted):
                self.drive_powers[layer], self.gains[layer] = naive.settle(
                    self.drive_powers[layer], self.gains[layer], weighted, self.n_seen, s.gain
                )
        for feature, value in zip(self.features, x, strict=True):
            feature.take(value)
        if self.regression:
            self.target.take(y, abs(self.wanted[0]) >= CLIP, REOPEN_TARGET)
        self.n_seen += 1
        self.past = now
        if then is None:
            self.advance(t)

    def late_shares(self, then):
        """Return what share of an observation, and of a hidden step, a row is that was observed then."""
        if then.n_seen == self.n_seen and then.tickets == self.tickets:
            self.tickets -= 1
            return 1.0, 1.0
        if self.regression:
            self.late_values.in_use = True
            risen = np.clip((self.n_seen - lateness.READOUT_FIRST) / lateness.RISE, 0.0, 1.0)
            return 1.0, 0.0 if self.settings.remembers else risen
        trust = self.events.share(self.labels, then.n_seen, self.tickets - then.tickets + 1)
        return trust, trust

    def lack(self):
        """Return what the combined output has too much."""
        if self.regression:
            return self.scores - self.wanted
        return (
            self.experts[0] if self.settings.recursive else naive.softmax(self.scores)
        ) - self.wanted

    def judged(self, then):
        """Return what the stacks of now make of what the members said then."""
        said = copy.copy(self)
        said.outputs, said.linear_logits, said.shares = (
            then.outputs.copy(),
            then.linear_logits.copy(),
            then.shares,
        )
        said.outputs[:, then.known :] = said.linear_logits[then.known :] = 0.0
        said.bayes = naive.level_unknown(then.bayes, then.known)
        said.old_scores = [
            old if birth == now and old is not None else scores
            for old, birth, scores, now in zip(
                then.old_scores, then.old_births, self.old_scores, self.births, strict=True
            )
        ]
        said.combine()
        said.error = said.lack()
        return said

    def bounded(self, y):
        """Return the target no further from its prediction than residuals reach, and remember the residual."""
        predicted = self.value()
        late = sorted(self.residuals[-WINDOW:])
        n = min(len(self.residuals), WINDOW)
        reach = math.inf
        if n >= intervals.LEAST:
            reach = (
                intervals.REACH * late[min(math.ceil((n + 1) * intervals.REACH_QUANTILE), n) - 1]
            )
        reach = max(reach, math.sqrt(self.target.moments[1]))
        for level, coverage in enumerate(COVERAGES):
            radius = self.radius(level)
            if radius < math.inf:
                pace = min(intervals.PACE, intervals.SHARE * (1 - coverage))
                self.risks[level] += pace * (1 - coverage - (abs(y - predicted) > radius))
        self.risks = np.clip(self.risks, 0.0, 1.0)
        self.residuals.append(abs(y - predicted))
        return min(max(y, predicted - reach), predicted + reach)

    def radius(self, level):
        """Return the half width of the interval of a coverage."""
        late = sorted(self.residuals[-WINDOW:])
        n = min(len(self.residuals), WINDOW)
        if (n + 1) * COVERAGES[level] > n:
            return math.inf
        return late[min(max(math.ceil((n + 1) * (1.0 - self.risks[level])), 1), n) - 1]

    def standardised(self, y):
        mean, variance = self.target.moments
        z = (y - mean) / math.sqrt(variance) if variance > 0.0 else 0.0
        return np.array([min(max(z, -TARGET_CLIP), TARGET_CLIP)])

    def credit(self):
        """Return the credit of every hidden neuron, after the passes that its rule needs."""
        s = self.settings
        total = np.zeros(s.n_hidden)
        n_learned = self.first if s.credit == MIRROR else s.n_hidden
        always = s.credit in (TRIAL, PERTURBATION)
        if always or (n_learned > 0 and (self.n_seen < ALWAYS_UNTIL or self.n_seen % EVERY == 0)):
            for _ in range(s.n_perturbations):
                noise = self.noise()
                for sign in (1.0, -1.0)[: 2 if s.antithetic else 1]:
                    total += self.learn_pass(sign * noise, n_learned)
        if s.credit == TRIAL:
            total /= s.n_perturbations * (2 if s.antithetic else 1)
        else:
            total = self.feedback[:, : self.known] @ self.error
        return total * (self.fresh > 0.0)

    def learn_pass(self, noise, n_learned):
        """Learn feedback from one perturbed pass; return the credit of a trial by itself."""
        s = self.settings
        change = self.output_change(noise)
        feedback = self.feedback[:, : self.known]
        if s.credit in (LEARNED, MIRROR):
            feedback[:] = naive.learn_feedback(
                feedback, self.fresh, noise, change, s.noise, FEEDBACK_RATE, n_learned
            )
            return 0.0
        rise = naive.loss(self.scores + change, self.wanted, self.regression)
        rise -= naive.loss(self.scores, self.wanted, self.regression) + self.baseline
        self.baseline += BASELINE_FADE * rise
        if s.credit == PERTURBATION:
            feedback[:] = naive.learn_from_loss(
                feedback, self.fresh, noise, rise, self.error, s.noise, FEEDBACK_RATE, LEAST_ERROR
            )
        return rise * noise / s.noise**2

    def noise(self):
        s = self.settings
        noise = np.zeros(self.settings.n_hidden, np.float32)
        for layer, n in enumerate(self.sizes):
            part = noise[self.borders[layer] : self.borders[layer + 1]]
            draw(s.seed_key + layer, self.n_draws, n, NEURON_CLUSTER, s.noise, part)
        self.n_draws += 1
        return noise.astype(float)

    def output_change(self, noise):
        """Return what the noise on the drives changes in the combined output."""
        s = self.settings
        change = np.zeros(self.n_inputs)
        n = s.n_hidden - self.first
        change[:n] = (self.run(self.weights, noise)[0] - self.traces)[self.first :]
        sets = [w for member in self.members[: s.n_trace] for w in member.weights]
        return sum(c * (change @ w)[: self.known] for c, w in zip(self.mixing, sets, strict=False))

    def share_of(self, y, share):
        """Return the share of a step.

        By how alike errors are, or if rows remember 10 / k for the k-th of a run.
        """
        if self.regression:
            return (
                share
                if self.late_values.in_use
                else share * self.late_values.own_share(self.error[0])
            )
        if not self.settings.remembers:
            return share
        label, n = self.run_of
        self.run_of = y, n + share if label == y else share
        return share * min(1.0, WHOLE_STEPS / max(self.run_of[1], WHOLE_STEPS))

    def change_hidden(self, credit, share):
        """Change every layer by a share of a step, from what stood before."""
        s = self.settings
        inputs = [self.lines]
        inputs += [
            self.traces[a:b] for a, b in zip(self.borders[:-2], self.borders[1:-1], strict=True)
        ]
        cluster = self.choose_prototype(inputs) if s.projects and s.n_clusters else -1
        for layer, x in enumerate(inputs):
            own = credit[self.borders[layer] : self.borders[layer + 1]].copy()
            own[: len(own) - math.ceil(s.plastic * len(own))] = 0.0
            p = self.projectors[layer]
            h = x
            if s.projects and s.n_clusters:
                h = self.away_from_prototypes(layer, x, cluster)
            elif s.projects:
                h = p @ x
            square = x @ x
            energy = x @ h
            if layer == 0 and s.max_delay:
                rows = np.vstack([x, self.past])
                squares = (rows**2).sum(axis=1)
                energies = (rows * (rows @ p.T if s.projects else rows)).sum(axis=1)
                square = squares.mean()
                energy = energies.mean()
                h = (rows @ p.T if s.projects else rows)[self.lags, np.arange(len(x))[:, None]]
            self.input_powers[layer] += (square - self.input_powers[layer]) / min(
                self.n_seen + 1, POWER_ROWS
            )
            power = self.input_powers[layer]
            if power + energy <= 0.0:
                continue
            farthest = FARTHEST_WIDE if layer == 0 and s.n_fields == 1 else FARTHEST
            self.weights[layer] = naive.change_weights(
                self.weights[layer],
                h,
                own,
                share * s.learning_rate,
                self.gains[layer],
                power,
                energy,
                farthest,
            )
            if s.projects and not s.n_clusters:
                leak = s.projector_leak if layer == 0 else 0.0
                loss = s.orthogonality / (1.0 if layer else s.max_delay + 1.0)
                self.projectors[layer] = naive.change_projector(
                    p, x, self.blocks[layer], power, loss, leak
                )
        self.weights = [naive.restrained(w, s.plastic, self.n_seen) for w in self.weights]

    def choose_prototype(self, inputs):
        """Return the row's prototype, founded if need be.

        Each is a list with its directions at every layer.
        """
        means = [rows[0][0] for rows in self.prototypes]
        cluster = naive.choose_cluster(self.lines, means, self.settings.n_clusters)
        if cluster == len(self.prototypes):
            self.prototypes.append(
                [np.vstack([x, np.zeros((self.settings.rank - 1, len(x)))]) for x in inputs]
            )
            self.members_seen.append(0)
        if cluster >= 0:
            self.members_seen[cluster] += 1
        return cluster

    def away_from_prototypes(self, layer, x, cluster):
        """Return the input less its part in the other prototypes as they stood at the last refresh; move its own."""
        if cluster < 0:
            return x
        s = self.settings
        rows = np.vstack([prototype[layer] for prototype in self.prototypes])
        if self.members_seen[cluster] == 1 or self.n_seen % REFRESH == 0:
            floor = s.ridge * (rows**2).sum() / len(rows) + 1e-9
            self.inverses[layer] = np.linalg.inv(rows @ rows.T + floor * np.eye(len(rows)))
        inverse = self.inverses[layer]
        own = np.arange(cluster * s.rank, (cluster + 1) * s.rank)
        shares = inverse @ (rows @ x)
        shares -= inverse[:, own] @ np.linalg.solve(inverse[np.ix_(own, own)], shares[own])
        shares[own] = 0.0
        rate = max(SLOWEST, 1.0 / self.members_seen[cluster])
        self.prototypes[cluster][layer] = naive.learn_directions(
            x, self.prototypes[cluster][layer], rate
        )
        return x - shares @ rows

    def blocked(self, layer):
        """Return a layer's projector as blocks side by side in one narrow matrix."""
        p = self.projectors[layer]
        block = self.blocks[layer]
        return np.array(
            [np.pad(row[j - j % block :][:block], (0, block))[:block] for j, row in enumerate(p)]
        )

    def learn_readout(self, y, dormant, said):
        """Learn a label; `said` is what was said of the row when it was predicted."""
        s = self.settings
        if not s.recursive:
            (weights,) = self.members[0].weights
            before = weights.copy()
            weights[:, : self.known] = naive.delta_update(
                weights[:, : self.known], self.members[0].z, self.error, READOUT_RATE
            )
            if s.learns and s.credit == MIRROR:
                self.feedback[self.first :] += (weights - before)[: s.n_hidden - self.first]
            return
        if self.is_gated:
            if dormant.any() and not dormant[y]:
                self.leads.append(naive.lead(said.outputs[0][: self.known], dormant))
            rate = max(self.trust * gate.FADE, 1.0 / (self.n_seen + 1))
            self.moments = naive.newness_moments(self.moments, *np.log(said.shares[:2]), rate)
        if s.n_snapshots:
            self.learn_recall(y, said)
        last_seen = None if self.regression else self.last_seen[: self.known]
        gained = [member.learn(self.wanted, last_seen, self.n_seen) for member in self.members]
        if s.learns and s.credit == MIRROR:
            sets = [w for member in gained[: s.n_trace] for w in member]
            rise = sum(c * w for c, w in zip(self.mixing, sets, strict=False))
            self.feedback[self.first :] += rise[: s.n_hidden - self.first]
        stack = self.stack
        self.stack, self.stack_p = naive.stack_update(
            self.stack_p,
            stack,
            said.outputs[: len(self.stack) * s.n_losses : s.n_losses, : self.known],
            self.wanted,
            STACK_PRIOR,
            self.trust,
        )[::-1]
        if self.regression:
            if self.late_values.in_use:
                error = said.error[0]
                self.late_values.learn(
                    stack, said.outputs[:, 0], self.outputs[:, 0], error, self.wanted[0], self.trust
                )
            return
        self.log_stack, self.log_powers = naive.log_stack_update(
            self.log_stack,
            self.log_powers,
            said.outputs[:, : self.known],
            said.error,
            s.n_says,
            self.trust,
        )
        if self.has_logistic:
            weights, p = self.logistic
            p, new = naive.logistic_update(
                p, weights[:, : self.known], self.z[s.n_hidden :], self.experts[-2], self.wanted
            )
            weights[:, : self.known] = new
            self.logistic = weights, p
            self.gaussians[y].learn(self.z[s.n_hidden + 1 :])
        self.evidence = naive.judge(
            self.evidence, said.experts, y, self.n_seen, self.trust, self.prior
        )
        if self.counts[y] > 1:
            corrected = naive.corrections(said.proba)
            none = naive.no_correction()
            self.corrections = naive.judge(
                self.corrections, corrected, y, self.n_seen, self.trust, none
            )

    def learn_recall(self, y, said):
        """Judge who speaks; copy the model every so often.

        Keep the copy where the readout in force is lost.
        """
        s = self.settings
        speaks = self.say > 0.0
        heard = self.are_heard
        chances = np.full(len(self.say), max(said.proba[y], recall.LEAST))
        chances[recall.GUESS] = 1.0 / self.known
        for slot, scores in enumerate(said.old_scores):
            if heard and speaks[recall.FIRST + slot]:
                chances[recall.FIRST + slot] = max(
                    naive.softmax(scores[: self.known])[y], recall.LEAST
                )
        judged = speaks & (np.arange(len(speaks)) > recall.STACK) & heard
        is_right = said.proba[y] >= max(said.proba[: self.known])
        self.clock[recall.HEARING] = (
            max(self.clock[recall.HEARING] - 1, 0) if is_right else recall.HEARD
        )
        lately = np.log(chances / chances[recall.STACK])
        self.fits = np.where(
            judged, self.fits + self.trust * recall.LATELY * (lately - self.fits), self.fits
        )
        self.say = naive.recall_weights(
            self.say, chances**self.trust, self.trust * recall.SHARE, recall.RETURN
        )
        slot = self.clock[recall.SLOT]
        if door(recall.tick)(self.say, self.fits, self.clock, self.births):
            traces = np.hstack([w for member in self.members[: s.n_trace] for w in member.weights])
            linear = [w for member in self.members[s.n_trace :] for w in member.weights]
            linear = np.hstack([np.zeros((len(self.features) + 1, 0)), *linear])
            readout = naive.one_map(
                self.mixing[: len(self.mixing) - s.n_says], traces, linear, self.room, s.n_hidden
            )
            self.old[slot] = [w.copy() for w in self.weights], readout
