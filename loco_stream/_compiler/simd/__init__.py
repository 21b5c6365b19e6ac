"""Explicit vector code for the loops that LLVM's vectorizer misses."""
