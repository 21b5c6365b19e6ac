"""Delivering spikes: rows of the weight matrix summed into the current of their targets.

Each pass takes up to eight rows, because a pass costs one load and one store of every target
whatever the number of rows. Eight is also the most for which LLVM still proves at run time that no
row aliases the current, and vectorises. A row is sliced out first and indexed after: a computed flat
index defeats that proof. Rows are added one after the other in the order of their events, so that the
sum has the same bytes however the events are cut into passes, compiled or interpreted.
"""

from __future__ import annotations

from typing import Any

from numba import njit

__all__ = ["add_rows", "row"]


@njit(cache=True)
def row(weights: Any, offset: int, n_post: int, index: Any) -> Any:
    """Return the weights from presynaptic neuron `index` to all its targets, a view (n_post,)."""
    start = offset + int(index) * n_post
    return weights[start : start + n_post]


@njit(cache=True)
def add_rows(current: Any, weights: Any, offset: int, n_post: int, indices: Any, first: int, last: int) -> None:
    """Add the rows of the events `first` to `last - 1` to `current`.

    Parameters
    ----------
    current
        (n_post,), the sum so far, written.
    weights, offset, n_post
        Row j is `weights[offset + j * n_post : offset + (j + 1) * n_post]`.
    indices, first, last
        Presynaptic neurons of the events.
    """
    n = n_post
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
            current[i] = current[i] + a[i] + b[i] + c[i] + d[i] + e[i] + f[i] + g[i] + h[i]
        k += 8
    if k + 4 <= last:
        a = row(weights, offset, n, indices[k])
        b = row(weights, offset, n, indices[k + 1])
        c = row(weights, offset, n, indices[k + 2])
        d = row(weights, offset, n, indices[k + 3])
        for i in range(n):
            current[i] = current[i] + a[i] + b[i] + c[i] + d[i]
        k += 4
    if k + 2 <= last:
        a = row(weights, offset, n, indices[k])
        b = row(weights, offset, n, indices[k + 1])
        for i in range(n):
            current[i] = current[i] + a[i] + b[i]
        k += 2
    if k < last:
        a = row(weights, offset, n, indices[k])
        for i in range(n):
            current[i] = current[i] + a[i]
