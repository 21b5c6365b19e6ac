"""Streams in, predictions, scores and learning steps out.

Checkpoints and a log so that nothing is lost.
"""

from loco_stream.engine.core import StreamEngine

__all__ = ["StreamEngine"]
