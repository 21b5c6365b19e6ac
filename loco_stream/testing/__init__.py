"""Checks of extensions: each runs one through everything that loco_stream requires of it.

A check raises `AssertionError` with a sentence that names what is wrong. The tests of this package
run every detector through the same check.
"""

from __future__ import annotations

from loco_stream.testing.detector import check_detector

__all__ = ["check_detector"]
