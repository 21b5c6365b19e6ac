"""The weighted sum of blocks of outputs."""

from loco_stream._compiler.jit import kernel


@kernel
def weighted_sum(outputs, weights, capacity, n_classes, combined):
    """Write the sum of the blocks of outputs, each times its weight.

    Parameters
    ----------
    outputs
        (blocks * capacity or more,) float32.
    weights
        (blocks,) float64.
    capacity, n_classes
        int64: length of a block, and how many of it count.
    combined
        (n_classes or more,) float64, written.
    """
    for c in range(n_classes):
        combined[c] = 0.0
    for b in range(len(weights)):
        for c in range(n_classes):
            combined[c] += weights[b] * outputs[b * capacity + c]
