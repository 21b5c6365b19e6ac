"""Which domain the stream is in, found from labelled rows.

Within a domain, what rows differ from the means of their classes has no direction in common. Let u
and v be the mean of this over a few successive rows and over the next few, P the precision and N
the rows that it is of. Then N u'Pv is 0 on average. Elsewhere it is the squared distance of the
rows from the means that they have in common, in standard deviations. A new domain begins where this
is a clear part of a row's own squared distance and clearly more than usual, a domain of its own
would fit the rows clearly better, and the answers to them are worse than usual. Where inputs drift
all the time, it is never more than usual, and the means follow. The stream is back in an earlier
domain which fits the rows clearly better, and from which they have no such distance.
"""

import math

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import dot
from loco_stream._learner.readout.domains import LEAD, MAX_DOMAINS, log_likelihood, mean_capacity
from loco_stream._learner.readout.experts.discriminant import (
    CLASS_ROWS,
    multiply_rests,
    project_all,
)

N_COMPARED = 16.0  # rows that are compared with the next ones
PART = 0.0125  # of a row's squared distance
WORSE = 2.0  # standard deviations of the mean error
RISE = 3.0  # times the usual distance in common
USUAL_RATE = 0.05  # of the usual error and distance


@kernel
def _own_log_likelihood(discriminant, c, inputs):
    """Return that of a row by the current mean of class `c` (int64); see `log_likelihood`."""
    n = len(inputs)
    product = np.float64(dot(discriminant.projected, c * n, inputs, 0, n))
    return discriminant.total[0] * (product - 0.5 * discriminant.offsets[c])


@kernel
def _compare(own, discriminant, work, k):
    """Take row `k` (int64) of those learned last into what domains are compared by."""
    label = work.labels[k]
    inputs = discriminant.waiting[k]
    for j in range(len(inputs)):
        own.inputs[j] += inputs[j]
    own.weights[label] += 1.0
    present = _own_log_likelihood(discriminant, label, inputs)
    for d in range(own.counters.n_domains):
        position = own.positions[d, label]
        is_earlier = position > 0 and d != own.counters.current
        if is_earlier and own.statistics[position - 1].n_rows >= CLASS_ROWS:
            own.leads[d].n_rows += 1.0
            own.leads[d].lead += log_likelihood(own, position, inputs) - present


@kernel
def _distance(own, discriminant, rests, n_rows):
    """Return the squared distance that recent rows and those before have in common from a domain.

    `rests` is (inputs,) float32: sum over `n_rows` (float64) rows of what each differs from the
    means of the domain.
    """
    if own.recent.n_before == 0.0 or n_rows == 0.0:
        return 0.0
    product = np.float64(dot(own.gains, 0, rests, 0, len(rests)))
    return discriminant.total[0] * product / (own.recent.n_before * n_rows)


@kernel
def _fitting_domain(own, discriminant, n_classes):
    """Return the domain that fits recent rows clearly better than the current one; -1 for none.

    The sum of recent rows is overwritten.
    """
    best = -1
    lead = LEAD
    for d in range(own.counters.n_domains):
        found = own.leads[d]
        is_compared = d != own.counters.current and found.n_rows >= 0.5 * discriminant.recent.n_rows
        if is_compared and found.lead / found.n_rows > lead:
            lead = found.lead / found.n_rows
            best = d
    if best < 0:
        return best
    rests = own.inputs
    for c in range(n_classes):
        weight = np.float32(own.weights[c])
        position = own.positions[best, c]
        if weight > 0.0:
            for j in range(len(rests)):
                mean = own.means[position - 1, j] if position > 0 else discriminant.means[c, j]
                rests[j] -= weight * mean
    distance = _distance(own, discriminant, rests, discriminant.recent.n_rows)
    return best if 0.5 * distance <= LEAD else -1


@kernel
def _is_new(own, discriminant, distance):
    """Return whether recent rows and those before are of a new domain.

    `distance` (float64) is what they have in common from the current one.
    """
    own_distance = discriminant.total[0] * discriminant.recent.energy / discriminant.recent.n_rows
    if 0.5 * distance < LEAD or distance < PART * own_distance:
        return False
    if distance < RISE * own.recent.usual_distance:
        return False
    recent = own.recent
    n_answers = max(recent.n_answers + recent.n_answers_before, 1.0)
    deviation = math.sqrt(recent.usual_error * (1.0 - recent.usual_error) / n_answers)
    error = (recent.error + recent.error_before) / n_answers
    return error > recent.usual_error + WORSE * deviation


@kernel
def _learn_usual(own, distance):
    """Take the mean error of recent rows, and their distance in common, into what is usual."""
    recent = own.recent
    recent.n_errors += 1.0
    rate = max(USUAL_RATE, 1.0 / recent.n_errors)
    recent.usual_error += rate * (recent.error / max(recent.n_answers, 1.0) - recent.usual_error)
    recent.usual_distance += rate * (max(distance, 0.0) - recent.usual_distance)


@kernel
def _has_room(own, discriminant, n_classes):
    """Return whether the means of the current domain and of one more can be kept."""
    counters = own.counters
    n_needed = n_classes
    for c in range(n_classes):
        if discriminant.n_rows[c] > 0.0 and own.positions[counters.current, c] == 0:
            n_needed += 1
    has_means = counters.n_means + n_needed <= mean_capacity(n_classes)
    return has_means and counters.n_domains < MAX_DOMAINS


