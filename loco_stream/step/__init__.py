"""One sample: the only place that joins the stages; see `sample` for their order."""

from loco_stream.step.handle import Handle, Model
from loco_stream.step.sample import run

__all__ = ["Handle", "Model", "run"]
