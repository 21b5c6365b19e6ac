"""Delivering spikes: rows of the weight matrix added to the membranes of their targets.

Each pass over the membranes takes up to eight rows, because a pass costs one load and one store
of every membrane whatever the number of rows. Eight is also the most for which LLVM still proves at
run time that no row aliases the membranes, and vectorises. A row is sliced out first and indexed
after, since a computed flat index defeats that proof. The additions have one written order, so that
results are the same bytes compiled or interpreted.
"""

from __future__ import annotations

from typing import Any

from numba import njit

__all__ = ["deliver", "row"]


@njit(cache=True)
def row(weights: Any, offset: int, n_post: int, index: Any) -> Any:
    """Return the weights from presynaptic neuron `index` to all its targets, a view (n_post,)."""
    start = offset + int(index) * n_post
    return weights[start : start + n_post]


@njit(cache=True)
def deliver(v: Any, decay: Any, weights: Any, offset: int, n_post: int, indices: Any, first: int, last: int) -> None:
    """Decay the membranes once, then add the rows of events `first` to `last - 1`.

    Parameters
    ----------
    v
        Membranes, (n_post,), written.
    decay
        Factor of the time passed since the last delivery, of the same dtype as `v`.
    weights, offset, n_post
        Row j is `weights[offset + j * n_post : offset + (j + 1) * n_post]`.
    indices, first, last
        Presynaptic neurons of the events delivered together; `first < last`.
    """
    n = n_post
    factor = decay
    one = v.dtype.type(1.0)
    k = first
    while k + 8 <= last:
        a = row(weights, offset, n, indices[k])
        b = row(weights, offset, n, indices[k + 1])
        c = row(weights, offset, n, indices[k + 2])
        d = row(weights, offset, n, indices[k + 3])
        e = row(weights, offset, n, indices[k + 4])
        f = row(weights, offset, n, indices[k + 5])
        g = row(weights, offset, n, indices[k + 6])
        h = row(weights, offset, n, indices[k + 7])
        for i in range(n):
            v[i] = v[i] * factor + (((a[i] + b[i]) + (c[i] + d[i])) + ((e[i] + f[i]) + (g[i] + h[i])))
        factor = one
        k += 8
    if k + 4 <= last:
        a = row(weights, offset, n, indices[k])
        b = row(weights, offset, n, indices[k + 1])
        c = row(weights, offset, n, indices[k + 2])
        d = row(weights, offset, n, indices[k + 3])
        for i in range(n):
            v[i] = v[i] * factor + ((a[i] + b[i]) + (c[i] + d[i]))
        factor = one
        k += 4
    if k + 2 <= last:
        a = row(weights, offset, n, indices[k])
        b = row(weights, offset, n, indices[k + 1])
        for i in range(n):
            v[i] = v[i] * factor + (a[i] + b[i])
        factor = one
        k += 2
    if k < last:
        a = row(weights, offset, n, indices[k])
        for i in range(n):
            v[i] = v[i] * factor + a[i]
