"""Which part of the feature vector the readout sees."""

from loco_stream._compiler.jit import kernel


@kernel
def input_span(settings, n_features):
    """Return where the readout's inputs begin in the feature vector, and their number.

    The vector is ``[traces | 1 | scaled features]``; `n_features` is an int64.
    """
    if settings.last_layer:
        return settings.n_hidden - settings.n_last, settings.n_last + 1
    return 0, settings.n_hidden + 1 + (n_features if settings.raw_inputs else 0)
