"""Settings of the command in checkpoints of version 2."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loco_stream._persistence.content import Saved


def settings(saved: Saved) -> Saved:
    """Rename ``window`` to ``score_window``, and add the monitor's options of release 0.3."""
    stored = saved.config.get("settings") or {}
    if "window" not in stored:
        return saved
    renamed = {"score_window" if name == "window" else name: stored[name] for name in stored}
    settings = {"drift_detector": None, "tasks": "auto", **renamed}
    return replace(saved, config={**saved.config, "settings": settings})
