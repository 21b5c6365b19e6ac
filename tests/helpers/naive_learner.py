"""The whole learner as formulas.

A slow float64 twin of both estimators with LIF neurons, row by row.
"""

import copy
import math

import numpy as np

from loco_stream._learner import texts
from loco_stream._learner.arrays import shapes
from loco_stream._learner.arrays.init_weights import (
    NEURON_CLUSTER,
    UNDELAYED_EVERY,
    delay_targets,
    start_weights,
)
from loco_stream._learner.arrays.spec import specs
from loco_stream._learner.context.delays import WHOLE_STEPS
from loco_stream._learner.context.traces import GOLDEN, TOWARDS_LONG
from loco_stream._learner.delayed_labels import weights as delayed_labels
from loco_stream._learner.encoding import CLIP, REGRESSION_TAIL, REOPEN_TARGET, TAIL
from loco_stream._learner.hidden import SETTLE
from loco_stream._learner.plasticity.feedback import ALWAYS_UNTIL, EVERY, FEEDBACK_RATE
from loco_stream._learner.plasticity.noise import draw_noise
from loco_stream._learner.plasticity.perturbed_pass import BASELINE_RATE
from loco_stream._learner.plasticity.plastic_part import POWER_ROWS
from loco_stream._learner.plasticity.projections import CLUSTERS, NO_PROJECTION, RECURSIVE
from loco_stream._learner.plasticity.projections.clusters import MIN_RATE, REFRESH
from loco_stream._learner.plasticity.rules import CREDIT_RULES
from loco_stream._learner.plasticity.rules.perturbation import MIN_SQUARED_ERROR
from loco_stream._learner.plasticity.weight_bounds import MAX_MOVE, MAX_MOVE_WIDE
from loco_stream._learner.readout import domains, intervals, next_row, past_rows, snapshots
from loco_stream._learner.readout.experts import (
    centroids,
    class_size,
    logistic,
    naive_bayes,
    neighbors,
)
from loco_stream._learner.readout.experts._search import FEW, NEAREST
from loco_stream._learner.readout.experts.least_squares import (
    DELTA_RATE,
    LINEAR_LEAKS,
    LINEAR_PRIORS,
    PRIORS,
    WIDE_PRIORS,
    WIDE_VALUE_PRIORS,
)
from loco_stream._learner.readout.intervals import COVERAGES, RESIDUALS
from loco_stream._learner.readout.next_value import LATE_SHARE
from loco_stream._learner.readout.recursive_steps import LASTING_LEAK
from loco_stream._learner.readout.softmax import SHARPNESS
from loco_stream._learner.readout.stacks import FIRST_STACK_PRIOR, LOG_STACK_POWER, STACK_PRIOR
from loco_stream._learner.readout.symmetric import YOUNG
from loco_stream._learner.settings import resolve
from loco_stream._learner.step import CERTAIN
from loco_stream._learner.target_units import RANGE_MARGIN, TARGET_CLIP
from loco_stream._rng import derive_key
from tests.helpers import naive
from tests.helpers.jitted import jitted
from tests.helpers.naive_centroids import Centroids
from tests.helpers.naive_delayed import DelayedValues, Sequences
from tests.helpers.naive_fixed import (
    Discriminant,
    Dormancy,
    FixedLayer,
    Followers,
    NextRow,
    PastRows,
    RecentValues,
)

_draw_noise = jitted(draw_noise)
_tick = jitted(snapshots.tick)
_NONE = np.zeros(0)
_COUNTERS = next(spec for spec in specs(snapshots.SnapshotState) if spec.name == "counters")


def with_mean(scores, n):
    """Return scores of n classes; those that are new have the mean of the others."""
    mean = scores.mean() if len(scores) else 0.0
    return np.pad(scores, (0, n - len(scores)), constant_values=mean)


def size_log_odds(n_rows):
    """Return the log-odds of classes by their numbers of rows."""
    mean = n_rows.mean() if len(n_rows) else 0.0
    left = class_size.HALF / (class_size.HALF + mean)
    return left * np.log((n_rows + 1.0) / (mean + 1.0))


class Member:
    """One recursive member: its projector, its weights for each loss, and its outputs.

    Inputs behind the first `n_joint` are late.
    """

    def __init__(self, n_inputs, n_classes, n_losses, leak, prior, n_joint):
        self.p = prior * np.eye(n_inputs)
        self.n_joint = n_joint
        self.leak = leak
        self.prior = prior
        self.weights = [np.zeros((n_inputs, n_classes)) for _ in range(n_losses)]
        self.n_taken = 0  # rows since the projector last drifted, where rows wait

    def predict(self, z):
        """Return the outputs of every loss, (losses, classes)."""
        self.z = z
        self.outputs = np.array([self.z @ w for w in self.weights])
        return self.outputs

    def learn(self, target, last_seen, n_seen):
        """Learn the target; return the changes of the weights."""
        known = len(target)
        logits = self.outputs[1][:known] if len(self.weights) > 1 else None
        squares = self.outputs[0][:known]
        lack = naive.residuals(target, squares, logits, last_seen, n_seen, self.leak)
        lack = [np.pad(rest, (0, self.outputs.shape[1] - known)) for rest in lack]
        before = self.weights
        p, self.weights = naive.recursive_update(
            self.p, before, self.z, lack, self.leak, self.prior
        )
        self.p = naive.in_blocks(self.p, p, self.z, self.n_joint, shapes.BLOCK)
        return [new - old for new, old in zip(self.weights, before, strict=True)]

    def learn_rows(self, rows, known, last_seen, n_seen, batch):
        """Learn rows that waited, each an input and a label; return the changes of the weights.

        The projector drifts for all rows at once, when it has no room for more changes.
        """
        if self.n_taken + len(rows) > batch:
            keep = (1.0 - self.leak) ** self.n_taken
            self.p = keep * self.p + (1.0 - keep) * self.prior * np.eye(len(self.p))
            self.n_taken = 0
        self.n_taken += len(rows)
        before = self.weights
        for z, label in rows:
            self.predict(z)
            lack = naive.residuals(
                np.eye(known)[label],
                self.outputs[0][:known],
                self.outputs[1][:known],
                last_seen,
                n_seen,
                self.leak,
            )
            lack = [np.pad(rest, (0, self.outputs.shape[1] - known)) for rest in lack]
            self.p, self.weights = naive.recursive_update(self.p, self.weights, z, lack, 0.0, 0.0)
        return [new - old for new, old in zip(self.weights, before, strict=True)]


