"""Compiled code: how kernels are compiled, linked, cached and called; every part of numba's internals that is used."""
