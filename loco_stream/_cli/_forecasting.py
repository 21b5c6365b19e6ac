"""The options of a forecast: `--forecast N` of `run`, `serve` and `fleet`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from loco_stream._cli._decision import DecisionOptions
from loco_stream._cli._option_group import RepeatedOption, given, option_group
from loco_stream._cli._options import LearningOptions, ScoreOptions
from loco_stream._cli._parameters import parse_settings
from loco_stream._ranges import IntRange
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream.engine._source_reader import SourceReader
    from loco_stream.estimators._forecaster import LOCOForecaster

_OWN = ("hidden_sizes", "memory", "max_delay")  # parameters of the forecaster that --set takes


@dataclass(frozen=True, slots=True)
class ForecastingOptions:
    """How far the target column is forecast, and which seasons it has."""

    forecast: int | None
    seasons: tuple[int, ...]

    @property
    def task(self) -> str | None:
        """What the labels of the source are, None without a forecast."""
        return None if self.forecast is None else "regression"

    def check(
        self,
        model: LearningOptions,
        scoring: ScoreOptions | None,
        decision: DecisionOptions,
    ) -> None:
        """Raise `ConfigError` for options that do not go together; a fleet has no `scoring`."""
        if self.forecast is None:
            if self.seasons:
                raise ConfigError("`--season` needs --forecast")
            return
        refused = {
            "--task classification": model.task == "classification",
            "--preset": model.preset is not None,
            "--holdout": bool(model.holdout),
            "--delay": scoring is not None and bool(scoring.delay),
            "--at-precision": given("at_precision"),
            "--threshold": bool(decision.thresholds),
            "--cost": bool(decision.costs),
        }
        for name, is_given in refused.items():
            if is_given:
                raise ConfigError(f"`{name}` cannot be combined with --forecast")
        self._parameters(model)

    def _parameters(self, model: LearningOptions) -> dict[str, Any]:
        """Return the parameters in --set, which must be those of the forecaster."""
        given = parse_settings(model.settings)
        for name in given:
            if name not in _OWN:
                raise ConfigError(
                    f"`--set` with --forecast must name one of {', '.join(_OWN)}, got {name!r}"
                )
        return given

    def stored(self) -> dict[str, object]:
        """Return the values that a resumed run continues with; none without a forecast."""
        return {} if self.forecast is None else asdict(self)

    def model(self, model: LearningOptions) -> LOCOForecaster:
        """Return the forecaster, which has a head for each step."""
        from loco_stream.estimators._forecaster import LOCOForecaster

        assert self.forecast is not None
        seasons = self.seasons or None
        own = self._parameters(model)
        return LOCOForecaster(heads=self.forecast, seasons=seasons, seed=model.seed, **own)


forecast_options = option_group(
    "forecasting",
    ForecastingOptions,
    click.option(
        "--forecast",
        type=IntRange(1, 512),
        metavar="N",
        help="Forecast the next N values of the target column, one series (in a fleet: one for "
        "each key).",
    ),
    click.option(
        "--season",
        "seasons",
        type=IntRange(2, 100_000),
        cls=RepeatedOption,
        metavar="ROWS",
        help="With --forecast: a period of the series, such as 24 for the day in hourly rows. "
        "Repeatable.",
    ),
)


def check_target(reader: SourceReader) -> None:
    """Raise `ConfigError` unless the rows of a source have one target."""
    if reader.source.targets:
        names = ", ".join(reader.source.targets)
        raise ConfigError(f"`--forecast` needs one target column, got {names}")
