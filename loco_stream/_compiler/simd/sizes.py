"""Sizes of the vector loops."""

VECTOR_BYTES = 64  # LLVM splits such a vector into the registers that the processor has
DOUBLES = VECTOR_BYTES // 8  # float64 lanes of a vector
SINGLES = VECTOR_BYTES // 4  # float32 lanes of a vector
GROUP = SINGLES  # neighbouring neurons that `weigh_groups` reaches together
RANK = 4  # outer products that `add_outers` adds together
ROWS = 4  # of a symmetric matrix that are read together
STEPS = 4  # time steps that `sum_dense` sums together
ALIGNED_FROM = 4096  # bytes of an array, from which on it begins where a cache line does
# Vectors per tile: enough to hide the latency of an addition, few enough for 16 registers of 32
# bytes.
TILE = 4


def whole_vectors(n: int) -> int:
    """Return the number of float32 items in the vectors that `n` of them fill, the last one partly.

    Rows of so many items begin where a cache line does, and no vector crosses from one into the
    next: loads from the second cache are twice as fast.
    """
    return -(-n // SINGLES) * SINGLES
