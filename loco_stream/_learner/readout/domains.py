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
from numpy.typing import NDArray

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import dot
from loco_stream._learner.arrays.spec import Record, axes, record, records
from loco_stream._learner.readout.softmax import softmax

MAX_DOMAINS = 16
MEANS_PER_CLASS = 12  # in earlier domains, on average
MAX_MEANS = 128  # of all classes
LEAD = 5.0  # nats by which a domain fits rows clearly better than another
SHARE = 0.8  # of the means in the answer to a row of an earlier domain
SOFTNESS = 2.0  # of the transition, in nats


class DomainState(NamedTuple):
    """Earlier domains, and what recent rows are compared by; empty without a fixed layer.

    counters: domains so far, of which the first has number 0; means in use; number of the current
    domain; mean whose projection is renewed next
    places: 1 + position of the mean of each class in each domain, out of date for the current one;
    0: it has none
    means: of the fixed layer's outputs
    projected: the precision times each mean
    parts: rows of each mean, product of mean and projection, and rows of the scatter when it was
    projected
    fits: recent rows whose class has a known mean in each domain, and the sum of the nats by which
    it fits them better than the current one
    recent: sum of the errors of recent answers, and their number; the same of those before; rows
    before the recent ones; error that is usual, and how often it was measured
    gains: sum over the rows before of the precision times what each differs from the mean of its
    class
    inputs, weights: sum of recent rows, and number of these rows by class
    """

    counters: Annotated[Record, record(np.int64, n_domains=1, n_means=0, current=0, turn=0)]
    places: Annotated[NDArray[np.int64], axes("domains", "classes")]
    means: Annotated[NDArray[np.float32], axes("domain_means", "fixed_outputs")]
    projected: Annotated[NDArray[np.float32], axes("domain_means", "fixed_outputs")]
    parts: Annotated[
        NDArray[np.record],
        records("domain_means", np.float64, n_rows=0.0, offset=0.0, total=1.0),
    ]
    fits: Annotated[NDArray[np.record], records("domains", np.float64, n_rows=0.0, lead=0.0)]
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
        ),
    ]
    gains: Annotated[NDArray[np.float32], axes("fixed_outputs")]
    inputs: Annotated[NDArray[np.float32], axes("fixed_outputs")]
    weights: Annotated[NDArray[np.float64], axes("classes")]


class DomainScratch(NamedTuple):
    """Working arrays.

    scores: of each class in earlier domains
    lead: of the best of them over the best one in the current domain
    """

    scores: Annotated[NDArray[np.float32], axes("classes")]
    lead: Annotated[NDArray[np.float64], axes(1, start=-math.inf)]


def check(own: DomainState) -> None:
    """Raise ValueError if a count or a place is out of bounds, or a divisor may be 0."""
    counters = own.counters
    n_used = int(counters.n_means)
    for name, value, low, high in (
        ("n_domains", counters.n_domains, 1, max(len(own.places), 1)),
        ("n_means", n_used, 0, len(own.means)),
        ("current", counters.current, 0, counters.n_domains - 1),
        ("turn", counters.turn, 0, max(n_used - 1, 0)),
    ):
        if not low <= value <= high:
            raise ValueError(f"`{name}` of the domains must be {low} to {high}, got {value}")
    if not ((own.places >= 0) & (own.places <= n_used)).all():
        raise ValueError(f"array 'domains.places' must be 0 to {n_used}")
    if not (own.parts["n_rows"][:n_used] > 0.0).all():
        raise ValueError("each mean in 'domains.parts' must have rows")


def earlier_places(arrays: Mapping[str, NDArray[Any]]) -> Iterator[NDArray[np.int64]]:
    """Yield the places of the classes in each domain of a model but the current one.

    `arrays` are those of the model by name.
    """
    n_domains, _, current, _ = arrays["domains.counters"].tolist()
    for domain, places in enumerate(arrays["domains.places"][:n_domains]):
        if domain != current:
            yield places


def forget(arrays: dict[str, NDArray[Any]]) -> None:
    """Leave the first domain as the only one, in the arrays of a model by name."""
    for name, array in arrays.items():
        if name.startswith("domains."):
            array[:] = 0
    arrays["domains.counters"][0] = 1


def most_means(n_classes: int) -> int:
    """Return how many means of so many classes are kept."""
    return min(MEANS_PER_CLASS * n_classes, MAX_MEANS)


n_places = kernel(most_means)  # the same for compiled code


def lengths(settings: Any, n_classes: int) -> dict[str, int]:
    """Return the lengths of the axes: 0 without a fixed layer."""
    return {
        "domains": MAX_DOMAINS if settings.n_fixed else 0,
        "domain_means": most_means(n_classes) if settings.n_fixed else 0,
    }


@kernel
def log_likelihood(own, place, inputs):
    """Return that of a row by the mean at `place` (int64), up to what all means share."""
    i = place - 1
    n = inputs.shape[0]
    product = np.float64(dot(own.projected, i * n, inputs, 0, n))
    return own.parts[i].total * (product - 0.5 * own.parts[i].offset)


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
    for c in range(earlier.shape[0]):
        best = -math.inf
        for d in range(own.counters.n_domains):
            place = own.places[d, c]
            if place > 0 and d != own.counters.current:
                bias = 0.5 * free / own.parts[place - 1].n_rows
                best = max(best, log_likelihood(own, place, inputs) + bias)
        earlier[c] = np.float32(best)
        best_earlier = max(best_earlier, best)
        if discriminant.n_rows[c] > 0.0:
            best_present = max(best_present, np.float64(scores[c]))
            scores[c] = max(scores[c], earlier[c])
        elif best > -math.inf:
            scores[c] = earlier[c]
    return best_earlier - best_present


@kernel
def blend_earlier_domains(lead, scores, member, n_classes, factor, proba, answer):
    """Blend in the prediction of earlier domains, as far as they fit a row clearly better.

    Parameters
    ----------
    lead
        float64: by how many nats they do, less those that are asked.
    scores
        (n_classes or more,) float32 in earlier domains.
    member
        (n_classes or more,) float64: probabilities of the least-squares member with the smallest
        leak.
    n_classes
        int64.
    factor
        float64: temperature of the scores.
    proba
        (n_classes or more,) float64 working memory.
    answer
        (n_classes or more,) float64, overwritten.
    """
    # The logistic function, without overflow.
    probability = 0.5 + 0.5 * math.tanh(0.5 * lead / SOFTNESS)
    if not probability > 0.0:
        return
    softmax(scores, 0, n_classes, factor, proba)
    for c in range(n_classes):
        past = SHARE * proba[c] + (1.0 - SHARE) * member[c]
        answer[c] += probability * (past - answer[c])
