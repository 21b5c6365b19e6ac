"""What the monitor may be told."""

from __future__ import annotations

from loco_stream.errors import ConfigError

__all__ = ["check"]


def check(
    tasks: str,
    holdout: int,
    share: float,
    rescore_every: int,
    max_segments: int,
    min_segment: int,
    task: str,
) -> None:
    """Raise what is wrong with the settings."""
    if tasks not in ("auto", "given", "none") and not (
        tasks.startswith("column:") and tasks != "column:"
    ):
        raise ConfigError(f"tasks must be auto, given, none or column:NAME, got {tasks!r}.")
    if task not in ("classification", "regression"):
        raise ConfigError(f"task must be classification or regression, got {task!r}.")
    if holdout < 0:
        raise ConfigError(f"holdout must be 0 or more samples, got {holdout}.")
    if not 0.0 < share < 1.0:
        raise ConfigError(f"share must be in (0, 1), got {share}.")
    for name, value, least in (
        ("rescore_every", rescore_every, 1),
        ("max_segments", max_segments, 2),
        ("min_segment", min_segment, 1),
    ):
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}.")
