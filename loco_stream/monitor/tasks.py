"""The task monitor: finds tasks, withholds a few samples of each, and measures forgetting while the stream runs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.drift import ConceptDetector, ErrorRate
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.monitor.alarm import Alarm, Alarms
from loco_stream.monitor.arrays import distinct, part, plain, prefixed
from loco_stream.monitor.column import TaskColumn
from loco_stream.monitor.holdout import Draws, Held
from loco_stream.monitor.inputs import InputView
from loco_stream.monitor.memories import Memories
from loco_stream.monitor.rows import RowCodec
from loco_stream.monitor.settings import check
from loco_stream.monitor.timeline import Timeline
from loco_stream.numbers import to_number
from loco_stream.rng import derive_key

__all__ = ["TaskMonitor"]

_SCALARS = ("_credit", "_turn")  # that a checkpoint holds under these names
_PURPOSE = 8  # of the key that draws hold-outs
_BATCH = 8  # predictions a call otherwise
_MAX_LABELS = 10_000  # labels counted to know what chance is
# samples looked at in one go while nothing is suspected: one by one would cost half as much again
_TOGETHER = 8
_COPIED = 100  # samples by which a readout that a model keeps is older than the moment, on average


class TaskMonitor:
    """Watch a stream for changes, cut it into segments, and keep the accuracy matrix of a continual learner.

    Errors are tested by one of river's detectors, inputs by a label-free one; both alarms within
    `min_segment` samples count as one change. Of each segment a few samples are withheld from
    training and predicted again in turn, so that rows of the accuracy matrix appear as the stream
    runs. A segment whose first hundred samples look like an earlier one (class means of the inputs)
    is named after it; so is one in which a model that recalls, as `LOCOClassifier` does, speaks
    with what it knew then, and this opens a segment even if no error betrays the change.

    Parameters
    ----------
    detector, detector_options
        River's detector on the 0/1 error, by name, and its keyword arguments; see
        `loco_stream.drift.ConceptDetector`. For regression an error counts if it is larger than
        four in five usually are.
    inputs
        Whether the inputs are watched too.
    tasks
        "auto": alarms cut the stream. "given": only `begin_task` does. "none": nothing does.
        "column:NAME": a new value of feature NAME does, and the value is the task's name.
    holdout
        Samples withheld a segment at most. 200 give a standard error of 3 points. 0 stores no
        sample: then there is no accuracy matrix, and `tasks` in the report carries what can be
        known without.
    share
        Probability with which a sample is withheld until the hold-out is full; then it falls like
        in a reservoir.
    rescore_every
        One withheld sample is predicted for so many samples of the stream, on average. What one
        pass over all of them takes is kept in reserve for the end of a segment, whose row should be
        of one model.
    max_segments
        Segments remembered; beyond, the oldest is merged into the next one of its task, or its
        neighbour.
    min_segment
        Scored samples before an alarm may open another segment.
    task
        "classification" or "regression".
    seed
        Draws the withheld samples.

    Raises
    ------
    ConfigError
        A setting is out of its range.

    Examples
    --------
    >>> from loco_stream import TaskMonitor
    >>> monitor = TaskMonitor(holdout=0)
    >>> for i in range(3000):
    ...     y = i % 2
    ...     y_pred = y if i < 2000 or i > 2200 else 1 - y
    ...     for alarm in monitor.update(y, y_pred, {"a": float(y)}, i):
    ...         if alarm.state == "drift":
    ...             print(alarm)
    the concept changed at sample 2000, noticed at 2007 (HDDMA)
    >>> [(task["start"], task["end"]) for task in monitor.report()["tasks"]]
    [(0, 2000), (2000, None)]
    """

    def __init__(
        self,
        detector: str = "HDDMA",
        detector_options: Mapping[str, Any] | None = None,
        inputs: bool = True,
        tasks: str = "auto",
        holdout: int = 200,
        share: float = 0.02,
        rescore_every: int = 8,
        max_segments: int = 16,
        min_segment: int = 200,
        task: str = "classification",
        seed: int = 0,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self"}
        check(tasks, holdout, share, rescore_every, max_segments, min_segment, task)
        self.settings: dict[str, Any] = given | {"detector_options": dict(detector_options or {})}
        self._tasks = tasks
        self._share = share
        self._task = task
        self._column = TaskColumn(tasks)
        self._concept = ConceptDetector(detector, detector_options)
        self._rate, self._codec, self._memories = ErrorRate(), RowCodec(), Memories()
        self._view = InputView(watch=inputs, seed=seed)
        self._draws = Draws(derive_key(seed, _PURPOSE))
        self._timeline = Timeline(holdout, max_segments, self._draws)
        self._labels: set[Any] = set()
        # predictions saved up, and the segment they were last spent on
        self._credit = 0.0
        self._turn = 0
        self._saving = 1.0 / rescore_every if holdout else 0.0  # a sample
        self._limit = 2.0 * holdout * (max_segments + 1)
        self._alarms = Alarms()
        self._last: tuple[int, Any] = (-1, None)  # index and answer of the last scored sample
        self._fresh: Held | None = None  # withheld, its first answer not seen yet
        self._waiting: list[
            tuple[NDArray[np.float64] | None, Any, int | None, int]
        ] = []  # row, label, hit, index

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={self.settings[name]!r}" for name in ("task", "detector", "tasks", "holdout")
        )
        return f"TaskMonitor({shown}, n_drifts={self._alarms.n_drifts}, segments={len(self._timeline.segments)})"

    @property
    def holds_out(self) -> bool:
        """Whether samples are withheld at all."""
        return bool(self.settings["holdout"])

    def update(
        self, y: Any, y_pred: Any, x: Any, index: int, features: tuple[Hashable, ...] | None = None
    ) -> list[Alarm]:
        """Take one answer and return what there is to say.

        While no detector warns, eight samples are looked at together.

        Parameters
        ----------
        y
            The label; None if it is not known (yet): then only the inputs are looked at.
        y_pred
            What the model said before learning the sample.
        x
            The sample by name, or an array of one row; None if its inputs were looked at before,
            when it arrived without a label.
        index
            Its position in the stream, from 0; never falling.
        features
            Names of the columns if `x` is an array.
        """
        row = None
        if x is not None:
            if self._column.name is not None:
                named = x if features is None else dict(zip(features, np.ravel(x), strict=True))
                if (name := self._column.follow(named)) is not None:
                    self.begin_task(name, index)
            row, _ = self._codec.encode(x, features)
        hit = None if y is None or y_pred is None else self._score(y, y_pred, index)
        self._waiting.append((row, y, hit, index))
        if self._alarms.suspects or len(self._waiting) >= _TOGETHER:
            self._look()
        return self._alarms.say()

    def hold_out(
        self, x: Any, y: Any, index: int, features: tuple[Hashable, ...] | None = None
    ) -> bool:
        """Return whether this sample is withheld from training, and keep it if so.

        Arguments as for `update`.
        """
        if not self._saving or self._draws.next() >= self._share:
            return False
        row, extras = self._codec.encode(x, features)
        tolerance = max(self._rate.quantile, 1e-300) if self._task == "regression" else 0.0
        held = Held(index, row, extras, to_number(y) if tolerance else y, tolerance)
        if self._last[0] == index:
            held.score(self._last[1], index)
        else:
            self._fresh = held
        return self._timeline.running.hold.offer(held, self._draws)

    def rescore(self, model: Any) -> None:
        """Let `model` predict some withheld samples again.

        Those the savings allow after a change, 8 now and then.

        A model that has `recalled`, as `LOCOClassifier` does, also says here which old task it is
        back in.
        """
        timeline = self._timeline
        at = self._last[0]
        self._credit = min(self._limit, self._credit + self._saving)
        if self._waiting and timeline.row_due is None:
            return
        recalled = getattr(model, "recalled", None)
        if recalled is not None and recalled != self._memories.silence:
            self._listen(*recalled)
        if timeline.row_due is not None:
            self._credit = max(
                0.0, self._credit - timeline.measure_row(model, self._codec, self._credit, at)
            )
        elif self._credit >= timeline.n_held + _BATCH:
            self._turn = (self._turn + 1) % len(timeline.segments)
            self._credit -= timeline.segments[self._turn].hold.rescore(
                model, self._codec, _BATCH, at
            )

    def measure(self, model: Any) -> None:
        """Look at what waits, and let `model` predict every withheld sample now, as the last row of R: at the end."""
        self._look()
        if self._timeline.row_due:
            self._timeline.measure_row(model, self._codec, math.inf, self._last[0])
        for segment in self._timeline.segments:
            segment.hold.rescore(model, self._codec, len(segment.hold.held), self._last[0])

    def begin_task(self, name: str | None = None, index: int | None = None) -> None:
        """Say that a new task begins with the sample at `index` (default: the next one).

        Parameters
        ----------
        name
            Of the task. A name used before means that this task is back.
        index
            Position in the stream of its first sample.
        """
        self._look()
        at = self._last[0] + 1 if index is None else index
        self._concept.restart()
        self._view.restart()
        if self._timeline.running.n:
            self._cut(at, "boundary")
            boundary = Alarm(at, "boundary", "given", "drift", at, name or "")
            self._alarms.keep(boundary, say=self._column.name is not None)
        if name is not None:
            self._timeline.name(name)

    def report(self) -> dict[str, Any]:
        """Return drifts, tasks, the accuracy matrix and its measures, with standard errors.

        Returns
        -------
        dict
            drifts (at most the last 1000: at, since, kind, detector, task), n_drifts, tasks (one
            entry a segment), accuracy_matrix and accuracy_matrix_se (segments x segments, None
            where not measured; the last row is the running segment as last measured),
            average_accuracy, forgetting, backward_transfer, forward_transfer, each with its
            standard error under the name + "_se", None without measurements. Forward transfer is
            estimated: accuracy on the first 20 samples of a segment minus chance.
        """
        return {
            "drifts": self._alarms.report(),
            "n_drifts": self._alarms.n_drifts,
            "n_without_task": self._column.n_missing,
            **self._timeline.report(transfers=self._task == "classification"),
        }

    def export_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return everything remembered as plain values and arrays.

        Raises
        ------
        CheckpointError
            The chosen detector cannot be carried by a checkpoint.
        """
        waiting = self._waiting
        timeline = self._timeline
        segments, arrays = timeline.export()
        arrays |= {**prefixed("concept", self._concept.export_state()), **self._view.export()}
        arrays |= {
            f"waiting/{i}": row.copy() for i, (row, *_) in enumerate(waiting) if row is not None
        }
        config = {
            "settings": dict(self.settings),
            **{name: plain(getattr(self, name)) for name in _SCALARS},
            **self._alarms.export(),
            "n_without_task": self._column.n_missing,
            "_value": plain(self._column.value),
            "labels": sorted(map(plain, self._labels), key=repr),
            "draws": [self._draws.key, self._draws.counter],
            "rate": [self._rate.n, self._rate.quantile],
            "last": [self._last[0], plain(self._last[1])],
            "fresh": None if self._fresh is None else self._fresh.index,
            "waiting": [[plain(y), hit, index, row is not None] for row, y, hit, index in waiting],
            "memories": self._memories.export(),
            "columns": list(self._codec.names),
            "inputs": self._view.width,
            "timeline": segments,
        }
        return config, arrays

    def restore_state(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what `export_state` returned, settings included.

        Raises
        ------
        CheckpointError
            The state is not complete.
        """
        try:
            fresh = type(self)(**config["settings"])
            fresh._continue(config, arrays)
        except ConfigError as error:
            raise CheckpointError(
                f"The saved monitor has settings this release refuses: {error}"
            ) from error
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CheckpointError(
                f"The saved state of the monitor is not complete: {error!r}."
            ) from error
        self.__dict__.update(
            fresh.__dict__
        )  # only now: a damaged state leaves the monitor as it was

    def _continue(self, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state whose settings this monitor was made with."""
        for name in _SCALARS:
            setattr(self, name, config[name])
        self._alarms.restore(config)
        self._column.value = config["_value"]
        self._column.n_missing = config.get("n_without_task", 0)  # version 0.1 did not count them
        self._labels = set(config["labels"])
        self._draws = self._timeline.draws = Draws(*config["draws"])
        self._rate.n, self._rate.quantile = config["rate"]
        self._last = (config["last"][0], config["last"][1])
        self._waiting = [
            (arrays[f"waiting/{i}"].copy() if has_row else None, y, hit, index)
            for i, (y, hit, index, has_row) in enumerate(config["waiting"])
        ]
        hash(tuple(y for _, y, _, _ in self._waiting))  # a TypeError for what cannot be a label
        self._memories.restore(config["memories"])
        self._codec.restore(distinct(config["columns"]))
        self._concept.restore_state(part("concept", arrays))
        self._view.restore(config["inputs"], arrays)
        self._timeline.restore(config["timeline"], arrays)
        self._fresh = next(
            (held for held in self._timeline.running.hold.held if held.index == config["fresh"]),
            None,
        )

    def _look(self) -> None:
        """Show the waiting samples to the detectors and to the segment's signature."""
        waiting = self._waiting
        self._waiting = []
        for row, y, hit, index in waiting:
            if row is not None:
                state = self._view.look(row)
                if state != self._alarms.states["input"]:
                    self._judge(
                        "input", "energy", state, index + 1 - self._view.onset, waiting[-1][3]
                    )
            if hit is not None:
                state = self._concept.update(1 - hit)
                if state != self._alarms.states["concept"]:
                    since = index + 1 - self._concept.onset
                    self._judge("concept", self._concept.name, state, since, waiting[-1][3])
                if not hit:
                    self._view.add_update_energy(self._timeline.running.update_energy)
            if y is not None and row is not None and self._timeline.wants_signature(index):
                values = self._view.values()
                if values is not None:
                    self._recognise(values, y, index)

    def _score(self, y: Any, y_pred: Any, index: int) -> int:
        """Count one answer and return whether it was right."""
        if self._task == "regression":
            error = abs(to_number(y) - to_number(y_pred))
            hit = (
                0 if error != error else 1 - self._rate.update(error)
            )  # no number: a wrong answer of no size
        else:
            hit = int(bool(y == y_pred))
            if len(self._labels) < _MAX_LABELS:
                self._labels.add(y)
        self._last = (index, y_pred)
        if self._fresh is not None and self._fresh.index == index:
            self._fresh.score(y_pred, index)
        self._fresh = None
        self._timeline.add(hit, index)
        return hit

    def _judge(self, kind: str, detector: str, state: str, since: int, index: int) -> None:
        """Take a new state of a detector at `index`: say that a warning began, act on a drift."""
        self._alarms.turn(kind, state)
        if state == "stable":
            return
        since = max(0, since) if state == "drift" else index
        alarm = Alarm(index, kind, detector, state, since)
        self._alarms.heard.append(alarm)
        if state == "drift":
            self._alarms.keep(alarm)
            running = self._timeline.running
            if self._tasks == "auto" and running.n >= self.settings["min_segment"]:
                self._cut(max(since, running.start + 1), kind)

    def _cut(self, at: int, began: str) -> None:
        """End the running segment and begin the next at position `at` of the stream."""
        self._timeline.cut(at, began, len(self._labels))
        self._view.close_segment()

    def _recognise(self, values: NDArray[np.float64], y: Any, index: int) -> None:
        """Take one labelled sample into the signature of its segment, and say so if the task turns out to be known."""
        label = self._view.side(y) if self._task == "regression" else y
        name = self._timeline.recognise(values, label, index, self._view.scale)
        if name is not None:
            running = self._timeline.running
            self._alarms.heard.append(
                Alarm(index, running.began, "signature", "return", running.start, name)
            )

    def _listen(self, kept: int, speaking: int) -> None:
        """Follow what the model's recall says.

        A readout of another task that goes on speaking ends the segment.
        """
        timeline = self._timeline
        running = self._timeline.running
        at = self._last[0]
        memories = self._memories
        task = memories.listen(at, kept, speaking, timeline.task_at(at - _COPIED), running.task)
        if task is None or self._tasks != "auto":
            return
        since = memories.since
        if running.began == "concept" and since < running.start + _COPIED:  # the errors told first
            since = running.start
        elif running.n >= self.settings["min_segment"]:
            self._alarms.keep(Alarm(at, "concept", "recall", "drift", since), say=True)
            self._cut(since, "concept")
            self._concept.restart()
        else:
            return
        timeline.return_to(task)
        timeline.recurrence = None
        self._alarms.heard.append(
            Alarm(at, "concept", "recall", "return", since, timeline.names[task])
        )
