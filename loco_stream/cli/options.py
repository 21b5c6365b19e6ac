"""Options and steps that several subcommands share."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from loco_stream.cli.settings import (
    advanced_names,
    check_settings,
    completed,
    setting_names,
    unknown_setting,
)
from loco_stream.errors import ConfigError

__all__ = [
    "bad_option",
    "build_model",
    "is_strict",
    "model_options",
    "open_stream",
    "parse_settings",
    "warm_up",
]

F = TypeVar("F", bound=Callable[..., Any])

_TASKS = click.Choice(["classification", "regression"])


def model_options(function: F) -> F:
    """Add what says how to learn: --task, --seed, --preset, --set, --delay, --window, --holdout."""
    for option in reversed(
        [
            click.option(
                "--task",
                type=_TASKS,
                help="What the labels are; the source or the first labels tell.",
            ),
            click.option(
                "--seed",
                type=click.IntRange(0, 2**63 - 1),
                default=0,
                show_default=True,
                metavar="N",
                help="The same seed on the same stream gives the same bytes.",
            ),
            click.option(
                "--preset",
                type=click.Choice(["fast", "default", "accurate"]),
                help="The model for a purpose: 64, 128 or 256 neurons; --set goes on from it.",
            ),
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="NAME=VALUE",
                shell_complete=completed,
                callback=check_settings,
                help="A parameter of the model, for example --set rule=np or --set hidden_sizes=128,64; "
                "--set help lists all.",
            ),
            click.option(
                "--delay",
                type=click.IntRange(0),
                metavar="N",
                help="Learn each label N samples late.",
            ),
            click.option(
                "--window",
                type=click.IntRange(1),
                default=500,
                show_default=True,
                metavar="N",
                help="Samples in the sliding window of the scores.",
            ),
            click.option(
                "--holdout",
                type=click.IntRange(0),
                metavar="N",
                help="Samples of each task withheld from training, to measure forgetting; 0 withholds none.",
            ),
        ]
    ):
        function = option(function)
    return function


def bad_option(default: str | None) -> Callable[[F], F]:
    """Add --on-bad; the default None leaves it to the source."""
    told = "skip, but stop for files" if default is None else default
    return click.option(
        "--on-bad",
        type=click.Choice(["skip", "stop"]),
        default=default,
        help=f"What a bad row does: it is left out and counted, or ends the run.  [default: {told}]",
    )


def is_strict(stream: Any, on_bad: str | None) -> bool:
    """Whether a row that cannot be learned ends the run.

    A recording can be mended, what is live cannot.
    """
    return (on_bad or stream.on_bad) == "stop"


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Read NAME=VALUE pairs: Python literals, comma lists as tuples, anything else as text.

    Examples
    --------
    >>> parse_settings(["rule=np", "hidden_sizes=128,64", "learning_rate=0.5"])
    {'rule': 'np', 'hidden_sizes': (128, 64), 'learning_rate': 0.5}
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set takes NAME=VALUE, for example --set rule=np, not {pair!r}")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        settings[name.replace("-", "_")] = value
    return settings


def build_model(task: str, seed: int, settings: dict[str, Any], preset: str | None = None) -> Any:
    """Make the estimator for a task, of a preset where there is one.

    Raises
    ------
    ConfigError
        An unknown setting, or one out of range.
    """
    from loco_stream.estimators.classifier import LOCOClassifier
    from loco_stream.estimators.regressor import LOCORegressor
    from loco_stream.options import PRESETS, AdvancedOptions

    estimator = LOCORegressor if task == "regression" else LOCOClassifier
    for name in settings:
        if name not in setting_names():
            raise ConfigError(unknown_setting(name))
    advanced = {name: settings[name] for name in advanced_names() if name in settings}
    chosen = {name: value for name, value in settings.items() if name not in advanced}
    if advanced:
        chosen["advanced"] = AdvancedOptions(**advanced)
    try:
        return estimator(**{**PRESETS[preset or "default"], **chosen, "seed": seed})
    except TypeError as error:
        raise ConfigError(f"--set: {error}") from error


def open_stream(
    url: str,
    task: str | None,
    keys: str | None,
    endless: bool = False,
    limits: Sequence[str] = (),
    on_bad: str | None = None,
) -> Any:
    """Open the source a URL names, guarded by the keys where there are any, its peers bounded by NAME=VALUE limits."""
    from loco_stream.connectors import open_source

    bounds = {}
    for pair in limits:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(
                f"--limit takes NAME=VALUE, for example --limit sources=64, not {pair!r}"
            )
        bounds[name.replace("-", "_")] = value
    return open_source(url, task=task, keys=keys, endless=endless, limits=bounds, on_bad=on_bad)


def warm_up(blocks: bool) -> None:
    """Compile, or load from the compile cache, what a row by name or a block of rows needs, before one comes."""
    from loco_stream._compiler.timing import COMPILING, notify_when_compiling
    from loco_stream.estimators.classifier import LOCOClassifier

    model = LOCOClassifier(seed=0)
    with notify_when_compiling(lambda: click.echo(COMPILING, err=True)):
        if blocks:
            model.learn_predict_array([[0.0], [1.0]], ["a", "b"])
            model.predict_proba_array([[0.0]])
        else:
            model.learn_one({"a": 0.0}, "a")
            model.predict_one({"a": 0.0})
