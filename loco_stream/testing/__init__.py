"""Checks of extensions: each runs one through everything that loco_stream requires of it.

A check raises `AssertionError` with a sentence that names what is wrong. The tests of this package
run every detector, sink and source through the same checks.
"""

from __future__ import annotations

from loco_stream.testing.detector import check_detector
from loco_stream.testing.sink import check_sink
from loco_stream.testing.source import check_source

__all__ = ["check_detector", "check_sink", "check_source"]