@kernel
def _keep_means(own, discriminant, n_classes):
    """Keep the means of the current domain, as far as there is room."""
    counters = own.counters
    n = own.means.shape[1]
    for c in range(n_classes):
        if discriminant.n_rows[c] == 0.0:
            continue
        if own.positions[counters.current, c] == 0:
            if counters.n_means == mean_capacity(n_classes):
                continue
            counters.n_means += 1
            own.positions[counters.current, c] = counters.n_means
        i = own.positions[counters.current, c] - 1
        own.statistics[i].n_rows = discriminant.n_rows[c]
        own.statistics[i].offset = discriminant.offsets[c]
        own.statistics[i].total = discriminant.total[0]
        for j in range(n):
            own.means[i, j] = discriminant.means[c, j]
            own.projected[i, j] = discriminant.projected[c, j]


@kernel
def _take_means(own, discriminant, work, n_classes):
    """Give the discriminant the means of the current domain."""
    n = own.means.shape[1]
    for c in range(n_classes):
        position = own.positions[own.counters.current, c]
        discriminant.n_rows[c] = own.statistics[position - 1].n_rows if position > 0 else 0.0
        discriminant.offsets[c] = 0.0
        for j in range(n):
            discriminant.means[c, j] = (
                own.means[position - 1, j] if position > 0 else np.float32(0.0)
            )
            discriminant.projected[c, j] = 0.0
    project_all(discriminant, work, n_classes)


@kernel
def _enter(own, discriminant, work, n_classes, domain):
    """Go to a domain (int64): one that is kept, or the next new one."""
    counters = own.counters
    _keep_means(own, discriminant, n_classes)
    counters.n_domains = max(counters.n_domains, domain + 1)
    counters.current = domain
    _take_means(own, discriminant, work, n_classes)


@kernel
def _renew_projections(own, discriminant, work):
    """Compute the next projections anew: the precision has changed since."""
    counters = own.counters
    n_means = counters.n_means
    n = own.means.shape[1]
    n_renewed = min(n_means, len(work.rests))
    if n_renewed == 0:
        return
    for k in range(n_renewed):
        i = (counters.turn + k) % n_means
        for j in range(n):
            work.rests[k, j] = own.means[i, j]
    multiply_rests(discriminant, work, n_renewed)
    for k in range(n_renewed):
        i = (counters.turn + k) % n_means
        for j in range(n):
            own.projected[i, j] = work.gains[k, j]
        own.statistics[i].offset = dot(work.gains[k], 0, own.means[i], 0, n)
        own.statistics[i].total = discriminant.total[0]
    counters.turn = (counters.turn + n_renewed) % n_means


@kernel
def follow(own, discriminant, work, n_classes, label, error):
    """Find the domain that the stream is in, from the rows that the discriminant learned last.

    Parameters
    ----------
    own
        `DomainState`.
    discriminant, work
        `State` and `Scratch` of the discriminant.
    n_classes
        int64.
    label, error
        int64 and float64: class of the last row, and 1 less the probability that the answer gave
        to it.
    """
    if discriminant.n_rows[label] >= CLASS_ROWS:
        own.recent.error += error
        own.recent.n_answers += 1.0
    if own.counters.n_domains > 1:
        for k in range(work.n_learned[0]):
            if work.energies[k] >= 0.0 and work.moves[k] <= 1.0 / (CLASS_ROWS + 1.0):
                _compare(own, discriminant, work, k)
    if discriminant.recent.n_rows >= N_COMPARED:
        _decide(own, discriminant, work, n_classes)
        _begin_again(own, discriminant, n_classes)


@kernel
def _decide(own, discriminant, work, n_classes):
    """Stay in the current domain, go back to another or begin one."""
    counters = own.counters
    domain = -1
    if counters.n_domains > 1:
        domain = _fitting_domain(own, discriminant, n_classes)
    n_rows = discriminant.recent.n_rows
    distance = _distance(own, discriminant, discriminant.recent_rests, n_rows)
    has_room = _has_room(own, discriminant, n_classes)
    if domain < 0 and has_room and _is_new(own, discriminant, distance):
        domain = counters.n_domains
    own.recent.n_before = n_rows
    own.recent.error_before = own.recent.error
    own.recent.n_answers_before = own.recent.n_answers
    for j in range(len(own.gains)):
        own.gains[j] = discriminant.recent_gains[j]
    if domain < 0:
        _learn_usual(own, distance)
        _renew_projections(own, discriminant, work)
        return
    own.recent.n_before = 0.0
    _enter(own, discriminant, work, n_classes, domain)


@kernel
def _begin_again(own, discriminant, n_classes):
    """Forget the recent rows."""
    discriminant.recent.n_rows = 0.0
    discriminant.recent.energy = 0.0
    own.recent.error = 0.0
    own.recent.n_answers = 0.0
    for j in range(len(own.inputs)):
        discriminant.recent_rests[j] = 0.0
        discriminant.recent_gains[j] = 0.0
        own.inputs[j] = 0.0
    for c in range(n_classes):
        own.weights[c] = 0.0
    for d in range(own.counters.n_domains):
        own.leads[d].n_rows = 0.0
        own.leads[d].lead = 0.0
