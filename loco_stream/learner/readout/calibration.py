"""The last correction of the probabilities.

How much they are to be sharpened, and how many labels are wrong.

Members that see each other's errors, and labels of which some are wrong at random, leave
probabilities that are too low here and too high there. Each correction raises them to one of
`POWERS` and takes them to be those of a label of which one of `NOISES` is a guess among the known
classes; none changes which class is the likeliest. All corrections are mixed by how likely they
found the labels of late, as the experts are. That nothing is to be corrected has a head start which
does not fade: a few thousand rows with a dozen of a rare class prove little.
"""

from __future__ import annotations

import math

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.state import CLASS_COUNT
from loco_stream.learner.readout.mixture import LEAST, kept
from loco_stream.options import AS_SAID, BALANCED, HEAD_START, NOISES, POWERS

__all__ = ["correct", "judge", "weigh_classes"]

N_POWERS = len(POWERS)
N_NOISES = len(NOISES)
SUM, SHARE = range(
    2
)  # rows of the room: of the powers of all classes, and how much each power counts


@kernel
def _raised(p):
    """Return p raised to each of `POWERS`, by roots, which are rounded alike compiled or not."""
    root = math.sqrt(p)
    square = p * p
    return root * math.sqrt(root), p, p * root, square * root, square * square


@kernel
def _write_sums(proba, n_classes, room):
    for a in range(N_POWERS):
        room[SUM, a] = 0.0
    for c in range(n_classes):
        raised = _raised(proba[c])
        for a in range(N_POWERS):
            room[SUM, a] += raised[a]


@kernel
def correct(evidence, proba, n_classes, room):
    """Correct the probabilities in place.

    `evidence` (powers, noises) says how likely each correction was of late.
    """
    _write_sums(proba, n_classes, room)
    top = -math.inf
    total = 0.0
    guess = 0.0
    for a in range(N_POWERS):
        for b in range(N_NOISES):
            top = max(top, evidence[a, b])
    for a in range(N_POWERS):
        room[SHARE, a] = 0.0
        for b in range(N_NOISES):
            say = math.exp(evidence[a, b] - top)
            total += say
            room[SHARE, a] += say * (1.0 - NOISES[b])
            guess += say * NOISES[b]
    for a in range(N_POWERS):
        room[SHARE, a] /= total * room[SUM, a]
    guess /= total * n_classes
    total = 0.0
    for c in range(n_classes):
        raised = _raised(proba[c])
        proba[c] = guess
        for a in range(N_POWERS):
            proba[c] += room[SHARE, a] * raised[a]
        total += proba[c]
    for c in range(n_classes):
        proba[c] /= total  # 1 but for rounding, and no probability may be above it


@kernel
def judge(evidence, proba, label, n_classes, n_seen, share, room):
    """Take in what each correction would have given to `share` of a label.

    `proba` is what the mixture said.
    """
    _write_sums(proba, n_classes, room)
    raised = _raised(proba[label])
    keep = kept(n_seen, share)
    for a in range(N_POWERS):
        chance = raised[a] / room[SUM, a]
        for b in range(N_NOISES):
            given = (1.0 - NOISES[b]) * chance + NOISES[b] / n_classes
            evidence[a, b] = keep * evidence[a, b] + share * math.log(max(given, LEAST))
    evidence[AS_SAID, 0] += (1.0 - keep) * HEAD_START


@kernel
def weigh_classes(weighting, classes, weights, n_classes, proba):
    """Weigh the probabilities by class.

    Those of a stream in which each came so many times as often (Elkan 2001).
    """
    seen = 0.0
    total = 0.0
    for c in range(n_classes):
        seen += classes[CLASS_COUNT, c]
    for c in range(n_classes):
        weight = weights[c]
        if weighting == BALANCED:
            weight = seen / (n_classes * max(classes[CLASS_COUNT, c], 1.0))
        proba[c] *= weight
        total += proba[c]
    for c in range(n_classes):
        proba[c] /= total
