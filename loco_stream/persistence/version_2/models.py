"""Models of version 2: names and shapes of their arrays and plain values."""

from __future__ import annotations

from loco_stream.persistence.migration_steps import Migration, in_models

__all__ = ["MODELS"]

MODELS: Migration = in_models()
