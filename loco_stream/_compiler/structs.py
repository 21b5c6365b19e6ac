"""Records: named numbers in arrays, read and written alike by compiled and interpreted code."""

from __future__ import annotations

from typing import cast

import numpy as np


def struct_dtype(*names: str, **typed: str) -> np.dtype[np.record]:
    """Return the dtype of records with the given fields.

    An item of an array of this dtype has its fields as attributes, which can be assigned to:
    ``array[i].v += 1.0``.

    Parameters
    ----------
    names
        Fields of type float64. Attributes of `numpy.record`, such as ``base``, are not allowed.
    typed
        Further fields with their types, as in ``n="i8"``.

    Examples
    --------
    >>> import numpy as np
    >>> neurons = np.zeros(3, struct_dtype("v", "threshold", n_fired="i8"))
    >>> neurons[1].v += 0.5
    >>> neurons["v"].tolist()
    [0.0, 0.5, 0.0]
    """
    fields = [(name, "f8") for name in names] + list(typed.items())
    taken = [name for name, _ in fields if hasattr(np.record, name)]
    if taken:
        raise ValueError(f"fields must not be attributes of numpy.record, got {', '.join(taken)}")
    dtype = np.dtype((np.record, np.dtype(fields, align=True)))
    return cast("np.dtype[np.record]", dtype)
