"""The length of every axis of a model's arrays, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from loco_stream._compiler.simd.sizes import GROUP
from loco_stream._learner.arrays.spec import Shapes
from loco_stream._learner.fixed_layer import n_reached
from loco_stream._learner.plasticity.projections import PROJECTIONS
from loco_stream._learner.readout import domains, next_value, sequences, symmetric
from loco_stream._learner.readout.blocks import BLOCK
from loco_stream._learner.readout.calibration import NOISES, POWERS
from loco_stream._learner.readout.delayed_values import N_OTHERS, first_memoryless
from loco_stream._learner.readout.experts import EXPERTS
from loco_stream._learner.readout.intervals import COVERAGES, RESIDUALS
from loco_stream._learner.readout.mixture import N_STACKS
from loco_stream._learner.readout.snapshots import FIRST
from loco_stream._learner.settings import Settings
from loco_stream._options import Layout


@lru_cache(256)
def shapes_of(
    layout: Layout, settings: Settings, n_features: int, n_classes: int, n_texts: int = 0
) -> Shapes:
    """Return the length of every axis for so many features and outputs.

    Of the features, `n_texts` are texts with one channel.

    Equal arguments give the same object, from which the shapes of arrays are kept.
    """
    n_late = max(n_features - layout.n_joint, 0)
    lengths = {
        "features": n_features,
        "texts": n_texts,
        "late_features": n_late,
        "late_block": BLOCK,
        "classes": n_classes,
        "batch": settings.batch,
    }
    lengths |= _layer_lengths(layout, settings, n_features, n_texts)
    lengths |= _fixed_lengths(layout, settings, n_features)
    lengths |= _readout_lengths(settings)
    lengths |= domains.lengths(settings, n_classes)
    lengths |= next_value.lengths(settings.n_lags, n_classes)
    lengths |= {f"summarised_{k}": n for k, n in sequences.n_summarised(settings).items()}
    lengths |= _context_lengths(settings, lengths)
    for projection in PROJECTIONS:
        lengths |= projection.lengths(layout, settings, n_features - n_texts, n_classes)
    for expert in EXPERTS:
        lengths |= expert.lengths(layout, settings, n_features, n_classes)
    lengths |= symmetric.lengths(settings, lengths)
    return Shapes(layout, settings, lengths)


def _layer_lengths(
    layout: Layout, settings: Settings, n_features: int, n_texts: int
) -> dict[str, int]:
    sizes = layout.hidden_sizes
    channels = (n_features - n_texts) * settings.n_fields
    below = max(1, *sizes[:-1], 1)
    return {
        "channels": channels,
        "layers": settings.n_layers,
        "deep_layers": settings.n_layers - 1,
        "first_layer": sizes[0],
        "below": below,
        "above": max(1, *sizes[1:], 1),
        "hidden": settings.n_hidden,
        "longest_input": max(channels, below),
        "all_inputs": settings.n_hidden + 1 + n_features,
    }


def _fixed_lengths(layout: Layout, settings: Settings, n_features: int) -> dict[str, int]:
    reached = n_reached(settings)
    return {
        "fixed": settings.n_fixed,
        "reached": reached,
        "groups": reached // GROUP if reached < settings.n_fixed else 0,
        "fixed_outputs": settings.n_fixed + (layout.n_skip if settings.n_fixed else 0),
        "scaled": n_features if settings.n_fixed else 0,
        "means": settings.n_means,
        "spans": settings.n_means + 1,
    }


def _readout_lengths(settings: Settings) -> dict[str, int]:
    members = settings.n_trace + settings.n_linear
    mixes = settings.recursive and not settings.regression
    delayed = settings.n_outputs if settings.regression and settings.recursive else 0
    return {
        "members": members,
        "outputs": settings.n_outputs,
        "scores": settings.n_scores,
        "stacked": settings.n_outputs if settings.regression else members,
        "log_odds": settings.n_log_odds,
        "opinions": N_STACKS + settings.n_opinions if mixes else 0,
        "powers": len(POWERS) if mixes else 0,
        "noises": len(NOISES),
        "late_stacked": delayed - first_memoryless(settings) if delayed else 0,
        "late_others": N_OTHERS if delayed else 0,
        "late_experts": delayed + N_OTHERS if delayed else 0,
        "snapshots": settings.n_snapshots,
        "posteriors": FIRST + settings.n_snapshots,
        "residuals": RESIDUALS if settings.regression else 0,
        "coverages": len(COVERAGES) if settings.regression else 0,
    }


def _context_lengths(settings: Settings, lengths: Mapping[str, int]) -> dict[str, int]:
    channels = lengths["channels"]
    n_means = lengths["means"] * lengths["scaled"]
    fading = settings.n_fading
    fading_means = settings.n_means + 1 if settings.n_means else 0
    remembered = settings.n_hidden if settings.longest > 0.0 else 0
    delays = settings.max_delay
    kept = remembered + n_means + fading + fading_means + delays * channels
    return {
        "fading": fading,
        "fading_means": fading_means,
        "remembered": remembered,
        "delays": delays,
        "delayed_channels": channels if delays else 0,
        "taps": delays + 1 if delays else 0,
        "context": kept if settings.remembers else 0,
    }
