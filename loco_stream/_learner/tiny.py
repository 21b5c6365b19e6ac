"""Numbers that have nearly vanished become 0, since they would be slow.

An element of a matrix that decays by a share per row, and that no input renews, shrinks for ever.
Single-precision numbers below 1e-38 are subnormal, and processors compute with them much more
slowly. Elements far above that limit no longer change a sum, since those that matter are 1e-3 to 1.
"""

import numpy as np

from loco_stream._compiler.jit import kernel

SMALLEST = np.float32(1e-17)  # products of two such numbers are still normal
EVERY = 16  # calls in which every row of a matrix is visited once


@kernel
def drop_tiny_items(vector, n):
    """Set items below `SMALLEST` to 0.

    Parameters
    ----------
    vector
        (n or more,) float32.
    """
    for i in range(n):
        if abs(vector[i]) < SMALLEST:
            vector[i] = 0.0


@kernel
def drop_tiny(matrix, n_rows, n_columns, turn):
    """Set elements below `SMALLEST` to 0, in every `EVERY`-th row.

    The work of one pass is spread over calls, so that no call takes longer than others.

    Parameters
    ----------
    matrix
        (n_rows or more, n_columns or more) float32.
    turn
        int64: how often it was called before, or any other count of rows.
    """
    for j in range(turn % EVERY, n_rows, EVERY):
        drop_tiny_items(matrix[j], n_columns)
