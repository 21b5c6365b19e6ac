"""Rows whose labels arrive later: what was predicted is kept, and how much a late label counts."""
