"""Options of run, serve and fleet, each declared once, and what is built from them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from loco_stream._cli._option_group import (
    PATH,
    Decorator,
    RepeatedOption,
    checked_by,
    option_group,
    seed_option,
)
from loco_stream._cli._parameters import (
    build_model,
    check_settings,
    complete_setting,
    named_texts,
    parse_settings,
)
from loco_stream._problems import TARGETS, is_numeric
from loco_stream._ranges import Choice, FiniteNumber, FloatRange, IntRange
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream.engine._admission import NameBounds
    from loco_stream.estimators._pipeline import Estimator
    from loco_stream.monitor import TaskMonitor
    from loco_stream.stream import Source

_AT_PRECISION = 0.9  # that of `metrics._ranking`, which imports numpy


@dataclass(frozen=True, slots=True)
class LearningOptions:
    """What learns, and how it is watched. A resumed run continues with the stored values."""

    task: str | None
    seed: int
    preset: str | None
    settings: tuple[str, ...]
    holdout: int | None
    drift_detector: str | None
    tasks: str

    def problem(self, targets: Sequence[str]) -> str | None:
        """Return the problem that the options or the targets of the source name, else None.

        Raises `ConfigError` if classes are wanted of a source whose rows have several targets.

        `targets`: names of the targets if there are several; else empty.
        """
        if not targets:
            return self.task
        if self.task == "classification":
            names = ", ".join(targets)
            raise ConfigError(
                f"`--task` must be regression with several targets ({names}), got classification"
            )
        return TARGETS

    def model(self, task: str) -> Estimator:
        """Return the estimator for a task."""
        return build_model(task, self.seed, parse_settings(self.settings), self.preset)

    def monitor(self, task: str) -> TaskMonitor:
        """Return the monitor for a task."""
        from loco_stream.monitor import TaskMonitor

        chosen: dict[str, Any] = {"holdout": self.holdout, "drift_detector": self.drift_detector}
        given = {name: value for name, value in chosen.items() if value is not None}
        given["tasks"] = self.tasks
        if task == TARGETS:  # a held-out row is one number
            if self.holdout:
                raise ConfigError(f"`--holdout` must be 0 with several targets, got {self.holdout}")
            return TaskMonitor(problem="regression", seed=self.seed, **{**given, "holdout": 0})
        return TaskMonitor(problem=task, seed=self.seed, **given)

    def stored(self, task: str | None) -> dict[str, object]:
        """Return the values that a resumed run continues with."""
        return {**asdict(self), "task": task}


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """When labels are used, and how predictions are scored."""

    delay: int | None
    score_window: int
    at_precision: float

    def check_task(self, task: str) -> None:
        """Raise `ConfigError` if a precision was chosen, and there are no classes."""
        if self.at_precision != _AT_PRECISION and is_numeric(task):
            raise ConfigError(f"`--at-precision` needs a classification, got a {task}")


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """How long, and how many, rows wait for their labels. A resumed run may have other values."""

    max_age: float
    max_pending: int


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How rows are read."""

    keys: str | None
    limits: tuple[str, ...]
    on_bad: str | None
    missing_values: tuple[float, ...] = ()

    def open(
        self, url: str, task: str | None, *, endless: bool = False, labelled: bool = True
    ) -> Source:
        """Open the source that a URL names.

        url: the source
        task: what `--task` names; None if the source has to find it
        endless: whether to continue after the end of a live source's stream
        labelled: False reads tables that name no label column as rows without labels
        """
        from loco_stream.connectors import open_source

        return open_source(
            url,
            task=task,
            keys=self.keys,
            endless=endless,
            limits=self._bounds(),
            on_bad=self.on_bad,
            labelled=labelled,
        )

    def name_bounds(self) -> NameBounds:
        """Return the bounds on names, which hold for every entrance."""
        from loco_stream.connectors.ls1._limits import parse_limits
        from loco_stream.engine._admission import NameBounds

        try:
            limits = parse_limits(self._bounds())
        except ConfigError as error:
            raise ConfigError(f"`--limit`: {error}") from None
        return NameBounds(
            limits.features,
            limits.name_bytes,
            limits.model_features,
            limits.model_classes,
            limits.guest_names,
        )

    def bounds_for(self, source: Source) -> NameBounds | None:
        """Return the bounds on names for a source; without --limit, those of a recording are few.

        Fixed columns need none, and each row of JSON may bring further names of features.
        """
        from loco_stream.engine._admission import NameBounds

        bounds = self.name_bounds()
        if source.is_live or self.limits:
            return bounds
        has_fixed_names = source.schema is not None and source.schema.features is not None
        return None if has_fixed_names else NameBounds(features=bounds.features)

    def _bounds(self) -> dict[str, str]:
        return named_texts("--limit", "sources=64", self.limits)

    def is_strict(self, source: Source) -> bool:
        """Return whether a row that cannot be learned ends the run.

        The default is to stop for recordings, which can be corrected, and to skip for live sources.
        """
        return (self.on_bad or source.on_bad) == "stop"


