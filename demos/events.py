"""Gestures that only the order of events distinguishes, learned with and without memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
import numpy as np

from loco_stream._arrays import Array, Bool, Float64, Int64
from loco_stream._persistence.outputs import check_output, check_picture
from loco_stream.demos._demo import Demo, HitRecorder, check_claims, demo_options, paced, run_for
from loco_stream.demos._gestures import GESTURES, SIDE, record
from loco_stream.errors import ConfigError
from loco_stream.stream import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from loco_stream.dashboard import Dashboard

_BIN = 0.02  # seconds per row: 15 rows per gesture
_LATE = 20  # rows after which a label arrives: the gesture is over
_GESTURES_PER_SECOND = 20  # shown at this pace on the page
_MEMORIES = {"memory": (0.3, 50.0), "no memory": None}
_COLOURS = ("#0072b2", "#e69f00")
_NOTE = (
    "Simulated data: a spot of light moves before an event camera of 8 x 8 pixels. Every 20 ms the "
    "model predicts which of four gestures it sees; labels arrive after the gesture. A single row "
    "shows where the spot is but not where it moves. The model without memory, which this page "
    "does not show, can only guess between two gestures; the terminal prints both."
)


def accuracy_by_position(correct: Bool, sequence: Int64) -> Float64:
    """Return the accuracy at the first row of a gesture, at the second, and so on.

    Examples
    --------
    >>> correct = np.array([False, True, True, True])
    >>> accuracy_by_position(correct, np.array([0, 0, 1, 1])).tolist()
    [0.5, 1.0]
    """
    starts = np.flatnonzero(np.diff(sequence, prepend=-1))
    lengths = np.diff(np.append(starts, len(sequence)))
    position = np.arange(len(sequence)) - np.repeat(starts, lengths)
    return np.bincount(position, correct) / np.bincount(position)


def draw(events: Mapping[str, Array], courses: Mapping[str, Float64], path: str) -> None:
    """Draw one gesture of each kind, and the accuracy in the course of a gesture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    grid = figure.add_gridspec(2, 4)
    for k, name in enumerate(GESTURES):
        _draw_gesture(figure.add_subplot(grid[k % 2, k // 2]), events, name)
    axes = figure.add_subplot(grid[:, 2:])
    for (name, course), colour in zip(courses.items(), _COLOURS, strict=True):
        milliseconds = 1000 * _BIN * (np.arange(len(course)) + 1)
        axes.plot(milliseconds, course, color=colour, lw=2, label=name)
    axes.set(ylim=(0, 1), xlabel="ms since the start of the gesture")
    axes.set_ylabel("accuracy, second half (fraction)")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


def _draw_gesture(axes: Axes, events: Mapping[str, Array], name: str) -> None:
    """Draw the events of the first gesture of a kind, coloured by time."""
    first = events["sequence"][np.argmax(events["label"] == name)]
    of = events["sequence"] == first
    y, x = np.divmod(events["line"][of], SIDE)
    axes.scatter(x, y, c=events["time"][of], cmap="viridis", s=14)
    limits = (-0.5, SIDE - 0.5)
    axes.set(title=name, xlim=limits, ylim=limits[::-1], xticks=[], yticks=[], aspect="equal")


@click.command("events")
@demo_options(seconds=20.0)
@click.option(
    "--recording",
    default="events.npz",
    show_default=True,
    metavar="FILE",
    help="File of the recorded events.",
)
@click.option(
    "--plot", default="events.png", show_default=True, metavar="FILE", help="The picture."
)
def command(demo: Demo, recording: str, plot: str) -> None:
    """Distinguish four gestures before an event camera, with and without memory.

    Look at the accuracy in the middle of a gesture: with memory the predictions are correct,
    without they are a guess between two gestures that pass through the same pixels.

    \b
    Examples
      loco-stream demo events --headless
      loco-stream run "events:events.npz?bin=0.02"
    """
    check_output("--recording", recording)
    if not recording.endswith(".npz"):
        raise ConfigError(f"--recording: {recording} must end in .npz")
    check_picture("--plot", plot)
    events = record(max(200, int(demo.seconds * _GESTURES_PER_SECOND)), demo.seed)
    np.savez_compressed(recording, **events)  # type: ignore[arg-type]  # arrays, no options
    with demo.page("Gestures before an event camera", _NOTE) as watchers:
        results = {
            name: _accuracies(recording, name, demo, watchers if memory else [])
            for name, memory in _MEMORIES.items()
        }
    draw(events, {name: course for name, (course, _) in results.items()}, plot)
    click.echo(f"the events are in {recording}, the picture is {plot}")
    _, memory = results["memory"]
    _, without = results["no memory"]
    text = f"with memory {memory:.1%} of the predictions are correct, without {without:.1%}"
    check_claims([(memory > without + 0.15, text)])


def _accuracies(
    recording: str, name: str, demo: Demo, watchers: list[Dashboard]
) -> tuple[Float64, float]:
    """Learn a recording; return the accuracy by position and overall, of the second half."""
    from loco_stream import LOCOClassifier, StreamEngine, TaskMonitor
    from loco_stream.connectors import EventSource

    rows = EventSource(recording, bin=_BIN)
    sequence = np.array(
        [row.sequence for row in EventSource(recording, bin=_BIN) if isinstance(row, Sample)]
    )
    model = LOCOClassifier(memory=_MEMORIES[name], seed=demo.seed)
    recorder = HitRecorder()
    run_for(
        StreamEngine(
            model,
            paced(rows, len(sequence) / demo.seconds) if watchers else rows,
            [recorder],
            TaskMonitor(holdout=0),
            delay=_LATE,
            score_window=1000,
            watchers=watchers,
        )
    )
    half = len(sequence) // 2
    correct = np.array([recorder.hits.get(row, False) for row in range(len(sequence))])[half:]
    course = accuracy_by_position(correct, sequence[half:])
    middle = course[len(course) // 2]
    accuracy = float(correct.mean())
    click.echo(f"{name:12} {accuracy:.3f} of the second half, {middle:.3f} in mid-gesture")
    return course, accuracy
