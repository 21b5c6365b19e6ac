"""Kernels are linked into entries and into callers that numba compiles, once for all integers."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from numba import config, errors, njit
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from loco_stream import LOCOClassifier
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import weigh_rows
from loco_stream._learner.kernel_args import opened
from tests.helpers.jitted import entry

typing_context = cpu_target.typing_context
target_context = cpu_target.target_context
pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="kernels are plain functions")


@kernel
def inner(x, n):
    """Return x + n."""
    return x + n


@kernel
def outer(x):
    """Return (x + 1) + 2 x."""
    return inner(x, 1) + inner(x, x)


@intrinsic
def _not_inlined(typing, x):
    """Return x, and keep the function that calls this out of its callers."""

    def generate(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        return args[0]

    return x(x), generate


@kernel
def cube(x):
    """Return x cubed."""
    return _not_inlined(x) * x * x


def test_a_kernel_is_compiled_once_for_all_integers():
    entry(lambda x: outer(x) * inner(x, 2)).compile("int64(int64)")
    assert [str(kinds) for kinds in inner.signatures] == ["(int64, int64)"]


def test_a_caller_compiled_by_numba_gets_the_kernels_of_a_kernel():
    assert njit(lambda x: outer(x))(5) == 16


def test_an_entry_gets_all_kernels_that_it_reaches():
    assert entry(lambda x: outer(x) * inner(x, 2))(5) == 16 * 7


def functions_of(entry):
    """Return the names of the functions in an entry's code, with their linkage."""
    module = entry.overloads[entry.signatures[0]].library._final_module
    return {f.name: f.linkage.name for f in module.functions if not f.is_declaration}


def test_entries_share_no_names_of_kernels():
    # The linker keeps the first of two functions of one name, and names are numbered anew in every
    # process: an entry compiled for LIF and one for ALIF, both out of the cache, once shared a
    # neuron.
    one = entry(lambda x: cube(x) * inner(x, 2))
    other = entry(lambda x: cube(x) + 1)
    assert (one(5), other(5)) == (5**3 * 7, 5**3 + 1)
    names = functions_of(one), functions_of(other)
    assert all(any("cube" in name for name in found) for found in names)
    assert not names[0].keys() & names[1].keys()
    for found in names:
        assert sorted(found.values()).count("external") == 2  # for compiled code and for Python


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_collection_is_restored_after_compiling(collects):
    before = gc.isenabled()
    try:
        gc.enable() if collects else gc.disable()
        entry(lambda x: outer(x)).compile("int64(int64)")
        assert gc.isenabled() == collects
    finally:
        gc.enable() if before else gc.disable()


def test_numba_is_unchanged_after_compiling():
    before = {context: dict(vars(context)) for context in (typing_context, target_context)}
    inside = entry(lambda x: outer(x) + 1)
    assert entry(lambda x: inside(x) * 2)(5) == 34
    for context, names in before.items():
        assert vars(context).keys() == names.keys()
    with pytest.raises(errors.TypingError):
        entry(lambda x: outer(x).no_such_field)(5)
    assert all(vars(context).keys() == names.keys() for context, names in before.items())


def test_a_loop_over_vectors_is_one_copy_in_compiled_code():
    @njit
    def twice(total, matrix, values, rows):
        weigh_rows(total, matrix, 4, values, 0, rows, 2)
        weigh_rows(total, matrix, 4, values, 1, rows, 1)

    arrays = (
        np.zeros(4, np.float32),
        np.ones((3, 4), np.float32),
        np.ones(3, np.float32),
        np.arange(2, dtype=np.int32),
    )
    twice(*arrays)
    code = twice.inspect_llvm(twice.signatures[0])
    assert sum("define" in line and "tiled" in line for line in code.splitlines()) == 1


def test_a_kernel_that_allocates_does_not_compile():
    allocates = kernel(lambda n: np.zeros(n).sum())
    with pytest.raises(errors.TypingError, match="zeros"):
        njit(lambda n: allocates(n))(3)


def read(cell, words, out):
    """Read numbers, an array's shape and its content from the words."""
    model = opened(cell, words)
    settings = model.settings
    stacks = model.state.stacks
    out[0] = settings.tau
    out[1] = settings.n_hidden
    out[2] = stacks.weights.shape[0]
    out[3] = stacks.weights[0]


def test_fields_of_groups_are_read_from_the_words():
    model = LOCOClassifier(hidden_sizes=(4,), seed=1)
    model.learn_one({0: 1.0}, 0)
    out = np.zeros(4)
    entry(read)(*model._core._args.args, out)
    settings = model._core.settings
    weights = model._core.state.stacks.weights
    assert out.tolist() == [settings.tau, settings.n_hidden, weights.shape[0], weights[0]]


def test_a_function_registered_between_two_entries_is_known_to_the_second():
    assert njit(lambda x: x + 1)(5) == 6  # numba has loaded all its parts

    @intrinsic
    def late(typing, x):
        def generate(context, builder, signature, args):
            return args[0]

        return x(x), generate

    assert entry(lambda x: late(x))(3) == 3
