"""The engine: runs a model on a stream, with scores, checkpoints and a log."""

from loco_stream.engine._admission import NameBounds
from loco_stream.engine._core import StreamEngine
from loco_stream.engine._report import Report

__all__ = ["NameBounds", "Report", "StreamEngine"]
