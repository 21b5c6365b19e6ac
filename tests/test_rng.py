from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import _rng as rng
from tests.helpers.jitted import jitted

WORD = (1 << 32) - 1


def philox(key, counter):
    """Philox-2x32-10 in whole numbers of any size (Salmon et al., 2011)."""
    low = counter & WORD
    high = counter >> 32
    for _ in range(10):
        product = 0xD256D193 * low
        low = (product >> 32) ^ key ^ high
        high = product & WORD
        key = (key + 0x9E3779B9) & WORD
    return high << 32 | low


@settings(max_examples=200, deadline=None)
@given(st.integers(0, WORD), st.integers(0, 2**63 - 1))
def test_bits_match_the_twin(key, counter):
    assert int(rng.philox2x32(key, counter)) == philox(key, counter)
    assert int(jitted(rng.draw_bits)(key, counter)) == philox(key, counter)


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        (0, 0, (0xFF1DAE59, 0x6CD10DF2)),
        (WORD, 2**64 - 1, (0x2C3F628B, 0xAB4FD7AD)),
        (0x13198A2E, 0x85A308D3 << 32 | 0x243F6A88, (0xDD7CE038, 0xF62A4C12)),
    ],
)
def test_known_answers_of_the_authors(key, counter, words):
    bits = int(rng.philox2x32(np.uint64(key), np.uint64(counter)))
    assert (bits & WORD, bits >> 32) == words


def test_numbers_are_a_pure_function_of_key_and_counter():
    whole = rng.uniforms(7, 0, 100)
    assert np.array_equal(rng.uniforms(7, 40, 20), whole[40:60])
    assert np.array_equal(rng.normals(7, 30, 10), rng.normals(7, 0, 40)[30:])
    assert not np.any(rng.uniforms(8, 0, 100) == whole)


def test_numbers_have_their_distribution():
    u = rng.uniforms(1, 0, 100_000)
    z = rng.normals(2, 0, 100_000)
    assert np.all((u > 0.0) & (u < 1.0))
    assert np.abs(np.histogram(u, 10, (0, 1))[0] / 1e5 - 0.1).max() < 0.005
    assert abs(z.mean()) < 0.01
    assert z.std() == pytest.approx(1.0, abs=0.01)
    assert np.mean(np.abs(z) < 1.96) == pytest.approx(0.95, abs=0.005)
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 0.01


def test_keys_differ_by_seed_and_purpose():
    seeds = (0, 1, 2**32, 2**63, 2**64 - 1)
    assert len({rng.derive_key(seed, purpose) for seed in seeds for purpose in range(50)}) == 250
    assert all(0 <= rng.derive_key(seed, 3) <= WORD for seed in seeds)
