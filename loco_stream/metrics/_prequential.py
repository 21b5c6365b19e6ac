"""Prequential scores: every prediction is scored before its label is learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, cast

from loco_stream._checks import require, row_count
from loco_stream._problems import PROBLEMS
from loco_stream._renamed import renamed
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.metrics._stream import checked_fading
from loco_stream.metrics.scores import scores_for
from loco_stream.metrics.scores._definition import Interval, Label, ScoredRows, State, Tally
from loco_stream.metrics.scores.confusion import Confusion
from loco_stream.metrics.scores.targets import Targets

Tallies: TypeAlias = dict[type[Tally], Tally]


class Prequential:
    """Test-then-train scores in constant time per row and bounded memory.

    The scores include two baselines: repeating the previous label, and predicting the most frequent
    label so far. All are counted over the same rows, those with a prediction. With delayed labels,
    pass the prediction that was stored when the row arrived.

    Parameters
    ----------
    problem
        "classification", "regression", "multi-target regression", whose labels, predictions and
        intervals are dicts by target, or "watching", which has no labels and no scores.
    window
        Rows in the sliding window. 500 rows give a standard error of at most .022; use fewer to see
        changes sooner.
    fading
        Fading factor of `fading_accuracy` and `fading_mae`, in (0, 1]; see
        `loco_stream.metrics.fading_accuracy`.

    Raises
    ------
    ConfigError
        A setting is out of its range.

    References
    ----------
    Gama, Sebastiao, Rodrigues: On Evaluating Stream Learning Algorithms. Machine Learning 90, 2013.

    Examples
    --------
    >>> from loco_stream.metrics import Prequential
    >>> score = Prequential("classification", window=2)
    >>> for y_true, y_pred in [("a", "a"), ("a", "b"), ("b", "b"), ("b", "b")]:
    ...     score.update(y_true, y_pred)
    >>> report = score.report()
    >>> report["accuracy"], report["no_change_accuracy"], report["window_accuracy"]
    (0.75, 0.5, 1.0)
    """

    @renamed(task="problem")
    def __init__(
        self, problem: str = "classification", window: int = 500, fading: float = 0.999
    ) -> None:
        if problem not in PROBLEMS:
            raise ConfigError(f"`problem` must be one of {', '.join(PROBLEMS)}, got {problem!r}")
        window = require("window", window, row_count)
        self.problem = problem
        self.window = window
        self.fading = checked_fading(fading)
        self.n_scored = 0
        self._scores = scores_for(problem)
        self._by_name = {score.key.name: score for score in self._scores}
        kinds = dict.fromkeys(score.tally for score in self._scores)
        self._tallies: Tallies = {kind: kind(window, self.fading) for kind in kinds}
        self._updates = [tally.update for tally in self._tallies.values()]

    def update(
        self,
        y_true: Label,
        y_pred: Label,
        p_true: float | None = None,
        interval: Interval = None,
    ) -> None:
        """Count one row.

        Parameters
        ----------
        y_true
            The label.
        y_pred
            The prediction; None if there is none: the row is not scored, but its label counts for
            the baselines.
        p_true
            Predicted probability of the label; None in regression, or if there is none.
        interval
            90 % prediction interval of a regression; None or infinite if there is none.

        Raises
        ------
        InputError
            Regression, and a value is not a finite number.
        """
        for update in self._updates:
            update(y_true, y_pred, p_true, interval)
        self.n_scored += y_pred is not None

    def update_many(self, rows: ScoredRows) -> None:
        """Count rows in order: the same as `update` for each, to the last digit.

        Parameters
        ----------
        rows
            Labels, predictions, probabilities and intervals, one entry per row each.

        Raises
        ------
        InputError
            As `update` does.

        Examples
        --------
        >>> from loco_stream.metrics import Prequential
        >>> from loco_stream.metrics.scores._definition import ScoredRows
        >>> score = Prequential()
        >>> score.update_many(ScoredRows(["a", "b"], ["a", "a"], [0.9, 0.2], [None, None]))
        >>> score.value("accuracy")
        0.5
        """
        for tally in self._tallies.values():
            tally.update_many(rows)
        self.count_scored(rows)

    def count_scored(self, rows: ScoredRows) -> None:
        """Count the rows with a prediction, after all tallies have taken them."""
        self.n_scored += len(rows.y_pred) - rows.y_pred.count(None)

    def tallies(self, names: Sequence[str]) -> tuple[list[Tally], list[Tally]]:
        """Return the tallies that the scores with these names read, and the others."""
        kinds = {self._by_name[name].tally for name in names}
        read = [tally for kind, tally in self._tallies.items() if kind in kinds]
        return read, [tally for kind, tally in self._tallies.items() if kind not in kinds]

    def report(self) -> dict[str, float]:
        """Return the scores by name, as fractions or in units of y; NaN before the first row.

        Returns
        -------
        dict
            Classification: accuracy, kappa, kappa_m, kappa_t, no_change_accuracy,
            majority_accuracy, window_accuracy, fading_accuracy, log_loss (nats). Regression: mae,
            rmse, r2, no_change_mae, window_mae, fading_mae, interval_coverage; with several
            targets, their means.
        """
        values: dict[str, float] = self._values(single_numbers=True)
        return values

    def value(self, name: str) -> float:
        """Return one score by name."""
        score = self._by_name[name]
        return float(score.value(self._tallies[score.tally]))

    @property
    def labels(self) -> list[Label]:
        """The labels of `per_class`, in its order."""
        confusion = self._tallies.get(Confusion)
        return [] if confusion is None else list(cast(Confusion, confusion).labels)

    @property
    def n_scored_by_target(self) -> dict[Label, int]:
        """Rows in which each of several targets was scored; empty for other problems."""
        targets = self._tallies.get(Targets)
        return {} if targets is None else cast(Targets, targets).n_scored

    def classes(self) -> dict[str, Label]:
        """Return the scores that are no single number: `per_class`, `confusion`, `per_target`."""
        return self._values(single_numbers=False)

    def _values(self, single_numbers: bool) -> dict[str, Label]:
        tallies = self._tallies
        return {
            score.key.name: score.value(tallies[score.tally])
            for score in self._scores
            if bool(score.better) == single_numbers
        }

    def export_state(self) -> State:
        """Return settings and counters as plain values that JSON can hold."""
        return {
            "problem": self.problem,
            "window": self.window,
            "fading": self.fading,
            "n_scored": self.n_scored,
            "tallies": {tally.name: tally.export_state() for tally in self._tallies.values()},
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`; the settings are taken from `state` too.

        Raises
        ------
        CheckpointError
            `state` is incomplete; nothing is changed.
        """
        try:
            fresh = Prequential(state["problem"], state["window"], state["fading"])
            fresh.n_scored = state["n_scored"]
            for tally in fresh._tallies.values():
                tally.restore_state(state["tallies"][tally.name])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"the saved scores cannot be restored: {error!r}") from error
        self.__dict__.update(fresh.__dict__)
