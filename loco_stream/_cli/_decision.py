"""Which class follows from probabilities: the options --threshold and --cost."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from loco_stream._cli._logging import LOGGER, log_failure
from loco_stream._cli._option_group import RepeatedOption, checked_by, option_group
from loco_stream._cli._parameters import literal
from loco_stream._problems import is_numeric
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream._persistence.content import Plain
    from loco_stream.engine import StreamEngine
    from loco_stream.estimators._decision import Rule


@dataclass(frozen=True, slots=True)
class DecisionOptions:
    """The rule by which a classifier predicts; a resumed run keeps its own unless one is given."""

    thresholds: tuple[str, ...]
    costs: tuple[str, ...]

    @property
    def rule(self) -> Rule:
        """Keyword arguments of `set_decision`; empty if no rule is given.

        Raises `ConfigError` if an option has another form, or repeats a label.
        """
        from loco_stream.estimators._decision import rule_of

        thresholds = [_threshold(text) for text in self.thresholds]
        costs = [_cost(text) for text in self.costs]
        return rule_of(thresholds or None, costs or None)

    def check(self) -> None:
        """Raise `ConfigError` if the rule is none."""
        from loco_stream.estimators._decision import Decision

        rule = self.rule
        Decision.checked(rule.get("thresholds"), rule.get("costs"))

    def apply(self, engine: StreamEngine) -> None:
        """Let the engine predict by the rule before its first row, after it was resumed.

        At the end, the labels of the rule that no row had are logged.
        """
        rule = self.rule
        if rule:
            engine.queries.submit(lambda engine: engine.set_decision(**rule)).add_done_callback(
                log_failure("--threshold or --cost")
            )
            engine.on("report", lambda report: _log_unknown(rule, engine.model))

    def check_task(self, task: str) -> None:
        """Raise `ConfigError` if there is a rule, and no classes."""
        if self.rule and is_numeric(task):
            raise ConfigError(f"`--threshold` and `--cost` need a classification, got a {task}")


@dataclass(frozen=True, slots=True)
class DecisionChange(DecisionOptions):
    """Another rule for something that runs; none only asks which rule there is."""

    clear: bool

    @property
    def is_given(self) -> bool:
        """Whether there is another rule.

        Raises `ConfigError` if a rule is given, and cleared at the same time.
        """
        if self.clear and self.rule:
            raise ConfigError("`--clear` excludes --threshold and --cost")
        return self.clear or bool(self.rule)


def plain_rule(rule: Rule) -> Plain:
    """Return a rule as plain values for a command; None for an empty rule.

    Raises `ConfigError` if the rule is none.
    """
    from loco_stream.estimators._decision import Decision

    decision = Decision.checked(**rule)
    return None if decision is None else decision.to_plain()


def rule_of_command(plain: Plain) -> Rule:
    """Undo `plain_rule`; raises `ConfigError` for anything it did not make."""
    from loco_stream.estimators._decision import Decision

    try:
        decision = Decision.from_plain(plain)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"a command must contain a rule for labels, got {plain!r:.80}") from error
    return {} if decision is None else decision.rule


def _log_unknown(rule: Rule, model: object) -> None:
    from loco_stream.engine._model_adapter import last_step
    from loco_stream.estimators._classifier import LOCOClassifier
    from loco_stream.estimators._decision import labels_of

    classifier = last_step(model)
    if isinstance(classifier, LOCOClassifier):
        unknown = [repr(label) for label in labels_of(rule) if label not in classifier.classes]
        if unknown:
            LOGGER.warning("--threshold or --cost: no row had the label %s", ", ".join(unknown))


def _threshold(text: str) -> tuple[Hashable, float]:
    label, p = _pair("--threshold", text, "LABEL=P")
    if not 0.0 < p <= 1.0:
        raise ConfigError(f"`--threshold` must be LABEL=P with P above 0 and up to 1, got {text!r}")
    return _label(label), p


def _cost(text: str) -> tuple[tuple[Hashable, Hashable], float]:
    labels, cost = _pair("--cost", text, "TRUE,PREDICTED=COST")
    true, comma, predicted = labels.partition(",")
    if not comma or not true or not predicted:
        raise ConfigError(f"`--cost` must be TRUE,PREDICTED=COST, got {text!r}")
    return (_label(true), _label(predicted)), cost


def _pair(option: str, text: str, form: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        name = ""
    if not name:
        raise ConfigError(f"`{option}` must be {form}, got {text!r}")
    return name, value


def _label(text: str) -> Hashable:
    """Return a number or truth value that a text shows, and else the text, unquoted."""
    value = literal(text.strip())
    return value if isinstance(value, bool | int | float | str) else text.strip()


_options = (
    click.option(
        "--threshold",
        "thresholds",
        cls=RepeatedOption,
        metavar="LABEL=P",
        callback=checked_by(lambda texts: DecisionOptions(texts, ()).check()),
        help="Predict LABEL where its probability is at least P. Where no threshold is reached, "
        "the most probable label without one is predicted. Repeatable.",
    ),
    click.option(
        "--cost",
        "costs",
        cls=RepeatedOption,
        metavar="TRUE,PREDICTED=COST",
        callback=checked_by(lambda texts: DecisionOptions((), texts).check()),
        help="Predict the label of the least expected cost; other mistakes cost 1. Repeatable.",
    ),
)
decision_options = option_group("decision", DecisionOptions, *_options)
decision_change = option_group(
    "decision",
    DecisionChange,
    *_options,
    click.option("--clear", is_flag=True, help="Predict the most probable label again."),
)
