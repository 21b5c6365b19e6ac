"""Measures of learning on streams: retention, plasticity and prequential scores.

Continual-learning measures take an accuracy matrix `R`, where `R[i, j]` is the accuracy on task j
after training on task i. Stream measures take labels and predictions in the order of the stream;
`Prequential` is their incremental form. Libraries use the same names for different formulas: each
docstring states the one used here, and `variant=` selects others.
"""

from loco_stream.metrics._anytime import (
    minimum_accuracy,
    windowed_forgetting,
    windowed_plasticity,
    worst_case_accuracy,
)
from loco_stream.metrics._continual import (
    average_accuracy,
    average_anytime_accuracy,
    backward_transfer,
    forgetting,
    forward_transfer,
    learning_accuracy,
)
from loco_stream.metrics._prequential import Prequential
from loco_stream.metrics._stream import fading_accuracy, kappa, kappa_m, kappa_t

__all__ = [
    "Prequential",
    "average_accuracy",
    "average_anytime_accuracy",
    "backward_transfer",
    "fading_accuracy",
    "forgetting",
    "forward_transfer",
    "kappa",
    "kappa_m",
    "kappa_t",
    "learning_accuracy",
    "minimum_accuracy",
    "windowed_forgetting",
    "windowed_plasticity",
    "worst_case_accuracy",
]
