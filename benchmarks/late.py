"""`python -m benchmarks late`: labels that come later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
import numpy as np

from benchmarks import contenders, daily, data, temporal_data
from benchmarks.grid import Grid, percent
from benchmarks.holdout import by_name, spread
from benchmarks.machine import fingerprint
from benchmarks.options import Settings, common, print_missing
from benchmarks.runs import Run
from benchmarks.temporal import MEMORY, score, spans
from benchmarks.temporal_data import EVENTS, TimedStream
from loco_stream.estimators._inputs.row_times import row_times_at

__all__ = ["command", "grids", "measure"]

_ROWS = 6_000
_BATCH = 50  # rows of a stream without events whose labels come together
_END = "at the end"
_EVENT = "an event"
_DAY = "a day"
_LATE = ("0", "20", "100", _DAY, _END, _EVENT)
_ROW_STREAMS = (
    "digits",
    "SEA3",
    "RBFd1e-3",
    "Hyperplane",
    "FriedmanDrift",
    "TrumpApproval",
    "ChickWeights",
)
_TIMED = ("ew-sign", "vibration", "Mackey-Glass", "narma-10")
_STREAMS = (*_ROW_STREAMS, *_TIMED, *EVENTS, "waves", "spreads", *daily.STREAMS)
_NO_TICKETS = "no tickets"
_NO_MEMORY = "no memory"
_CONTENDERS: dict[str, dict[str, Any]] = {
    "default": {},
    _NO_TICKETS: {},
    _NO_MEMORY: {},
    "frozen": {"rule": "frozen"},
    "readout alone": {"rule": "frozen", "hidden_sizes": (8,)},
}


def _load(name: str, seed: int, directory: str | None) -> TimedStream:
    """Return a stream; at most `_ROWS` rows where labels do not come a day later."""
    if name in daily.STREAMS:
        return daily.load(name, seed, directory)
    if name in ("waves", "spreads"):
        return _drawn_events(name, seed)
    if name in _ROW_STREAMS:
        X, y = data.load(name, directory)
        return TimedStream(X[:_ROWS], y[:_ROWS])
    timed = temporal_data.load(name, seed, directory)
    if timed.begins is not None:
        return timed
    return replace(
        timed, X=timed.X[:_ROWS], y=timed.y[:_ROWS], t=None if timed.t is None else timed.t[:_ROWS]
    )


def _drawn_events(name: str, seed: int) -> TimedStream:
    """Return 80 events of 100 rows; the label is one of four sizes of a wave or of noise.

    Each event has a level of its own.
    """
    random = np.random.RandomState(seed)
    shape = (80, 1, 6)
    n_rows = 100
    labels = random.randint(4, size=shape[0])
    level = random.normal(size=shape)
    size = random.lognormal(0.0, 0.3, shape)
    if name == "waves":
        pace = 0.4 * (1.0 + 0.1 * random.normal(size=(shape[0], 1, 1)))
        wave = np.sin(pace * np.arange(n_rows)[None, :, None] + random.uniform(0.0, 6.28, shape))
        X = np.array([0.2, 1.0, 2.0, 3.0])[labels][:, None, None] * size * wave + 0.3 * level
        X = X + 0.1 * random.normal(size=X.shape)
    else:
        noise = random.normal(size=(shape[0], n_rows, shape[2]))
        X = np.array([0.3, 0.8, 1.5, 3.0])[labels][:, None, None] * size * noise + 0.5 * level
    return TimedStream(
        X.reshape(-1, shape[2]), np.repeat(labels, n_rows), begins=np.arange(shape[0]) * n_rows
    )


def measure(
    stream: str, contender: str, late: str, seed: int, directory: str | None
) -> dict[str, Any]:
    """Predict each row or event when it comes, and learn it when its label comes."""
    from loco_stream import LOCOClassifier, LOCORegressor

    timed = _load(stream, seed, directory)
    options = dict(_CONTENDERS[contender])
    if stream not in _ROW_STREAMS and contender != _NO_MEMORY:
        options["memory"] = MEMORY
    model: Any = (LOCORegressor if timed.is_regression else LOCOClassifier)(**options, seed=seed)
    learn = _learn_without_ticket if contender == _NO_TICKETS else _learn
    if late == _EVENT:
        answers = _by_event(model, timed, contender == _NO_TICKETS)
        assert timed.begins is not None
        return {"score": score(answers, timed.y[timed.begins], timed)}
    if late == _END:
        answers = _by_end(model, timed, learn)
        n_blind = _BATCH  # rows before the first value
    else:
        n_late = timed.delay if late == _DAY else int(late)
        answers = _by_row(model, timed, learn, n_late)
        n_blind = n_late + 1
    first = n_blind if timed.is_regression else 0
    return {"score": score(answers[first:], timed.y[first:], timed)}


def _learn(model: Any, ticket: Any, y: Any) -> None:
    model.learn_one(ticket, y)


def _learn_without_ticket(model: Any, ticket: Any, y: Any) -> None:
    """Learn a row as if it had been predicted a moment ago."""
    model.learn_one(_predicted_now(model, ticket), y)


def _predicted_now(model: Any, ticket: Any) -> Any:
    """Return a ticket with the model's present predictions, in the context of the row."""
    from loco_stream._learner import step
    from loco_stream._learner.delayed_labels.pending import places_of

    core = model._core
    if core.n_seen == 0:
        return ticket
    counts = core.state.counts
    if len(ticket.predicted) != places_of(core.settings, counts.n_classes, counts.n_features).end:
        return ticket
    predicted = ticket.predicted[None, :].copy()
    core.slots.fill(ticket.x, core.row[0])
    core._run_one(step.LATE, None, np.zeros((0, 3)), tickets=predicted)
    return replace(ticket, predicted=predicted[0])


