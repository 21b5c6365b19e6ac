"""Sizes of the vector loops."""

VECTOR_BYTES = 64  # LLVM splits such a vector into the registers that the processor has
DOUBLES = VECTOR_BYTES // 8  # float64 lanes of a vector
SINGLES = VECTOR_BYTES // 4  # float32 lanes of a vector
GROUP = SINGLES  # neighbouring neurons that `weigh_groups` reaches together
RANK = 4  # outer products that `add_outers` takes together
ROWS = 4  # of a symmetric matrix that are read together
STEPS = 4  # time steps that `sum_dense` sums together
# Vectors per tile: enough to hide the latency of an addition, few enough for 16 registers of 32
# bytes.
TILE = 4


def whole_vectors(n: int) -> int:
    """Return a number of float32 items, rounded up to whole vectors.

    Rows of that length begin where a cache line does, so no vector of `weigh_rows` lies in two
    lines.
    """
    return -(-n // SINGLES) * SINGLES
