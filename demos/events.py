"""An event camera sees gestures that only the order of its events tells apart, a model with memory and one without."""

from __future__ import annotations

from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from loco_stream.demos.gestures import GESTURES, SIDE, record
from loco_stream.demos.stage import Stage, conclude, demo_options, paced, play
from loco_stream.errors import ConfigError
from loco_stream.persistence.outputs import check_output, check_picture
from loco_stream.stream import Prediction, Sample, Sink

__all__ = ["command"]

_BIN = 0.02  # seconds a row: 15 rows a gesture
_LATE = 20  # rows after which a label comes: the gesture is over
_PER_SECOND = 20  # gestures; with a page they are shown at that pace
_MEMORIES = {"memory": (0.3, 50.0), "rows alone": None}
_NOTE = (
    "Simulated: a spot of light moves before an event camera of 8 x 8 pixels. Every 20 ms the model says which of four "
    "gestures it sees; labels come when the gesture is over. One moment shows where the spot is and not where it goes: "
    "the model without memory, which this page does not show, can only guess between two; the terminal prints both."
)


class _Answers(Sink):
    """A sink that keeps, by row, whether the answer was right.

    The last word on a row is the one with its label.
    """

    def __init__(self) -> None:
        self.right: dict[int, bool] = {}

    def write(self, prediction: Prediction) -> None:
        self.right[prediction.seq] = prediction.y_pred == prediction.y


def by_place(right: NDArray[np.bool_], sequence: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of right answers at the first row of a gesture, at the second, and so on.

    Examples
    --------
    >>> by_place(np.array([False, True, True, True]), np.array([0, 0, 1, 1])).tolist()
    [0.5, 1.0]
    """
    begins = np.flatnonzero(np.diff(sequence, prepend=-1))
    place = np.arange(len(sequence)) - np.repeat(begins, np.diff(np.append(begins, len(sequence))))
    return np.bincount(place, right) / np.bincount(place)


def draw(
    events: dict[str, NDArray[Any]], courses: dict[str, NDArray[np.float64]], path: str
) -> None:
    """Draw one gesture of each kind, and how many answers are right as gestures go on."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    grid = figure.add_gridspec(2, 4)
    for k, name in enumerate(GESTURES):
        axes = figure.add_subplot(grid[k % 2, k // 2])
        of = events["sequence"] == events["sequence"][np.argmax(events["label"] == name)]
        y, x = np.divmod(events["line"][of], SIDE)
        axes.scatter(x, y, c=events["time"][of], cmap="viridis", s=14)
        axes.set(
            title=name,
            xlim=(-0.5, SIDE - 0.5),
            ylim=(SIDE - 0.5, -0.5),
            xticks=[],
            yticks=[],
            aspect="equal",
        )
    axes = figure.add_subplot(grid[:, 2:])
    for (name, course), colour in zip(courses.items(), ("#0072b2", "#e69f00"), strict=True):
        axes.plot(
            1000 * _BIN * (np.arange(len(course)) + 1), course, color=colour, lw=2, label=name
        )
    axes.set(
        ylim=(0, 1), xlabel="ms since the gesture began", ylabel="accuracy, second half (fraction)"
    )
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


@click.command("events")
@demo_options(seconds=20.0)
@click.option(
    "--recording",
    default="events.npz",
    show_default=True,
    metavar="FILE",
    help="Where the events go.",
)
@click.option(
    "--plot", default="events.png", show_default=True, metavar="FILE", help="The picture."
)
def command(stage: Stage, recording: str, plot: str) -> None:
    """Tell four gestures before an event camera apart, with memory and without.

    Look at the answers in the middle of a gesture: with memory they are right, without they are a
    guess between two that pass through the same places. The recording stays: `loco-stream run
    "events:events.npz?bin=0.02"` reads it.
    """
    from loco_stream import LOCOClassifier, StreamEngine, TaskMonitor
    from loco_stream.connectors import EventSource

    check_output("--recording", recording)
    if not recording.endswith(".npz"):
        raise ConfigError(f"--recording: {recording} must end in .npz")
    check_picture(plot)
    events = record(max(200, int(stage.seconds * _PER_SECOND)), stage.seed)
    np.savez_compressed(recording, **events)  # type: ignore[arg-type]  # numpy takes its own options for arrays
    sequence = np.array(
        [row.sequence for row in EventSource(recording, bin=_BIN) if isinstance(row, Sample)]
    )
    half = len(sequence) // 2
    courses = {}
    mean = {}
    with stage.page("Gestures before an event camera", _NOTE) as watchers:
        for name, memory in _MEMORIES.items():
            model = LOCOClassifier(memory=memory, seed=stage.seed)
            sink = _Answers()
            source = EventSource(recording, bin=_BIN)
            watched = watchers if memory else []
            rows = paced(source, len(sequence) / stage.seconds) if watched else source
            monitor = TaskMonitor(holdout=0)
            play(
                StreamEngine(
                    model, rows, [sink], monitor, delay=_LATE, window=1000, watchers=watched
                )
            )
            right = np.array([sink.right.get(row, False) for row in range(len(sequence))])
            courses[name], mean[name] = by_place(right[half:], sequence[half:]), right[half:].mean()
            middle = courses[name][len(courses[name]) // 2]
            click.echo(
                f"{name:12} {mean[name]:.3f} of the second half; in the middle of a gesture {middle:.3f}"
            )
    draw(events, courses, plot)
    click.echo(f"the events are in {recording}, the picture is {plot}")
    text = f"with memory {mean['memory']:.1%} of all answers are right, without {mean['rows alone']:.1%}"
    conclude([(mean["memory"] > mean["rows alone"] + 0.15, text)])