def _rows(timed: TimedStream) -> tuple[list[dict[int, float]], list[Any], list[float | None]]:
    rows = [dict(enumerate(row)) for row in timed.X.tolist()]
    return rows, timed.y.tolist(), [None] * len(rows) if timed.t is None else timed.t.tolist()


def _by_row(model: Any, timed: TimedStream, learn: Callable[..., None], late: int) -> list[Any]:
    """Return the answer to each row; its label comes so many rows later, or at once."""
    rows, y, t = _rows(timed)
    starts = set([] if timed.begins is None else timed.begins.tolist())
    waiting: deque[Any] = deque()
    answers = []
    for i, row in enumerate(rows):
        if i in starts:
            model.reset_context()
        if late and len(waiting) == late:
            learn(model, waiting.popleft(), y[i - late])
        waiting.append(model.observe_one(row, t[i]))
        answers.append(waiting[-1].prediction)
        if not late:
            learn(model, waiting.popleft(), y[i])
    return answers


def _by_end(model: Any, timed: TimedStream, learn: Callable[..., None]) -> list[Any]:
    """Return the answer to each row; labels come when the event, or every fiftieth row, is over."""
    rows, y, t = _rows(timed)
    answers = []
    cuts = [slice(at, min(at + _BATCH, len(rows))) for at in range(0, len(rows), _BATCH)]
    for span in cuts if timed.begins is None else spans(timed):
        if timed.begins is not None:
            model.reset_context()
        tickets = [model.observe_one(row, at) for row, at in zip(rows[span], t[span], strict=True)]
        for ticket, label in zip(tickets, y[span], strict=True):
            learn(model, ticket, label)
        answers += [ticket.prediction for ticket in tickets]
    return answers


def _by_event(model: Any, timed: TimedStream, without_tickets: bool) -> list[Any]:
    """Return one answer per event, whose label comes at its end."""
    answers = []
    y = timed.y.tolist()
    for rows in spans(timed):
        answers.append(model.predict_sequence(timed.X[rows]))
        if not without_tickets or model.n_seen == 0:
            model.learn_sequence(timed.X[rows], y[rows.start])
            continue
        model._core.admit((), (y[rows.start],))
        model.reset_context()
        tickets = [
            model.observe_one(row)
            for row in _rows(replace(timed, X=timed.X[rows], y=timed.y[rows]))[0]
        ]
        for ticket in tickets:
            share = 1.0 / len(tickets)
            _learn_share(model, _predicted_now(model, ticket), y[rows.start], share)
    return answers


