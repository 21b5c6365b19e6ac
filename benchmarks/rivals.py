"""The peers of all tables, made by name and seed.

Learners of river that need scaled features get river's `StandardScaler`; compiled ones scale
themselves. Rows of more than `WIDE` features are taken for images with pixels in [0, 1], which the
compiled ones and KNN do not scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from benchmarks.learner import WIDE, Learner, Majority, NoChange, RiverLearner

__all__ = ["CLASSIFIERS", "REGRESSORS", "Rival", "over_sampled"]

_Make: TypeAlias = Callable[[int, int, int], Learner]


@dataclass(frozen=True, slots=True)
class Rival:
    """A peer: `make(n_features, n_classes, seed)` builds it.

    `seeded` tells whether results depend on the seed.
    """

    make: _Make
    seeded: bool


def _scaled(model: Any) -> Learner:
    from river.preprocessing import StandardScaler

    return RiverLearner(StandardScaler() | model)


def _linear_odds(n_classes: int) -> Any:
    from river.linear_model import LogisticRegression
    from river.multiclass import OneVsRestClassifier

    return LogisticRegression() if n_classes == 2 else OneVsRestClassifier(LogisticRegression())


def _logreg(n_features: int, n_classes: int, seed: int) -> Learner:
    return _scaled(_linear_odds(n_classes))


def _over_sampled(n_features: int, n_classes: int, seed: int) -> Learner:
    return _scaled(over_sampled(_linear_odds(n_classes), n_classes, seed))


def _under_sampled(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.imblearn import RandomUnderSampler

    even = dict.fromkeys(range(n_classes), 1.0 / n_classes)
    return _scaled(RandomUnderSampler(_linear_odds(n_classes), desired_dist=even, seed=seed))


def over_sampled(model: Any, n_classes: int, seed: int) -> Any:
    """Return a river classifier that learns rows of rare classes several times, to balance them."""
    from river.imblearn import RandomOverSampler

    return RandomOverSampler(
        model, desired_dist=dict.fromkeys(range(n_classes), 1.0 / n_classes), seed=seed
    )


def _softmax(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.linear_model import SoftmaxRegression

    return _scaled(SoftmaxRegression())


def _pa(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.linear_model import PAClassifier
    from river.multiclass import OneVsRestClassifier

    return _scaled(PAClassifier() if n_classes == 2 else OneVsRestClassifier(PAClassifier()))


def _hat(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.tree import HoeffdingAdaptiveTreeClassifier

    return RiverLearner(HoeffdingAdaptiveTreeClassifier(seed=seed))


def _arf(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.forest import ARFClassifier

    return RiverLearner(ARFClassifier(n_models=10, seed=seed))


def _amf(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.forest import AMFClassifier

    return RiverLearner(AMFClassifier(n_estimators=10, seed=seed))


def _srp(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.ensemble import SRPClassifier

    return RiverLearner(SRPClassifier(n_models=10, seed=seed))


def _leveraging_bagging(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.ensemble import LeveragingBaggingClassifier
    from river.tree import HoeffdingTreeClassifier

    return RiverLearner(
        LeveragingBaggingClassifier(HoeffdingTreeClassifier(), n_models=10, seed=seed)
    )


def _alma(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.linear_model import ALMAClassifier
    from river.multiclass import OneVsRestClassifier

    return _scaled(ALMAClassifier() if n_classes == 2 else OneVsRestClassifier(ALMAClassifier()))


def _naive_bayes(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.naive_bayes import GaussianNB

    return RiverLearner(GaussianNB())


def _knn(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.neighbors import KNNClassifier, LazySearch

    if n_features <= WIDE:
        return _scaled(KNNClassifier(n_neighbors=5, engine=LazySearch(window_size=1000)))
    # At 784 features a prediction takes 80 ms with river's distance, 3 ms with numpy's.
    engine = LazySearch(window_size=1000, dist_func=_array_distance)
    return RiverLearner(KNNClassifier(n_neighbors=5, engine=engine), as_array=True)


def _array_distance(a: Any, b: Any) -> float:
    """Return the Euclidean distance of two samples that hold one array each."""
    difference = a["row"] - b["row"]
    return math.sqrt(difference @ difference)


def _mlp(learning_rate: float) -> _Make:
    def make(n_features: int, n_classes: int, seed: int) -> Learner:
        from benchmarks.mlp import BackpropMLP

        return BackpropMLP(n_features, n_classes, learning_rate=learning_rate, seed=seed)

    return make


def _replay(n_features: int, n_classes: int, seed: int) -> Learner:
    from benchmarks.mlp import ReplayMLP

    return ReplayMLP(n_features, n_classes, seed=seed)


def _ridge(n_features: int, n_classes: int, seed: int) -> Learner:
    from benchmarks.linear import Ridge

    return Ridge(n_features, n_classes)


def _nearest_mean(n_features: int, n_classes: int, seed: int) -> Learner:
    from benchmarks.linear import NearestMean

    return NearestMean(n_features, n_classes)


def _slda(n_features: int, n_classes: int, seed: int) -> Learner:
    from benchmarks.linear import SLDA

    return SLDA(n_features, n_classes)


def _random_features(n_hidden: int) -> _Make:
    def make(n_features: int, n_classes: int, seed: int) -> Learner:
        from benchmarks.linear import RandomFeaturesRLS

        return RandomFeaturesRLS(n_features, n_classes, n_hidden=n_hidden, seed=seed)

    return make


CLASSIFIERS: dict[str, Rival] = {
    "no-change": Rival(lambda n_features, n_classes, seed: NoChange(), seeded=False),
    "majority": Rival(lambda n_features, n_classes, seed: Majority(), seeded=False),
    "LogReg": Rival(_logreg, seeded=False),
    "LogReg over-sampled": Rival(_over_sampled, seeded=True),
    "LogReg under-sampled": Rival(_under_sampled, seeded=True),
    "softmax": Rival(_softmax, seeded=False),
    "PA": Rival(_pa, seeded=False),
    "HAT": Rival(_hat, seeded=True),
    "ARF10": Rival(_arf, seeded=True),
    "AMF10": Rival(_amf, seeded=True),
    "SRP10": Rival(_srp, seeded=True),
    "LeveragingBagging10": Rival(_leveraging_bagging, seeded=True),
    "ALMA": Rival(_alma, seeded=False),
    "GaussianNB": Rival(_naive_bayes, seeded=False),
    "KNN": Rival(_knn, seeded=False),
    "MLP .05": Rival(_mlp(0.05), seeded=True),
    "MLP .03": Rival(_mlp(0.03), seeded=True),
    "MLP .01": Rival(_mlp(0.01), seeded=True),
    "replay of 300 rows": Rival(_replay, seeded=True),
    "nearest mean": Rival(_nearest_mean, seeded=False),
    "SLDA": Rival(_slda, seeded=False),
    "ridge": Rival(_ridge, seeded=False),
    "RFF256+RLS": Rival(_random_features(256), seeded=True),
    "RFF1000+RLS": Rival(_random_features(1000), seeded=True),
    "RFF2000+RLS": Rival(_random_features(2000), seeded=True),
}


def _linear(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.linear_model import LinearRegression

    return _scaled(LinearRegression())


def _hatr(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.tree import HoeffdingAdaptiveTreeRegressor

    return RiverLearner(HoeffdingAdaptiveTreeRegressor(seed=seed))


def _amrules(n_features: int, n_classes: int, seed: int) -> Learner:
    from river.rules import AMRules

    return RiverLearner(AMRules())


REGRESSORS: dict[str, Rival] = {
    "no-change": Rival(lambda n_features, n_classes, seed: NoChange(), seeded=False),
    "LinearRegression": Rival(_linear, seeded=False),
    "HATR": Rival(_hatr, seeded=True),
    "AMRules": Rival(_amrules, seeded=False),
}