class Learner:
    """A twin of a model with these options whose first row has `n_features` features.

    Labels are numbers in the order of their first rows. Behind the features, each row has 1 or NaN
    for each of `n_texts` texts, all of which came in the first row.
    """

    def __init__(self, options, n_features, n_classes, *, regression, n_texts=0):
        self.layout = options.layout_for(n_features)
        key = derive_key(options.seed or 0, 0)
        self.settings = resolve(options, self.layout, regression=regression, seed_key=key)
        self.credit_rule = CREDIT_RULES[self.settings.credit].name
        self.regression = regression
        self.class_weight = options.class_weight
        self.sizes = self.layout.hidden_sizes
        self.borders = np.cumsum([0, *self.sizes])
        self.known = 0
        self.n_seen = 0
        self.fast_then = None
        self.capacity = n_classes
        self.counts = np.zeros(n_classes)
        self.last_seen = np.zeros(n_classes)
        self.features = [naive.Feature() for _ in range(n_features)]
        self.features += [naive.text() for _ in range(n_texts)]
        self.target = naive.Target()
        self.residuals = []
        self.risks = 1.0 - np.array(COVERAGES)
        n_channels = n_features * self.settings.n_fields
        self.n_numbers = n_channels  # channels of numbers; those of texts follow
        self._start_hidden(n_channels)
        self._start_texts(n_texts)
        n_features += n_texts
        self._start_delays(n_channels + n_texts)
        self._start_context()
        self._start_members(n_features, n_classes)
        self._start_ensemble(n_features, n_classes)
        self._start_fixed(n_features, n_classes)

    def _start_hidden(self, n_channels):
        s = self.settings
        n_layers = len(self.sizes)
        below = [n_channels, *self.sizes[:-1]]
        pairs = zip(below, self.sizes, strict=True)
        self.weights = [start_weights(s, layer, *pair) for layer, pair in enumerate(pairs)]
        self.projectors = [np.eye(n) for n in below]
        self.gains = [s.gain] * n_layers
        self.drive_powers = [0.0] * n_layers
        self.input_powers = [0.0] * n_layers
        self.feedback = np.zeros((s.n_hidden, self.capacity))
        self.loss_baseline = 0.0
        self.n_draws = 0
        self.clusters = []
        self.cluster_sizes = []
        self.inverses = [None] * n_layers

    def _start_texts(self, n):
        if n:
            own = texts.start_weights(self.settings, self.n_numbers, n, self.sizes[0])
            self.weights[0] = np.vstack([self.weights[0], own])
        self.projectors[0] = np.eye(self.n_numbers + n)

    def _start_delays(self, n_channels):
        """Draw the lag of every synapse of the first layer, (channels, neurons)."""
        s = self.settings
        n_post = self.sizes[0]
        self.lags = np.zeros((n_channels, n_post), int)
        if s.max_delay:
            undelayed = np.zeros(n_post, bool)
            if s.longest:
                undelayed = np.arange(n_post) % UNDELAYED_EVERY == 1
            n_undelayed = undelayed.sum()
            rest = n_post - n_undelayed
            ends = [(lag + 1) * rest // (s.max_delay + 1) for lag in range(s.max_delay + 1)]
            of_rest = np.searchsorted(ends, np.arange(rest), side="right")
            in_order = np.r_[np.zeros(n_undelayed, int), of_rest]
            targets = delay_targets(s, n_channels, n_post)
            np.put_along_axis(self.lags, targets, in_order[None, :], axis=1)
            assert not self.lags[:, undelayed].any()
        self.past = np.zeros((s.max_delay, n_channels))
        self.run_of = (None, 0.0)

    def _start_context(self):
        s = self.settings
        ratio = s.longest / s.shortest if s.longest else 1.0
        odd = np.arange(s.n_hidden) % 2 == 1 if s.longest else np.zeros(s.n_hidden, bool)
        places = (np.arange(1, s.n_hidden + 1) * GOLDEN % 1.0) ** TOWARDS_LONG
        self.time_constants = np.where(odd, s.shortest * ratio**places, 0.0)
        self.kept = np.zeros(s.n_hidden)
        self.carried = np.zeros(s.n_hidden)
        self.last = math.nan
        self.gaps = []

    def _start_members(self, n_features, n_classes):
        s = self.settings
        self.first = s.n_hidden - s.n_last if s.last_layer else 0
        self.n_inputs = s.n_hidden - self.first + 1 + (n_features if s.raw_inputs else 0)
        self.n_joint = min(self.layout.n_joint, n_features)
        n_late = n_features - self.n_joint if s.raw_inputs else 0
        self.n_joint_inputs = self.n_inputs - n_late
        self.members = [
            self._member_on_traces(n_classes, leak)
            for leak in (self.layout.leaks if s.recursive else (0.0,))
        ]
        self.members += [
            self._member_on_traces(n_classes, leak) for leak in self.layout.leaks[: s.n_memoryless]
        ]
        linear = zip(LINEAR_LEAKS[: s.n_linear], LINEAR_PRIORS, strict=False)
        self.members += [
            Member(n_features + 1, n_classes, s.n_losses, leak, prior, self.n_joint + 1)
            for leak, prior in linear
        ]
        self.waiting = []
        self.n_votes = s.n_outputs - len(self.members) * s.n_losses
        self.centroids = Centroids(s.n_centroids, n_classes)
        self.rows = []
        self.labels_of_rows = []
        self.values_of_features = [[] for _ in range(n_features)]
        self.has_logistic = s.n_linear > 0 and not self.regression
        weights = np.zeros((n_features + 1, n_classes))
        self.logistic = weights, logistic.PRIOR * np.eye(n_features + 1)
        self.gaussians = [naive.Gaussian(n_features) for _ in range(n_classes)]

    def _start_ensemble(self, n_features, n_classes):
        s = self.settings
        n = len(self.members)
        n_stacked = s.n_outputs if self.regression else n
        self.stack = np.full(n_stacked, 1.0 / n_stacked)
        self.stack_p = FIRST_STACK_PRIOR * np.eye(n_stacked)
        self.log_stack = np.full(s.n_outputs, 1.0 / s.n_outputs)
        self.log_powers = np.full(s.n_outputs, LOG_STACK_POWER)
        votes = self.log_stack[s.n_outputs - self.n_votes :]
        votes[:] = neighbors.EXPERT.stack_weight
        votes[: centroids.n_outputs(s)] = centroids.EXPERT.stack_weight
        self.log_priors = np.zeros(2 + n + 2 * self.has_logistic)
        if self.has_logistic:
            self.log_priors[-1] = naive_bayes.LOG_PRIOR
        self.log_weights = self.log_priors
        self.corrections = naive.start_corrections()
        self.posterior = np.r_[snapshots.START, np.zeros(s.n_snapshots)]
        self.snapshots = [None] * s.n_snapshots
        self.recent_score = np.zeros(2 + s.n_snapshots)
        self.ids = np.zeros(s.n_snapshots, int)
        self.counters = _COUNTERS.view(np.array([0, -snapshots.SPACING, 0, 0]))
        self.observation_share = 1.0
        self.sequences = Sequences()
        self.labels = []
        self.n_tickets = 0
        self.delayed_values = DelayedValues(n_stacked, s)

    def _member_on_traces(self, n_classes, leak):
        priors = PRIORS
        if self.settings.n_fields == 1:
            priors = WIDE_VALUE_PRIORS if self.regression else WIDE_PRIORS
        first = priors[leak < LASTING_LEAK]
        n_losses = self.settings.n_losses
        n_joint = self.n_joint_inputs
        member = Member(self.n_inputs, n_classes, n_losses, leak, first, n_joint)
        if leak >= LASTING_LEAK:
            member.prior = PRIORS[0]  # that it drifts back to
        return member

    def _start_fixed(self, n_features, n_classes):
        self.fixed = FixedLayer(self.settings, n_features, self.layout.n_skip)
        self.discriminant = Discriminant(self.settings, self.layout.n_skip, n_classes)
        self.past_rows = PastRows(self.discriminant)
        self.followers = Followers(n_classes)
        self.next_row = NextRow()
        self.classes = Dormancy(n_classes)
        self.last_label = None
        self.recent_values = RecentValues(self.settings.n_lags)

    # Predict

    def run_hidden(self, weights, noise=0.0):
        """Return traces and weighted inputs of all layers, and this row's part of the traces."""
        s = self.settings
        below = self.channels
        fresh = []
        traces = []
        weighted = []
        noise = np.broadcast_to(noise, s.n_hidden)
        for layer, w in enumerate(weights):
            own = slice(self.borders[layer], self.borders[layer + 1])
            weighted.append(below @ w if layer else (self.lagged() * w).sum(axis=0))
            drives = self.gains[layer] * weighted[-1] + noise[own]
            times = [naive.lif_times(drive, s.window, s.tau) for drive in drives]
            fresh.append(np.array([naive.trace(spikes, s.window, s.tau_trace) for spikes in times]))
            below = fresh[-1] + self.carried[own]
            traces.append(below)
        return np.concatenate(traces), weighted, np.concatenate(fresh)

    def encode(self, x, scaled):
        """Return the fields of each number, and 1 or 0 for each text."""
        n = self.n_numbers // self.settings.n_fields
        present = [float(not naive.is_masked(value)) for value in x[n:]]
        return np.r_[naive.encode_fields(x[:n], scaled[:n], self.settings.n_fields), present]

    def lagged(self):
        """Return what each synapse of the first layer carries, (channels, neurons)."""
        rows = np.vstack([self.channels, self.past])
        return rows[self.lags, np.arange(len(self.channels))[:, None]]

    def forward(self, x, t=math.nan, then=None):
        """Run the row at time `t`, or one that was observed then, through all experts."""
        if self.settings.remembers:
            gaps = naive.gaps_between(self.last, t, self.gaps)
            left = [math.exp(-gaps / tau) if tau else 0.0 for tau in self.time_constants]
            self.carried = self.kept * left if then is None else then.carried
            self.fixed.carry(gaps)
            if then is not None:
                self.fixed.before = then.before
        s = self.settings
        pairs = list(zip(self.features, x, strict=True))
        tail = REGRESSION_TAIL if self.regression else TAIL
        scaled = np.array([feature.scale(value, tail) for feature, value in pairs])
        intensities = np.array([feature.intensity(value) for feature, value in pairs])
        self.scaled = scaled
        has_fields = s.n_fields > 1
        self.channels = self.encode(x, scaled) if has_fields else intensities
        self.traces, self.weighted, self.fresh = self.run_hidden(self.weights)
        self.z = np.concatenate([self.traces, [1.0], scaled if has_fields else intensities])
        self.predict_experts(x)
        self.predict_fixed(x)
        self.predict_snapshots()
        self.combine()

    def predict_experts(self, x):
        """Write the outputs and scores of all experts."""
        s = self.settings
        linear_inputs = self.z[s.n_hidden :]
        inputs = self.z[self.first : self.first + self.n_inputs]
        present = self.present_inputs()
        seen = [inputs] * (s.n_trace - s.n_memoryless) + [present] * s.n_memoryless
        seen += [linear_inputs] * s.n_linear
        predicted = [member.predict(z) for member, z in zip(self.members, seen, strict=True)]
        self.outputs = np.concatenate(predicted)  # one row per loss
        if s.n_centroids:
            given = np.array([not naive.is_masked(value) for value in x])
            ranges = [feature.bounded_range for feature in self.features]
            self.centroids.measure(self.scaled, ranges, given)
            self.outputs = np.vstack([self.outputs, self.centroids.predict(self.known)])
        if s.n_neighbors:
            votes = self.predict_neighbors(np.asarray(x, float))
            self.outputs = np.vstack([self.outputs, votes])
        self.linear_logits = linear_inputs @ self.logistic[0]
        densities = np.array([each.log_density(linear_inputs[1:]) for each in self.gaussians])
        log_counts = np.log(self.counts + naive_bayes.UNSEEN_ROWS)
        self.bayes = naive.level_unknown(densities + log_counts, self.known)

    def present_inputs(self):
        """Return what members without a memory see: nothing that earlier rows left."""
        deeper = np.zeros(self.settings.n_hidden - self.sizes[0])
        features = self.z[self.settings.n_hidden :]
        return np.r_[self.fresh[: self.sizes[0]], deeper, features][: self.n_inputs]

    def predict_fixed(self, x):
        """Write the scores of the discriminant and of what follows recent labels."""
        if not self.settings.n_fixed:
            return
        pairs = zip(self.features, x, strict=True)
        self.row = [math.nan if feature.is_missing(value) else value for feature, value in pairs]
        self.fixed_outputs = self.fixed.run(self.row)
        self.class_scores = self.discriminant.scores(self.fixed_outputs, self.known)
        self.context_scores = self.followers.scores(self.last_label, self.known)
        self.size_scores = size_log_odds(self.counts[: self.known])

    def log_odds(self):
        """Return the log-odds of the ensemble's answer and of the experts for the next row."""
        scores = self.class_scores
        tempered = self.discriminant.temperature * (scores - scores.mean())
        ensemble = np.log(np.maximum(self.fast(), next_row.LEAST))
        return np.array([ensemble, tempered, *self.context_scores, self.size_scores])

    def predict_snapshots(self):
        """Write the scores of the snapshots that are evaluated."""
        s = self.settings
        self.snapshot_scores = [None] * s.n_snapshots
        in_use = self.posterior[snapshots.FIRST :] * self.are_evaluated
        for slot in np.flatnonzero(in_use):
            weights, readout = self.snapshots[slot]
            z = np.concatenate([self.run_hidden(weights)[0], self.z[s.n_hidden :]])
            self.snapshot_scores[slot] = z[self.first : self.first + self.n_inputs] @ readout

    def predict_neighbors(self, x):
        """Return the outputs of the recent rows, of all rows kept, and of few of these."""
        size = self.settings.n_neighbors
        outputs = np.zeros((2 if self.regression else 3, self.capacity))
        bounds = [
            naive.running_range(values, size) if values else (0.0, 0.0)
            for values in self.values_of_features
        ]
        origins = np.array([values[0] if values else 0.0 for values in self.values_of_features])
        ranges = np.array([high - low for low, high in bounds])
        recent = max(size // neighbors.RECENT_PARTS, 1)
        groups = [(recent, NEAREST), (size, NEAREST), (size, FEW)]
        for row, (window, most) in zip(outputs, groups, strict=False):
            rows = np.array(self.rows[-window:]).reshape(-1, len(x))
            labels = np.array(self.labels_of_rows[-window:])
            places, votes = naive.nearest(x - origins, rows, ranges, most)
            if not self.regression:
                chosen = labels[places].astype(int)
                row[: self.known] = naive.vote_classes(chosen, votes, self.known)
            elif len(places):
                mean, variance = self.target.statistics
                nearby = votes @ labels[places] / votes.sum()
                row[:] = (nearby - mean) / math.sqrt(variance) if variance else 0.0
        return outputs

    def keep_row(self, x, y):
        """Keep a row; a masked value as the middle of its range, or as the first value to come."""
        row = np.zeros(len(x))
        size = self.settings.n_neighbors
        for f, value in enumerate(x):
            values = self.values_of_features[f]
            kept = np.mean(naive.running_range(values, size)) if values else 0.0
            if not math.isnan(value):
                values.append(value)
                kept = value
            row[f] = kept - (values[0] if values else 0.0)
        self.rows.append(row)
        self.labels_of_rows.append(y)

    def combine(self, late=None):
        """Write the combined scores and the opinions on the known classes.

        `late` is what the experts of a regression predicted at the time, or None for now.
        """
        s = self.settings
        known = slice(0, self.known)
        if not s.recursive:
            self.output_weights = np.ones(1)
            self.credit_weights = self.output_weights
        elif self.regression:
            self.output_weights = self.delayed_values.weights(self.stack)
        else:
            sharpness = naive.sharpness(len(self.log_stack), self.n_votes)
            self.output_weights = self.log_stack * sharpness
            self.credit_weights = sharpness / len(sharpness)
        self.scores = self.output_weights @ self.outputs[:, known]
        if s.recursive and self.regression:
            self.combine_values(late)
        if self.regression or self.known == 0:
            return
        if not s.recursive:
            self.proba = naive.softmax(self.scores)
            return
        members = self.outputs[: len(self.outputs) - self.n_votes]
        self.stacked = self.stack @ members[::2, known]
        opinions = [naive.softmax(self.scores), naive.softmax(SHARPNESS * self.stacked)]
        opinions += [naive.softmax(logits) for logits in members[1::2, known]]
        if self.has_logistic:
            opinions += [naive.softmax(self.linear_logits[known]), naive.softmax(self.bayes[known])]
        self.opinions = np.array(opinions)
        self.proba = naive.mix(self.log_weights, self.opinions)

    def combine_values(self, late):
        """Write what experts for late values predict, and the combined score where they count."""
        own = self.delayed_values
        self.late_outputs = own.predict(self.stack, self.outputs[:, 0]) if late is None else late
        self.credit_weights = own.weights(self.stack, without_memory=True)
        if own.in_use and self.known:
            self.scores = np.array([own.mix(self.late_outputs, self.output_bounds())])

    def output_bounds(self):
        """Return the lowest and highest output that counts, a margin beyond those of targets."""
        mean, variance = self.target.statistics
        if not self.target.values or not variance:
            return 0.0, 0.0
        margin = RANGE_MARGIN * (self.target.high - self.target.low)
        ends = np.array([self.target.low - margin, self.target.high + margin])
        return tuple((ends - mean) / math.sqrt(variance))

    @property
    def are_evaluated(self):
        total = self.posterior[snapshots.FIRST :].sum()
        is_due = total > 0.0 and self.counters.eval_rows > 0
        return bool(total > snapshots.MIN_WEIGHT or is_due)

    def observe(self, x, t=math.nan):
        """Make a row the one that the next one follows; return what was predicted for it."""
        past = self.past
        self.forward(x, t)
        self.advance(t)
        self.n_tickets += 1
        then = copy.copy(self)
        then.past_then = past
        then.before = self.fixed.before
        then.known_values_then = self.recent_values.known
        then.ids_then = np.where(self.are_evaluated, self.ids, -1)
        then.predicted = None
        if self.settings.n_fixed and self.known:
            then.fast_then = self.fast()
            then.predicted = self.next_row.combine(self.log_odds(), True)
        return then

    def advance(self, t):
        """Make a row of time `t` the last one."""
        self.kept = self.traces
        if self.settings.n_means:
            self.fixed.keep()
        self.past = np.vstack([self.channels, self.past])[: self.settings.max_delay]
        if t > self.last:
            self.gaps.append(t - self.last)
        self.last = t

    def predict(self, x, t=math.nan, in_stream=None):
        """Return the probabilities of the known classes, or the value."""
        self.forward(x, t)
        if self.regression:
            return self.next_value() if in_stream is not False else self.value()
        if self.known == 0:
            return np.zeros(0)
        proba = self.fast()
        if self.settings.n_fixed:
            proba = self.next_row.answer(self.log_odds(), in_stream is not False)
        if self.settings.recursive:
            proba = naive.mix(self.corrections, naive.corrections(proba))
        if self.settings.n_fixed:
            proba = self.blend(proba, in_stream)
        weighed = proba * self.class_weights()
        return weighed / weighed.sum()

    def blend(self, proba, in_stream):
        """Blend in what forgets nothing, for any row or as far as its evidence says."""
        retention = self.settings.retention
        if in_stream is False or (in_stream is None and retention > 0.0):
            shares = naive.softmax(self.discriminant.temperature * self.class_scores)
            threshold = past_rows.THRESHOLD
            if in_stream is None:
                threshold = past_rows.RELUCTANCE * (1.0 - retention)
            if len(self.discriminant.domains.kept) > 1:
                proba = self.blend_domains(proba, threshold)
            share = self.past_rows.share(self.fixed_outputs, threshold)
            weight = past_rows.DISCRIMINANT_SHARE
            past = weight * shares + (1.0 - weight) * self.opinions[2]
            proba = (1.0 - share) * proba + share * past
        dormant = self.dormancy()
        if not dormant.any() or in_stream or (in_stream is None and retention == 0.0):
            return proba
        given = retention if in_stream is None else None
        temperature = self.discriminant.temperature
        return self.classes.blend(proba, self.class_scores, dormant, temperature, given)

    def blend_domains(self, proba, threshold):
        """Blend in the prediction of earlier domains."""
        earlier = self.discriminant.domains
        lead = (earlier.lead - domains.LEAD * threshold) / domains.SOFTNESS
        probability = 1.0 / (1.0 + math.exp(-lead))
        shares = naive.softmax(self.discriminant.temperature * earlier.scores)
        past = past_rows.DISCRIMINANT_SHARE * shares
        past += (1.0 - past_rows.DISCRIMINANT_SHARE) * self.opinions[2]
        return (1.0 - probability) * proba + probability * past

    def fast(self):
        """Return the ensemble's answer with the snapshots; of a late row, what it was then."""
        if self.fast_then is not None:
            return self.fast_then
        proba = self.proba
        if self.are_evaluated:
            mixed = self.posterior[snapshots.CURRENT] * proba
            weights = self.posterior[snapshots.FIRST :]
            for weight, scores in zip(weights, self.snapshot_scores, strict=True):
                if weight > 0.0:
                    mixed = mixed + weight * naive.softmax(scores[: self.known])
            proba = mixed / (1.0 - self.posterior[snapshots.GUESS])
        return proba

    def class_weights(self):
        """Return the weight of each known class."""
        if self.class_weight == "balanced":
            counts = self.counts[: self.known]
            return counts.sum() / (self.known * np.maximum(counts, 1.0))
        given = self.class_weight or {}
        return np.array([given.get(label, 1.0) for label in range(self.known)])

    def dormancy(self):
        """Return which known classes are dormant."""
        known = slice(0, self.known)
        absences = self.n_seen - self.last_seen[known]
        return self.classes.marks(self.counts[known], absences)

    def value(self):
        if not self.target.values:
            return 0.0
        return self.in_units(self.scores[0] if self.known else 0.0)

    def next_value(self, known=None):
        """Return the value of the next row, from the values known now or given ones."""
        if not self.target.values or not self.settings.n_lags:
            return self.value()
        mean, variance = self.target.statistics
        known = self.recent_values.known if known is None else known
        score = self.recent_values.mix(self.scores[0], known, mean, math.sqrt(variance))
        return self.in_units(score)

    def in_units(self, score):
        """Return a score in the target's units, within its range and a margin."""
        mean, variance = self.target.statistics
        margin = RANGE_MARGIN * (self.target.high - self.target.low)
        value = mean + math.sqrt(variance) * score
        return float(np.clip(value, self.target.low - margin, self.target.high + margin))

    # Learn

    def learn(self, x, y, t=math.nan, then=None):
        """Learn a row's label or value; a late one with what `observe` returned."""
        s = self.settings
        now = self.past
        if then is not None:
            self.past = then.past_then
        self.forward(x, t, then)
        dormant = np.zeros(0, bool) if self.regression else self.dormancy()
        before = self.known
        last = self.last_label if then is None or not self.n_seen else then.last_label
        self.know_label(y)
        dormant = np.pad(dormant, (0, max(self.known - len(dormant), 0)))
        raw = y
        if self.regression and before:
            y = self.bound_target(y, then)
        if self.regression:
            self.recent_values.keep(raw)
        self.wanted = self.standardised(y) if self.regression else np.eye(self.known)[y]
        self.error = self.output_error()
        is_late = then is not None and self.n_seen > 0
        is_first = is_late and not self.regression and then.known == 0
        row = self.recombined(then) if is_late and not is_first else self
        share = 1.0
        self.observation_share = 1.0
        if is_late:
            self.observation_share, share = self.delayed_shares(then)
        if s.learns:
            credit = self.credit()
            share = self.step_share(y, share)
            is_wide = s.n_fields == 1 and not self.regression
            if is_wide and np.abs(self.error).sum() < CERTAIN:
                share = 0.0
            self.change_hidden(credit, share)
        surprise = 1.0 - self.next_answer(row)[y] if s.n_fixed else 0.0
        if s.recursive and not self.regression and self.counts[y] > 1:
            self.learn_correction(y, row)
        if s.n_fixed and self.counts[y] > 1:
            self.learn_next_row(y, dormant, row)
        self.learn_readout(y, row, is_first)
        if s.n_fixed:
            self.discriminant.learn(self.fixed_outputs, self.class_scores, y, self.n_seen)
            self.followers.learn(last, y, self.observation_share)
            self.past_rows.learn(self.fixed_outputs, self.n_seen)
            self.discriminant.domains.follow(y, surprise)
        if s.n_centroids:
            self.centroids.learn(y)
        if s.n_neighbors:
            self.keep_row(x, y)
        self.learn_scales(x, y)
        if s.n_fixed:
            self.fixed.settle(self.row, self.features, self.n_seen)
        self.last_label = None if self.regression else y
        self.n_seen += 1
        self.past = now
        if then is None:
            self.advance(t)

    def know_label(self, y):
        """Count a label; the combined scores then include a new class."""
        before = self.known
        self.known = 1 if self.regression else max(self.known, y + 1)
        if not self.regression:
            gap = self.n_seen - self.last_seen[y]
            self.classes.count(y, self.counts[y], gap)
            self.counts[y] += 1
            self.last_seen[y] = self.n_seen
            self.labels.append(y)
        if self.known > before:
            self.combine()
            if self.settings.n_fixed:
                self.class_scores = with_mean(self.class_scores, self.known)
                self.context_scores = self.followers.scores(self.last_label, self.known)
                more = self.known - len(self.size_scores)
                self.size_scores = np.pad(self.size_scores, (0, more))

    def learn_scales(self, x, y):
        """Learn the gains, and the scales of the features and of the target."""
        if self.n_seen < SETTLE:
            for layer, weighted in enumerate(self.weighted):
                power = self.drive_powers[layer]
                gain = self.gains[layer]
                settled = naive.settle_gain(power, gain, weighted, self.n_seen, self.settings.gain)
                self.drive_powers[layer], self.gains[layer] = settled
        for feature, value in zip(self.features, x, strict=True):
            feature.learn(value)
        if self.regression and self.target.learn(y, abs(self.wanted[0]) >= CLIP, REOPEN_TARGET):
            self.residuals = []

    @property
    def n_observations(self):
        return int(self.n_seen - self.sequences.surplus)

    def is_last_row(self, then):
        return then.n_seen == self.n_seen and then.n_tickets == self.n_tickets

    def delayed_shares(self, then):
        """Return the share of an observation that an observed row is, and of a hidden step."""
        if self.is_last_row(then):
            self.n_tickets -= 1
            return 1.0, 1.0
        if self.regression:
            if not self.delayed_values.in_use:
                self.recent_values.learn_anew()
            self.delayed_values.in_use = True
            rows = self.n_seen - delayed_labels.READOUT_FIRST
            risen = np.clip(rows / delayed_labels.RISE, 0.0, 1.0)
            return 1.0, risen
        waiting = self.n_tickets - then.n_tickets + 1 if then.known else 0
        share = self.sequences.share(self.labels, self.n_seen, then.n_seen, waiting)
        return share, share

    def output_error(self):
        """Return the combined output less the target."""
        if self.regression:
            return self.credit_weights @ self.outputs[:, :1] - self.wanted
        predicted = self.opinions[0] if self.settings.recursive else naive.softmax(self.scores)
        return predicted - self.wanted

    def recombined_outputs(self, then):
        """Return a regression's outputs of then, combined by the weights of now."""
        row = copy.copy(self)
        row.outputs = then.outputs.copy()
        row.outputs[:, then.known :] = 0.0
        row.combine(then.late_outputs if then.known else np.zeros_like(then.late_outputs))
        return row

    def recombined(self, then):
        """Return what the members predicted then, combined by the weights of now."""
        row = copy.copy(self)
        row.outputs = then.outputs.copy()
        row.linear_logits = then.linear_logits.copy()
        if self.settings.n_fixed:
            more = self.known - then.known
            row.class_scores = with_mean(then.class_scores, self.known)
            recent, following = then.context_scores
            recent = np.pad(recent, (0, more))
            row.context_scores = recent, np.pad(following, (0, more))
            row.size_scores = np.pad(then.size_scores, (0, more))
        row.outputs[:, then.known :] = 0.0
        row.linear_logits[then.known :] = 0.0
        row.bayes = naive.level_unknown(then.bayes, then.known)
        pairs = zip(
            then.snapshot_scores, then.ids_then, self.snapshot_scores, self.ids, strict=True
        )
        row.snapshot_scores = [
            scores_then if id_then == id_now and scores_then is not None else scores_now
            for scores_then, id_then, scores_now, id_now in pairs
        ]
        late = None
        if self.regression and self.settings.recursive:
            late = then.late_outputs if then.known else np.zeros_like(then.late_outputs)
        row.combine(late)
        row.error = row.output_error()
        row.predicted = None
        if self.settings.recursive and not self.regression and 0 < then.known == self.known:
            row.opinions[:2] = then.opinions[:2]
            row.proba = then.proba
            row.predicted = then.predicted
            row.fast_then = then.fast_then
        return row

    def bound_target(self, y, then):
        """Keep the residual of a target; return the target within reach of its prediction."""
        mean, variance = self.target.statistics
        deviation = math.sqrt(variance)
        predicted = self.next_value()
        row = self
        known = self.recent_values.known
        if then is not None and self.n_seen:
            row = self.recombined_outputs(then)
            known = then.known_values_then
        ordered = sorted(self.residuals[-RESIDUALS:])
        n = len(ordered)
        reach = math.inf
        if n >= intervals.MIN_RESIDUALS:
            rank = min(math.ceil((n + 1) * intervals.REACH_QUANTILE), n)
            reach = intervals.REACH * ordered[rank - 1]
        reach = max(reach, math.sqrt(self.target.statistics[1]))
        residual = abs(y - row.next_value(known))
        for level, coverage in enumerate(COVERAGES):
            radius = self.radius(level)
            if radius < math.inf:
                rate = min(intervals.ADAPTATION_RATE, intervals.MAX_SHARE * (1 - coverage))
                self.risks[level] += rate * (1 - coverage - (residual > radius))
        self.risks = np.clip(self.risks, 0.0, 1.0)
        self.residuals.append(residual)
        bounded = min(max(y, predicted - reach), predicted + reach)
        followed = self.followed_target(y, bounded, predicted)
        if deviation > 0.0 and self.settings.n_lags:
            z = (followed - mean) / deviation
            late = self.delayed_values
            share = LATE_SHARE * late.evidence_share() if late.in_use else 1.0
            self.recent_values.learn(row.scores[0], known, z, mean, deviation, share=share)
        return bounded

    def followed_target(self, y, bounded, predicted):
        """Return the target as the next answers may follow it; widen their range by it."""
        previous = self.recent_values.known[0] if self.recent_values.known else predicted
        if bounded == y or (previous - predicted) * (y - predicted) <= 0.0:
            return bounded
        reach = max(abs(bounded - predicted), abs(previous - predicted))
        followed = min(max(y, predicted - reach), predicted + reach)
        self.target.widen(followed)
        return followed

    def radius(self, level):
        """Return the half width of the interval of a coverage."""
        ordered = sorted(self.residuals[-RESIDUALS:])
        n = len(ordered)
        if (n + 1) * COVERAGES[level] > n:
            return math.inf
        return ordered[min(max(math.ceil((n + 1) * (1.0 - self.risks[level])), 1), n) - 1]

    def standardised(self, y):
        mean, variance = self.target.statistics
        z = (y - mean) / math.sqrt(variance) if variance > 0.0 else 0.0
        return np.array([min(max(z, -TARGET_CLIP), TARGET_CLIP)])

    # Hidden layers

    def credit(self):
        """Return the credit of every hidden neuron, after the pass that its rule needs."""
        n_hidden = self.settings.n_hidden
        credit = np.zeros(n_hidden)
        n_learned = self.first if self.credit_rule == "mirror" else n_hidden
        is_due = self.n_seen < ALWAYS_UNTIL or self.n_seen % EVERY == 0
        if self.credit_rule in ("plain", "perturbation") or (n_learned > 0 and is_due):
            credit = self.learn_pass(self.draw_noise(), n_learned)
        if self.credit_rule != "plain":
            credit = self.feedback[:, : self.known] @ self.error
        return credit * (self.fresh > 0.0)

    def learn_pass(self, noise, n_learned):
        """Learn feedback from one perturbed pass; return the credit of plain node perturbation."""
        s = self.settings
        change = self.output_change(noise)
        feedback = self.feedback[:, : self.known]
        if self.credit_rule in ("learned", "mirror"):
            feedback[:] = naive.learn_feedback(
                feedback, self.fresh, noise, change, s.noise, FEEDBACK_RATE, n_learned
            )
            return 0.0
        of_loss = naive.loss(self.scores + change, self.wanted, self.regression)
        of_loss -= naive.loss(self.scores, self.wanted, self.regression) + self.loss_baseline
        self.loss_baseline += BASELINE_RATE * of_loss
        if self.credit_rule == "perturbation":
            feedback[:] = naive.learn_from_loss(
                feedback,
                self.fresh,
                noise,
                of_loss,
                self.error,
                s.noise,
                FEEDBACK_RATE,
                MIN_SQUARED_ERROR,
            )
        return of_loss * noise / s.noise**2

    def draw_noise(self):
        s = self.settings
        noise = np.zeros(s.n_hidden, np.float32)
        for layer, n in enumerate(self.sizes):
            part = noise[self.borders[layer] : self.borders[layer + 1]]
            _draw_noise(s.seed_key + layer, self.n_draws, n, NEURON_CLUSTER, s.noise, part)
        self.n_draws += 1
        return noise.astype(float)

    def output_change(self, noise):
        """Return the change of the combined output under noise on the drives."""
        s = self.settings
        change = np.zeros(self.n_inputs)
        n = s.n_hidden - self.first
        change[:n] = (self.run_hidden(self.weights, noise)[0] - self.traces)[self.first :]
        sets = [w for member in self.members[: s.n_trace] for w in member.weights]
        pairs = zip(self.credit_weights, sets, strict=False)
        return sum(weight * (change @ w)[: self.known] for weight, w in pairs)

    def step_share(self, y, share):
        """Return the share of a step that the hidden layers make."""
        if self.regression:
            if self.delayed_values.in_use:
                return share
            return share * self.delayed_values.independent_share(self.error[0])
        if not self.settings.remembers:
            return share
        label, n = self.run_of
        n = n + share if label == y else share
        self.run_of = y, n
        return share * min(1.0, WHOLE_STEPS / max(n, WHOLE_STEPS))

    def change_hidden(self, credit, share):
        """Change every layer by a share of a step."""
        s = self.settings
        if self.regression and self.delayed_values.in_use:
            share_without = self.delayed_values.share_without_memory()
            credit = np.where(self.time_constants > 0.0, share_without * credit, credit)
        pairs = zip(self.borders[:-2], self.borders[1:-1], strict=True)
        inputs = [self.channels, *(self.traces[a:b] for a, b in pairs)]
        cluster = self.choose_cluster(inputs) if s.projection == CLUSTERS else -1
        for layer, x in enumerate(inputs):
            own = credit[self.borders[layer] : self.borders[layer + 1]].copy()
            own[: len(own) - math.ceil(s.plastic * len(own))] = 0.0
            self.change_layer(layer, x, own, cluster, share)
        bounded = [self.weights[0][: self.n_numbers], *self.weights[1:]]
        bounded = [naive.bound_neuron(w, s.plastic, self.n_seen) for w in bounded]
        bounded[0] = np.vstack([bounded[0], self.weights[0][self.n_numbers :]])
        self.weights = bounded

    def change_layer(self, layer, x, credit, cluster, share):
        s = self.settings
        h, square, energy = self.project(layer, x, cluster)
        rows = min(self.n_seen + 1, POWER_ROWS)
        self.input_powers[layer] += (square - self.input_powers[layer]) / rows
        power = self.input_powers[layer]
        if power + energy <= 0.0:
            return
        max_move = MAX_MOVE_WIDE if layer == 0 and s.n_fields == 1 else MAX_MOVE
        rate = share * s.learning_rate
        gain = self.gains[layer]
        self.weights[layer] = naive.change_weights(
            self.weights[layer], h, credit, rate, gain, power, energy, max_move
        )
        if s.projection == RECURSIVE:
            leak = s.projector_leak if layer == 0 else 0.0
            loss = s.orthogonality / (1.0 if layer else s.max_delay + 1.0)
            p = self.projectors[layer]
            n = len(x) if layer else self.n_numbers
            for own, block in ((slice(n), s.block), (slice(n, None), 1)):
                p[own, own] = naive.change_projector(p[own, own], x[own], block, power, loss, leak)

    def project(self, layer, x, cluster):
        """Return the projected input h, or that of each synapse, x'x and x'h."""
        s = self.settings
        p = self.projectors[layer]
        if layer == 0 and s.max_delay:
            rows = np.vstack([x, self.past])
            projected = rows if s.projection == NO_PROJECTION else rows @ p.T
            square = (rows**2).sum(axis=1).mean()
            energy = (rows * projected).sum(axis=1).mean()
            return projected[self.lags, np.arange(len(x))[:, None]], square, energy
        h = x
        if s.projection == CLUSTERS:
            h = self.away_from_clusters(layer, x, cluster)
        elif s.projection == RECURSIVE:
            h = p @ x
        return h, x @ x, x @ h

    def choose_cluster(self, inputs):
        """Return the row's cluster, founded if need be; it has directions at every layer."""
        means = [directions[0][0] for directions in self.clusters]
        cluster = naive.choose_cluster(self.channels, means, self.settings.n_clusters)
        if cluster == len(self.clusters):
            rank = self.settings.rank
            self.clusters.append([np.vstack([x, np.zeros((rank - 1, len(x)))]) for x in inputs])
            self.cluster_sizes.append(0)
        if cluster >= 0:
            self.cluster_sizes[cluster] += 1
        return cluster

    def away_from_clusters(self, layer, x, cluster):
        """Return the input less its part in the other clusters; move the directions of its own.

        The others count as they were at the last refresh.
        """
        if cluster < 0:
            return x
        s = self.settings
        rows = np.vstack([directions[layer] for directions in self.clusters])
        if self.cluster_sizes[cluster] == 1 or self.n_seen % REFRESH == 0:
            floor = s.ridge * (rows**2).sum() / len(rows) + 1e-9
            self.inverses[layer] = np.linalg.inv(rows @ rows.T + floor * np.eye(len(rows)))
        inverse = self.inverses[layer]
        own = np.arange(cluster * s.rank, (cluster + 1) * s.rank)
        shares = inverse @ (rows @ x)
        shares -= inverse[:, own] @ np.linalg.solve(inverse[np.ix_(own, own)], shares[own])
        shares[own] = 0.0
        rate = max(MIN_RATE, 1.0 / self.cluster_sizes[cluster])
        directions = self.clusters[cluster]
        directions[layer] = naive.learn_directions(x, directions[layer], rate)
        return x - shares @ rows

    def blocks_of_projector(self, layer):
        """Return a layer's projector as blocks side by side in one narrow matrix."""
        p = self.projectors[layer]
        block = self.settings.block
        return np.array(
            [np.pad(row[j - j % block :][:block], (0, block))[:block] for j, row in enumerate(p)]
        )

    # Readout

    def next_answer(self, row):
        """Return what the stack made of a row as the next one when it was predicted."""
        predicted = None if row is self else row.predicted
        return self.next_row.combine(row.log_odds(), True) if predicted is None else predicted

    def learn_correction(self, y, row):
        """Learn how the prediction of the next row is corrected."""
        proba = row.fast()
        if self.settings.n_fixed:
            stack = self.next_answer(row)
            proba = self.next_row.mix(stack, row.log_odds())
        self.corrections = naive.learn_mixture(
            self.corrections,
            naive.corrections(proba),
            y,
            self.n_observations,
            self.observation_share,
            naive.start_corrections(),
        )

    def learn_next_row(self, y, dormant, row):
        """Learn the weights of context, and the lead of dormant classes."""
        predicted = None if row is self else row.predicted
        share = self.observation_share
        self.next_row.learn(row.log_odds(), predicted, y, self.n_observations, share)
        if dormant.any():
            self.classes.learn(row.class_scores, dormant, y)

    def learn_readout(self, y, row, is_first):
        """Learn a label; `row` holds what was predicted at the time.

        `is_first`: the row came before any label was known, so that now is the time.
        """
        s = self.settings
        if not s.recursive:
            self.learn_delta()
            return
        if s.n_snapshots:
            self.learn_snapshots(y, row)
        last_seen = None if self.regression else self.last_seen[: self.known]
        if s.waits:
            changes = self.learn_or_wait(y, last_seen)
        else:
            changes = [member.learn(self.wanted, last_seen, self.n_seen) for member in self.members]
        if s.learns and self.credit_rule == "mirror":
            sets = [w for member in changes[: s.n_trace] for w in member]
            pairs = zip(self.credit_weights, sets, strict=False)
            increment = sum(weight * w for weight, w in pairs)
            self.feedback[self.first :] += increment[: s.n_hidden - self.first]
        if not is_first:
            self.learn_stack(row)
        if not self.regression:
            self.learn_mixture(y, row, is_first)

    def learn_or_wait(self, y, last_seen):
        """Let a row wait, or learn it with those that wait; return the changes of the weights."""
        s = self.settings
        self.waiting.append((self.members[0].z, y))
        if len(self.waiting) < s.batch and self.counts[y] > YOUNG:
            return [[np.zeros_like(w) for w in member.weights] for member in self.members]
        rows = self.waiting
        self.waiting = []
        return [
            member.learn_rows(rows, self.known, last_seen, self.n_seen, s.batch)
            for member in self.members
        ]

    def learn_delta(self):
        s = self.settings
        (weights,) = self.members[0].weights
        before = weights.copy()
        own = weights[:, : self.known]
        own[:] = naive.delta_update(own, self.members[0].z, self.error, DELTA_RATE)
        if s.learns and self.credit_rule == "mirror":
            self.feedback[self.first :] += (weights - before)[: s.n_hidden - self.first]

    def learn_stack(self, row):
        """Learn the least-squares stack, and the weights of values that are late."""
        n_losses = self.settings.n_losses
        share = self.observation_share
        before = self.stack
        members = row.outputs[: len(before) * n_losses : n_losses, : self.known]
        self.stack_p, self.stack = naive.learn_stack(
            self.stack_p, before, members, self.wanted, STACK_PRIOR, share
        )
        if not self.regression:
            return
        own = self.delayed_values
        wanted = self.wanted[0]
        if own.in_use:
            error = row.scores[0] - wanted
            own.learn(row.late_outputs, self.output_bounds(), error, wanted, share)
        if own.in_use or own.can_do_without:
            own.learn_stack(self.outputs[:, 0], wanted, share)

    def learn_mixture(self, y, row, is_first):
        """Learn the log-loss stack, the linear experts and the mixture."""
        share = self.observation_share
        known = slice(0, self.known)
        if not is_first:
            self.log_stack, self.log_powers = naive.learn_log_stack(
                self.log_stack,
                self.log_powers,
                row.outputs[:, known],
                row.error,
                self.n_votes,
                share,
            )
        if self.has_logistic:
            n_hidden = self.settings.n_hidden
            x = self.z[n_hidden:]
            weights, before = self.logistic
            p, new = naive.logistic_update(
                before, weights[:, known], x, self.opinions[-2], self.wanted
            )
            weights[:, known] = new
            p = naive.in_blocks(before, p, x, self.n_joint + 1, shapes.BLOCK)
            self.logistic = weights, p
            self.gaussians[y].learn(self.z[n_hidden + 1 :])
        self.log_weights = naive.learn_mixture(
            self.log_weights, row.opinions, y, self.n_observations, share, self.log_priors
        )

    def learn_snapshots(self, y, row):
        """Score the current readout and the snapshots; copy the model when it is due."""
        share = self.observation_share
        in_use = self.posterior > 0.0
        evaluated = self.are_evaluated
        chances = np.full(len(self.posterior), max(row.proba[y], snapshots.MIN_PROBABILITY))
        chances[snapshots.GUESS] = 1.0 / self.known
        for slot, scores in enumerate(row.snapshot_scores):
            if evaluated and in_use[snapshots.FIRST + slot]:
                own = naive.softmax(scores[: self.known])[y]
                chances[snapshots.FIRST + slot] = max(own, snapshots.MIN_PROBABILITY)
        scored = in_use & (np.arange(len(in_use)) > snapshots.CURRENT) & evaluated
        is_right = row.proba[y] >= max(row.proba[: self.known])
        eval_rows = max(self.counters.eval_rows - 1, 0)
        self.counters.eval_rows = eval_rows if is_right else snapshots.EVAL_ROWS
        score = np.log(chances / chances[snapshots.CURRENT])
        rate = share * snapshots.SCORE_RATE
        moved = self.recent_score + rate * (score - self.recent_score)
        self.recent_score = np.where(scored, moved, self.recent_score)
        self.posterior = naive.learn_posterior(
            self.posterior, chances**share, share * snapshots.SHARE, snapshots.RETURN
        )
        slot = self.counters.slot
        if _tick(self.snapshot_state()):
            self.snapshots[slot] = [w.copy() for w in self.weights], self.linear_map()

    def snapshot_state(self):
        """Return the numbers by which the kernel decides when to copy the model."""
        return snapshots.SnapshotState(
            self.posterior, self.recent_score, self.counters, self.ids, _NONE, _NONE, _NONE
        )

    def linear_map(self):
        """Return the current readout as one matrix (inputs, classes)."""
        s = self.settings
        traces = np.hstack([w for member in self.members[: s.n_trace] for w in member.weights])
        linear = [w for member in self.members[s.n_trace :] for w in member.weights]
        linear = np.hstack([np.zeros((len(self.features) + 1, 0)), *linear])
        weights = self.output_weights[: len(self.output_weights) - self.n_votes]
        return naive.linear_map(weights, traces, linear, self.capacity, s.n_hidden)
