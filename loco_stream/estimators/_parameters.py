"""Constructor parameters: fixed after construction, and an error that says where one went."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import fields
from typing import Any, NamedTuple, Self

from loco_stream._keywords import explains_keywords
from loco_stream._options import AdvancedOptions
from loco_stream._text import counted, did_you_mean
from loco_stream.errors import ConfigError

MOVED = frozenset(declared.name for declared in fields(AdvancedOptions))
_CHANGED_BY = {"class_weight": "call `set_class_weight`"}


class Hint(NamedTuple):
    """What an error says of a keyword that estimators do not take.

    text: what follows the keyword in the sentence
    needs: the parameter that an estimator must have for the hint to help; by default none
    """

    text: str
    needs: str = ""


def _is_called(name: str) -> Hint:
    return Hint(f"is called `{name}`", needs=name)


_FORECAST = Hint(
    "is an argument of `LOCOForecaster.forecast`; `heads` is the number of steps ahead with a "
    "readout head of their own"
)
_LAGS = Hint(
    "cannot be chosen: a forecast is made from the last 24 values, and `seasons` adds earlier ones",
    needs="seasons",
)
_TARGETS = Hint("is not needed: LOCOMultiTargetRegressor finds the targets in the labels")
_ALARMS = Hint("is not set directly: `every` is the number of rows per false alarm", needs="every")
_OF_CLASSIFIER = Hint("is a parameter of LOCOClassifier only")

# Keywords of earlier releases, of another estimator, and of other libraries.
HINTS = {
    "antithetic": Hint("was removed: pairs of opposite perturbations gained nothing"),
    "n_perturbations": Hint("was removed: a row is perturbed once"),
    **dict.fromkeys(("class_weight", "retention"), _OF_CLASSIFIER),
    **dict.fromkeys(("horizon", "prediction_length", "n_steps", "fh"), _FORECAST),
    **dict.fromkeys(("lag", "lags", "n_lags"), _LAGS),
    **dict.fromkeys(("targets", "n_targets", "n_outputs"), _TARGETS),
    **dict.fromkeys(("threshold", "contamination"), _ALARMS),
    **dict.fromkeys(("season_length", "seasonality", "period"), _is_called("seasons")),
    **dict.fromkeys(("n_neurons", "hidden_layer_sizes", "units"), _is_called("hidden_sizes")),
    **dict.fromkeys(("lr", "eta"), _is_called("learning_rate")),
    **dict.fromkeys(("random_state", "random_seed", "rng"), _is_called("seed")),
}


def _unknown(name: str, owner: str, known: Sequence[str]) -> str:
    if name in MOVED and "advanced" in known:
        return f"`{name}` moved: pass advanced=AdvancedOptions({name}=...) to {owner}"
    hint = HINTS.get(name)
    if hint is not None and (not hint.needs or hint.needs in known):
        return f"`{name}` {hint.text}"
    advice = did_you_mean(name, known)
    if not advice and "advanced" in known and (advice := did_you_mean(name, sorted(MOVED))):
        advice = f"{advice[:-1]}, an option of advanced=AdvancedOptions(...)?"
    return f"{owner}() got an unexpected keyword argument {name!r}{advice}"


explains_parameters = explains_keywords(_unknown)  # of an estimator


def parameter_names(init: Callable[..., None]) -> tuple[str, ...]:
    """Return the names of the parameters of a constructor, in order."""
    return tuple(inspect.signature(init).parameters)[1:]  # without self


def fixed_parameter(model: object, name: str) -> ConfigError:
    """Return the error of setting a constructor parameter of an existing model."""
    advice = _CHANGED_BY.get(name, "make a new model")
    return ConfigError(
        f"`{name}` of {type(model).__name__} must not be set after construction; {advice}"
    )


def check_advanced(advanced: Any) -> AdvancedOptions:
    """Return the advanced options; the defaults for None.

    Raises `ConfigError` if it is something else.
    """
    if advanced is None:
        return AdvancedOptions()
    if not isinstance(advanced, AdvancedOptions):
        raise ConfigError(f"`advanced` must be None or an AdvancedOptions, got {advanced!r}")
    return advanced


def check_settable(model: Any, names: Iterable[str]) -> None:
    """Check that `set_params` may change these parameters of a model.

    Raises `ConfigError` if the model has learned rows, or has no such parameter.
    """
    if model.n_seen:
        raise ConfigError(
            "`set_params` needs a model that has learned nothing, got one that has learned "
            f"{counted(model.n_seen, 'row')}"
        )
    known = model.get_params()
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{type(model).__name__} has no parameter {name!r}"
                f"{did_you_mean(name, known) or ': `get_params()` lists all'}"
            )


class LOCOModel:
    """A model: parameters that are fixed when it is made, and a core that learns.

    `_parts`: attributes that change as it learns, which a copy has copies of.
    """

    _parameters: tuple[str, ...] = ()
    _parts: tuple[str, ...] = ("_core",)
    _core: Any
    _estimator_type: str | None = None  # as scikit-learn calls it; versions before 1.6 read it

    def __sklearn_tags__(self) -> Any:
        """Return the tags by which scikit-learn recognises classifiers and regressors."""
        from sklearn.base import BaseEstimator

        tags = BaseEstimator().__sklearn_tags__()
        tags.estimator_type = self._estimator_type
        tags.target_tags.required = self._estimator_type in ("classifier", "regressor")
        return tags

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._parameters and "_core" in self.__dict__:
            raise fixed_parameter(self, name)
        super().__setattr__(name, value)

    def __copy__(self) -> Self:
        model = type(self).__new__(type(self))
        parts = {name: copy(getattr(self, name)) for name in self._parts}
        model.__dict__.update(self.__dict__, **parts)
        return model

    @property
    def n_seen(self) -> int:
        """Number of rows learned."""
        n: int = self._core.n_seen
        return n


class GetSetParams(LOCOModel):
    """Parameters as scikit-learn reads and changes them, for estimators without advanced options.

    `sklearn.base.clone` needs them.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the constructor by name, as scikit-learn does.

        Parameters
        ----------
        deep
            Without effect, since no parameter has parameters.
        """
        return {name: getattr(self, name) for name in self._parameters}

    def set_params(self, **params: Any) -> Self:
        """Change parameters of a model that has learned nothing; return the model.

        Raises
        ------
        ConfigError
            The model has learned rows, a parameter does not exist, or a value is out of range.
        """
        check_settable(self, params)
        other = type(self)(**{**self.get_params(), **params})
        self.__dict__.clear()
        self.__dict__.update(other.__dict__)
        return self