@dataclass(frozen=True, slots=True)
class StateOptions:
    """Where and how often state is stored, and where the report goes."""

    checkpoint: str
    report: str | None
    durability: str | None
    checkpoint_every: int

    def check(self) -> None:
        """Raise `ConfigError` if the report or the folder of checkpoints cannot be written."""
        from loco_stream._persistence.outputs import check_folder, check_output

        check_output("--report", self.report)
        if "://" not in self.checkpoint:  # a fleet may be in object storage
            check_folder("the checkpoint folder", self.checkpoint)


def locked_folder(path: str) -> AbstractContextManager[str | os.PathLike[str]]:
    """Return the locked folder of checkpoints: a second process must not wait for rows for it.

    An object store has its own leases.
    """
    from loco_stream.engine._checkpoint import CheckpointFolder

    return nullcontext(path) if "://" in path else CheckpointFolder(path)


def stored_missing(values: Sequence[float]) -> dict[str, object]:
    """Return what a resumed run continues with of --missing; nothing if it was not given.

    So it can be added to a run that was begun without it, but neither changed nor forgotten.
    """
    return {"missing_values": tuple(values)} if values else {}


def _check_durability(mode: str) -> None:
    from loco_stream.engine._wal import parse_durability

    parse_durability(mode)


def _check_detector(
    context: click.Context, parameter: click.Parameter, name: str | None
) -> str | None:
    """Refuse an unknown detector before anything is opened; for `help`, list all and exit."""
    if name is None or context.resilient_parsing:
        return name
    from loco_stream._text import did_you_mean

    names = _detectors()
    if name == "help":
        click.echo("\n".join(f"{name:<12} {text}" for name, text in names.items()))
        context.exit()
    if name not in names:
        raise ConfigError(
            f"`--drift-detector` must be one of {', '.join(names)}, "
            f"got {name!r}{did_you_mean(name, names)}"
        )
    return name


def _check_tasks(tasks: str) -> None:
    named = tasks.startswith("column:") and tasks != "column:"
    if tasks not in ("auto", "none") and not named:
        raise ConfigError(f"`--tasks` must be auto, none or column:NAME, got {tasks!r}")