def _learn_share(model: Any, ticket: Any, y: Any, share: float) -> None:
    """Learn a ticket with a share of a step of the hidden layers."""
    core = model._core
    core.slots.fill(ticket.x, core.row[0])
    core.run(
        core.row,
        np.array([core.class_slots[y]]),
        np.zeros(1),
        predicts=False,
        times=row_times_at(np.full(1, np.nan), share=share),
        tickets=ticket.predicted[None, :],
    )


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return one table per delay: the score of every contender on every stream."""
    grouped = by_name(results)
    out = []
    for late in dict.fromkeys(key[0] for key in grouped):
        streams = list(dict.fromkeys(key[1] for key in grouped if key[0] == late))
        names = list(dict.fromkeys(key[2] for key in grouped if key[0] == late))
        delay = {_DAY: "a day late"}.get(late, f"{late} rows late" if late.isdecimal() else late)
        title = f"accuracy, % (R2 x 100 for values), labels {delay}"
        grid = Grid(title, ["contender", *streams])
        for name in names:
            cells = [grouped.get((late, stream, name)) for stream in streams]
            grid.row(name, *(percent(*spread(runs, "score")) if runs else "-" for runs in cells))
        for column, stream in enumerate(streams, start=1):
            found = [grouped.get((late, stream, name)) for name in names]
            grid.mark_best(column, [spread(runs, "score")[0] if runs else None for runs in found])
        out.append(grid)
    return out


def _runs(late: str, stream: str, name: str, settings: Settings) -> list[Run]:
    code = fingerprint(
        "benchmarks/late.py",
        "benchmarks/daily.py",
        "benchmarks/temporal.py",
        "benchmarks/temporal_data.py",
    )
    events = stream in (*EVENTS, "waves", "spreads")
    if (late == _EVENT and not events) or (late == "0" and name == _NO_TICKETS):
        return []
    if (late == _DAY and stream not in daily.STREAMS) or (
        name == _NO_MEMORY and stream in _ROW_STREAMS
    ):
        return []
    where = {"stream": stream, "late": late, "directory": settings.directory}
    return [
        Run(
            f"{late}/{stream}/{name}/{seed}",
            measure,
            {"contender": name, "seed": seed, **where},
            f"{code} {_CONTENDERS[name] or ''}".strip(),
        )
        for seed in range(settings.seeds)
    ]


@click.command("late")
@click.option(
    "--only", metavar="A;B", help=f"Contenders, separated by semicolons: {'; '.join(_CONTENDERS)}."
)
@click.option("--streams", "names", metavar="A;B", help=f"Streams: {'; '.join(_STREAMS)}.")
@click.option("--late", "lates", metavar="A;B", help=f"When labels come: {'; '.join(_LATE)}.")
@common(seeds=3)
def command(settings: Settings, only: str | None, names: str | None, lates: str | None) -> None:
    """Labels that come later, with and without tickets and hidden layers that learn.

    Rows are predicted when they come. `no tickets` scores the parts of the readout by their
    predictions when the label comes instead of when the row came; in `frozen` hidden layers do not
    learn. `no memory` is the default without a memory.

    \b
    Examples
      python -m benchmarks late --data ~/data --seeds 1
      python -m benchmarks late --streams "SEA3;digits" --late "20;100"
      python -m benchmarks late --data ~/data --streams "bikes;season" --late "0;a day"
    """
    chosen = contenders.pick(names, _STREAMS, "--streams", separator=";")
    here, notes = temporal_data.available(chosen, settings.directory)
    with_dates = [name for name in here if name in daily.STREAMS]
    found, more = daily.available(with_dates, settings.directory)
    here = [name for name in here if name not in with_dates or name in found]
    print_missing([*notes, *more])
    runs = [
        run
        for late in contenders.pick(lates, _LATE, "--late", separator=";")
        for name in contenders.pick(only, tuple(_CONTENDERS), "--only", separator=";")
        for stream in here
        for run in _runs(late, stream, name, settings)
    ]
    settings.run("late", runs, grids)
