"""The last word: a Bayesian mixture of experts, each weighted by how likely it found the labels of late.

An expert's weight is exp(sum of the log-probabilities it gave to the labels, fading). Where classes
are rare or a stream is short, a single well-calibrated member outweighs the stack; elsewhere the
stack outweighs all. Naive Bayes has a head start that does not fade: where a class is rare, the
last rows tell too little of who knows it best.
"""

from __future__ import annotations

import math

from loco_stream._compiler.jit import kernel
from loco_stream.options import FEW_ROWS

__all__ = ["judge", "kept", "mix"]

FADE = 0.9995  # of the log-likelihoods: about 2,000 rows count
EARLY = 2.0  # of n rows so far, the last n / EARLY count
LEAST = 1e-9  # probability granted to every label


@kernel
def mix(evidence, experts, n_classes, says, proba):
    """Write the weight of each expert, and the mixture of their probabilities (experts, n_classes or more)."""
    top = -math.inf
    total = 0.0
    for e in range(evidence.shape[0]):
        top = max(top, evidence[e])
    for e in range(evidence.shape[0]):
        says[e] = math.exp(evidence[e] - top)
        total += says[e]
    for c in range(n_classes):
        proba[c] = 0.0
    for e in range(evidence.shape[0]):
        says[e] /= total
        for c in range(n_classes):
            proba[c] += says[e] * experts[e, c]
    summed = 0.0
    for c in range(n_classes):
        summed += proba[c]
    for c in range(n_classes):
        proba[c] /= summed  # 1 but for rounding, and no probability may be above it


@kernel
def kept(n_seen, share):
    """Return what is left of evidence after `share` of a label; `n_seen` rows came before.

    At first it fades faster, in proportion to the rows so far: who was ahead on the first few,
    where most experts are as good as untaught, must not speak for hundreds.
    """
    fade = min(FADE, (n_seen + 1.0) / (n_seen + 1.0 + EARLY))
    return fade if share == 1.0 else 1.0 - share * (1.0 - fade)


@kernel
def judge(evidence, experts, favoured, label, n_seen, share):
    """Take into each expert's evidence what it gave to `share` of a label.

    That of the expert `favoured` (-1: of none) fades to `FEW_ROWS`, that of the others to 0.
    """
    keep = kept(n_seen, share)
    for e in range(evidence.shape[0]):
        evidence[e] = keep * evidence[e] + share * math.log(max(experts[e, label], LEAST))
    if favoured >= 0:
        evidence[favoured] += (1.0 - keep) * FEW_ROWS
