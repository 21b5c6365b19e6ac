"""How kernels are compiled, linked, cached and called; the only user of numba's internals."""
