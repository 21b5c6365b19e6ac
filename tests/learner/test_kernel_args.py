"""What compiled code is handed: the arrays of a model as words."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from numba import config

from loco_stream._learner.arrays.spec import array_of
from loco_stream._learner.kernel_args import KernelArgs
from tests.helpers.models import untrained

compiled = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="arrays are checked for compiled code"
)


@compiled
def test_arrays_that_compiled_code_would_misread_are_refused():
    model = untrained(4, 3, hidden_sizes=(16, 8)).model
    net = model.state.net
    for weights, message in (
        (net.weights.astype(np.float64), "of the types"),
        (np.asfortranarray(net.weights), "C-contiguous"),
        (net.weights[0], "of the types"),
    ):
        wrong = model.state._replace(net=net._replace(weights=weights))
        with pytest.raises(ValueError, match=message):
            KernelArgs(model._replace(state=wrong))


@compiled
def test_a_read_only_array_is_refused():
    model = untrained(4, 3, hidden_sizes=(16, 8)).model
    model.state.net.weights.flags.writeable = False
    with pytest.raises(ValueError, match="C-contiguous"):
        KernelArgs(model)


def test_kernel_args_keep_their_arrays_alive():
    args = untrained(4, 3, hidden_sizes=(16, 8))
    words = args.words.copy()
    gc.collect()
    counts = array_of(args.model.state.counts)
    assert counts.ctypes.data in words.tolist()
    assert args.model.state.net.weights.ctypes.data in words.tolist()
