"""Domains: stretches of the stream over which the inputs of each class look alike.

Where inputs change while the classes stay, one mean for each class would lie between all that it
was the mean of. So the discriminant keeps the means of the domain that the stream is in, and those
of earlier domains are kept here. All share its precision: a class is a mixture of Gaussians that
differ in their means alone (Hastie & Tibshirani 1996). Its score is that of the best one.

A row that may be from anywhere, and that an earlier domain fits clearly better than the current
one, is predicted by earlier domains for the most part: layers that learn have forgotten how its
inputs looked. The rest is the prediction of the least-squares member with the smallest leak.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float32, Float64, Int64, Records
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import dot
from loco_stream._learner.arrays.spec import Record, axes, record, records

MAX_DOMAINS = 16
MEANS_PER_CLASS = 12  # in earlier domains, on average
MAX_MEANS = 128  # of all classes
LEAD = 5.0  # nats by which a domain fits rows clearly better than another
SOFTNESS = 2.0  # of the transition, in nats


class DomainState(NamedTuple):
    """Earlier domains, and what recent rows are compared by; empty without a fixed layer.

    counters: domains so far, of which the first has number 0; means in use; number of the current
    domain; mean whose projection is renewed next
    positions: 1 + that of the mean of each class in each domain, out of date for the current one;
    0: it has none
    means: of the fixed layer's outputs
    projected: the precision times each mean
    statistics: of each mean, its rows, its product with its projection, and the rows of the scatter
    when it was projected
    leads: recent rows whose class has a known mean in each domain, and the sum of the nats by which
    it fits them better than the current one
    recent: sum of the errors of recent answers, and their number; the same of those before; rows
    before the recent ones; error that is usual, and how often it was measured; usual distance that
    rows have in common from the current domain
    gains: sum over the rows before of the precision times what each differs from the mean of its
    class
    inputs, weights: sum of recent rows, and number of these rows by class
    """

    counters: Annotated[Record, record(np.int64, n_domains=1, n_means=0, current=0, turn=0)]
    positions: Annotated[Int64, axes("domains", "classes")]
    means: Annotated[Float32, axes("domain_means", "fixed_outputs")]
    projected: Annotated[Float32, axes("domain_means", "fixed_outputs")]
    statistics: Annotated[
        Records,
        records("domain_means", np.float64, n_rows=0.0, offset=0.0, total=1.0),
    ]
    leads: Annotated[Records, records("domains", np.float64, n_rows=0.0, lead=0.0)]
    recent: Annotated[
        Record,
        record(
            np.float64,
            error=0.0,
            n_answers=0.0,
            error_before=0.0,
            n_answers_before=0.0,
            n_before=0.0,
            usual_error=0.0,
            n_errors=0.0,
            usual_distance=0.0,
        ),
    ]
    gains: Annotated[Float32, axes("fixed_outputs")]
    inputs: Annotated[Float32, axes("fixed_outputs")]
    weights: Annotated[Float64, axes("classes")]


class DomainScratch(NamedTuple):
    """Working arrays.

    scores: of each class in earlier domains
    lead: of the best of them over the best one in the current domain
    """

    scores: Annotated[Float32, axes("classes")]
    lead: Annotated[Float64, axes(1, start=-math.inf)]


def check(own: DomainState) -> None:
    """Raise ValueError if a count or a position is out of bounds, or a divisor may be 0."""
    counters = own.counters
    n_used = int(counters.n_means)
    for name, value, low, high in (
        ("n_domains", counters.n_domains, 1, max(len(own.positions), 1)),
        ("n_means", n_used, 0, len(own.means)),
        ("current", counters.current, 0, counters.n_domains - 1),
        ("turn", counters.turn, 0, max(n_used - 1, 0)),
    ):
        if not low <= value <= high:
            raise ValueError(f"`{name}` of the domains must be {low} to {high}, got {value}")
    if not ((own.positions >= 0) & (own.positions <= n_used)).all():
        raise ValueError(f"array 'domains.positions' must be 0 to {n_used}")
    if not (own.statistics["n_rows"][:n_used] > 0.0).all():
        raise ValueError("each mean in 'domains.statistics' must have rows")


def earlier_positions(arrays: Mapping[str, Array]) -> Iterator[Int64]:
    """Yield the positions of the classes in each domain of a model but the current one.

    `arrays` are those of the model by name.
    """
    n_domains, _, current, _ = arrays["domains.counters"].tolist()
    for domain, positions in enumerate(arrays["domains.positions"][:n_domains]):
        if domain != current:
            yield positions


def forget(arrays: dict[str, Array]) -> None:
    """Leave the first domain as the only one, in the arrays of a model by name."""
    room = most_means(arrays["domains.positions"].shape[1])
    for name in ("means", "projected", "statistics"):
        shape = arrays[f"domains.{name}"].shape
        arrays[f"domains.{name}"] = np.zeros_like(
            arrays[f"domains.{name}"], shape=(room, *shape[1:])
        )
    for name, array in arrays.items():
        if name.startswith("domains."):
            array[:] = 0
    arrays["domains.counters"][0] = 1


def most_means(n_classes: int) -> int:
    """Return how many means of so many classes are kept."""
    return min(MEANS_PER_CLASS * n_classes, MAX_MEANS)


mean_capacity = kernel(most_means)  # the same for compiled code


def lengths(settings: Any, n_classes: int) -> dict[str, int]:
    """Return the lengths of the axes: 0 without a fixed layer."""
    return {
        "domains": MAX_DOMAINS if settings.n_fixed else 0,
        "domain_means": most_means(n_classes) if settings.n_fixed else 0,
    }


@kernel
def log_likelihood(own, position, inputs):
    """Return that of a row by the mean at `position` (int64), up to what all means share."""
    i = position - 1
    n = len(inputs)
    product = np.float64(dot(own.projected, i * n, inputs, 0, n))
    return own.statistics[i].total * (product - 0.5 * own.statistics[i].offset)


@kernel
def add_earlier_scores(own, inputs, discriminant, free, earlier, scores):
    """Write the best score of each class in earlier domains, and the best one of all into `scores`.

    Parameters
    ----------
    own
        `DomainState`.
    inputs
        (inputs,) float32.
    discriminant
        `State` of the discriminant.
    free
        float64: inputs whose scatter is known.
    earlier
        (classes,) float32, written; -inf where a class has no mean in an earlier domain.
    scores
        (classes,) float32: those in the current domain, overwritten.

    Returns
    -------
    float
        The lead of the best earlier score over the best one in the current domain.
    """
    best_earlier = -math.inf
    best_present = -math.inf
    for c in range(len(earlier)):
        best = -math.inf
        for d in range(own.counters.n_domains):
            position = own.positions[d, c]
            if position > 0 and d != own.counters.current:
                bias = 0.5 * free / own.statistics[position - 1].n_rows
                best = max(best, log_likelihood(own, position, inputs) + bias)
        earlier[c] = best
        best_earlier = max(best_earlier, best)
        if discriminant.n_rows[c] > 0.0:
            best_present = max(best_present, np.float64(scores[c]))
            scores[c] = max(scores[c], earlier[c])
        elif best > -math.inf:
            scores[c] = earlier[c]
    return best_earlier - best_present


@kernel
def earlier_domain_probability(lead, threshold):
    """Return the probability that a row belongs to an earlier domain; 0 or NaN where none is known.

    `lead` (float64) is in nats, that of `add_earlier_scores`; `threshold` (float64) is the multiple
    of `LEAD` at which the probability is one half.
    """
    # The logistic function, without overflow.
    return 0.5 + 0.5 * math.tanh(0.5 * (lead - LEAD * threshold) / SOFTNESS)
