"""What defines a credit rule."""

from __future__ import annotations

from typing import Any, NamedTuple


class CreditRule(NamedTuple):
    """How every hidden neuron learns what its drive does to the loss, by forward passes only.

    Parameters
    ----------
    name
        Value of the option `credit`.
    learning_rate
        Learning rate that was measured for it, in units of drive.
    assign
        Kernel ``(settings, state, scratch) -> None``: writes `scratch.neurons.credit`, (hidden,)
        float32, the gradient of the loss by each drive, from `scratch.now.error`. It allocates
        nothing.
    mirrors
        Whether the readout adds the changes of its weights to `state.net.feedback`.
    """

    name: str
    learning_rate: float
    assign: Any
    mirrors: bool = False
