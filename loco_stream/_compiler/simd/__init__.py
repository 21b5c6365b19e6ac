"""Whole vectors for the loops that LLVM does not find by itself."""