def _complete_detector(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return [CompletionItem(name) for name in _detectors() if name.startswith(incomplete)]


def _detectors() -> Mapping[str, str]:
    from loco_stream.drift import describe_detectors

    return describe_detectors()


def model_options(holdout: int | None) -> Decorator:
    """Return a decorator that adds the options of the model and the monitor.

    `holdout`: default of --holdout; None for that of `TaskMonitor`.
    """
    return option_group(
        "model",
        LearningOptions,
        click.option(
            "--task",
            type=Choice(["classification", "regression"]),
            help="Task type.  [default: inferred from the source or the first labels]",
        ),
        seed_option("the model and the monitor"),
        click.option(
            "--preset",
            type=Choice(["fast", "default", "accurate"]),
            help="fast: 64 neurons. default: 128, 256 or 640 neurons, by the number of features. "
            "accurate: 256 neurons, and the last 5000 rows are kept. --set overrides single "
            "parameters.",
        ),
        click.option(
            "--set",
            "settings",
            cls=RepeatedOption,
            metavar="NAME=VALUE",
            shell_complete=complete_setting,
            callback=check_settings,
            help="Parameter of the model, for example --set rule=np or --set hidden_sizes=128,64; "
            "--set help lists all. Repeatable.",
        ),
        click.option(
            "--holdout",
            type=IntRange(0),
            default=holdout,
            show_default=False,
            metavar="N",
            help="Rows withheld from training per task, to measure forgetting; 0 withholds none.  "
            f"[default: {200 if holdout is None else holdout}]",
        ),
        click.option(
            "--drift-detector",
            metavar="NAME",
            shell_complete=_complete_detector,
            callback=_check_detector,
            help="Test for changes in the model's errors, for example ADWIN; --drift-detector help "
            "lists all.  [default: HDDMA]",
        ),
        click.option(
            "--tasks",
            default="auto",
            metavar="auto|none|column:NAME",
            callback=checked_by(_check_tasks),
            help="What starts a task of the accuracy matrix: a detected drift, nothing, or a new "
            "value of column NAME, which names the task.",
        ),
    )


score_options = option_group(
    "scoring",
    ScoreOptions,
    click.option(
        "--delay",
        type=IntRange(0),
        metavar="N",
        help="Learn each label N rows after its row.",
    ),
    click.option(
        "--score-window",
        type=IntRange(1),
        default=500,
        metavar="N",
        help="Rows in the sliding window of the scores.",
    ),
    click.option(
        "--at-precision",
        type=FloatRange(0.0, 1.0, min_open=True),
        default=_AT_PRECISION,
        metavar="P",
        help="Report the recall of each class at this precision.",
    ),
)


max_age_option = click.option(
    "--max-age",
    type=FloatRange(0.0, min_open=True),
    default=3600,
    metavar="SECONDS",
    help="Drop and count a row whose label has not come after SECONDS. A label that comes before "
    "its row waits as long.",
)

label_options = option_group(
    "labels",
    LabelOptions,
    max_age_option,
    click.option(
        "--max-pending",
        type=IntRange(1),
        default=10_000,
        metavar="ROWS",
        help="Drop and count the oldest row when more than ROWS wait for their labels. Waiting "
        "rows are in memory and in each checkpoint.",
    ),
)


def source_options(on_bad: str | None) -> Decorator:
    """Return a decorator that adds --keys, --limit, --on-bad and --missing.

    `on_bad`: default of --on-bad; None leaves the choice to the source.
    """
    default = on_bad or "stop for files, skip for live sources"
    return option_group(
        "reading",
        SourceOptions,
        click.option(
            "--keys",
            type=PATH,
            metavar="DIR",
            help="Encrypt zmq sources with CURVE and admit the clients in DIR/allowed/; made by "
            "`loco-stream keygen DIR`.",
        ),
        click.option(
            "--limit",
            "limits",
            cls=RepeatedOption,
            metavar="NAME=VALUE",
            callback=checked_by(lambda pairs: SourceOptions(None, pairs, None).name_bounds()),
            help="Limit on what peers may send, for example --limit sources=64. Those on features "
            "and classes hold for every source and --http. The error about an unknown NAME lists "
            "all. Repeatable.",
        ),
        click.option(
            "--on-bad",
            type=Choice(["skip", "stop"]),
            default=on_bad,
            show_default=False,
            help=f"Whether a bad row is skipped and counted or ends the run.  [default: {default}]",
        ),
        click.option(
            "--missing",
            "missing_values",
            type=FiniteNumber(),
            cls=RepeatedOption,
            metavar="VALUE",
            help="Number that stands for a missing value, for example --missing -9999. Classes and "
            "texts keep it. Repeatable.",
        ),
    )


def state_options(durability: str | None) -> Decorator:
    """Return a decorator that adds the options of stored state.

    `durability`: default of --durability; None leaves the choice to the engine.
    """
    default = durability or "batch where rows cannot be read again, else off"
    return option_group(
        "state",
        StateOptions,
        click.option(
            "--checkpoint",
            type=PATH,
            required=True,
            metavar="DIR",
            help="Directory of checkpoints and write-ahead log; a directory with state is resumed.",
        ),
        click.option(
            "--report", type=PATH, metavar="FILE", help="Write the report as JSON at the end."
        ),
        click.option(
            "--durability",
            default=durability,
            show_default=False,
            metavar="MODE",
            callback=checked_by(_check_durability),
            help="When the log is synced to disk: batch, interval:1s or off.  "
            f"[default: {default}]",
        ),
        click.option(
            "--checkpoint-every",
            type=IntRange(1),
            default=10_000,
            metavar="N",
            help="Rows between checkpoints; one is also written every 60 s while rows arrive.",
        ),
    )
