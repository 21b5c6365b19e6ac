"""A strategy for Avalanche; importing this module imports Avalanche and PyTorch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from loco_stream._arrays import Float64
from loco_stream.errors import ConfigError
from loco_stream.estimators._classifier import LOCOClassifier

try:
    import torch
    from avalanche.core import SupervisedPlugin
    from avalanche.training.templates import BaseSGDTemplate, SupervisedTemplate
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"avalanche", "torch"}:
        raise
    raise ConfigError(
        "the strategy for Avalanche needs Avalanche: pip install 'loco-stream[avalanche]'"
    ) from error

_LEAST = 1e-9  # probability of a class without rows, so that its logarithm is finite
_OF_GRADIENTS = ("before_backward", "after_backward")


class AvalancheStrategy(SupervisedTemplate):
    """`LOCOClassifier` in the train and eval loops of Avalanche, with its metrics and loggers.

    Each minibatch is predicted and then learned, row by row, without gradients. Rows of any shape
    are flattened. Rows of the train loop are predicted as the stream's next rows and those of the
    eval loop with ``in_stream=False``. Task labels are not read.

    Parameters
    ----------
    num_classes
        Number of classes of the benchmark; labels are 0..num_classes-1.
    model
        Model that learns. None: a `LOCOClassifier` with its defaults.
    **options
        Other options of Avalanche's `SupervisedTemplate`: `train_mb_size`, `eval_mb_size`,
        `train_epochs`, `device`, `plugins`, `evaluator`, `eval_every`, `peval_mode`.

    Attributes
    ----------
    classifier
        The `LOCOClassifier` that learns.

    Raises
    ------
    ConfigError
        `num_classes` is below 1 or not above every label that is learned, `model` has learned other
        labels, or a plugin changes gradients, of which there are none. Importing the module without
        Avalanche raises it too.

    Notes
    -----
    The train loop of Avalanche shuffles the rows of an experience; ``train(..., shuffle=False)``
    keeps their order.

    Examples
    --------
    >>> import torch
    >>> from avalanche.benchmarks import class_incremental_benchmark
    >>> from avalanche.benchmarks.utils import as_classification_dataset
    >>> from avalanche.training.plugins import EvaluationPlugin
    >>> X = torch.randn(600, 2) + 4 * torch.arange(4).repeat(150)[:, None]
    >>> rows = torch.utils.data.TensorDataset(X, torch.arange(4).repeat(150))
    >>> rows.targets = rows.tensors[1].tolist()
    >>> streams = dict.fromkeys(("train", "test"), as_classification_dataset(rows))
    >>> benchmark = class_incremental_benchmark(streams, num_experiences=2)
    >>> quiet = EvaluationPlugin()
    >>> strategy = AvalancheStrategy(num_classes=4, train_mb_size=32, evaluator=quiet)
    >>> for experience in benchmark.train_stream:
    ...     _ = strategy.train(experience)
    >>> sorted(strategy.classifier.classes)
    [0, 1, 2, 3]
    """

    def __init__(
        self, *, num_classes: int, model: LOCOClassifier | None = None, **options: Any
    ) -> None:
        if num_classes < 1:
            raise ConfigError(f"`num_classes` must be at least 1, got {num_classes!r}")
        _check_plugins(options.get("plugins") or ())
        self.classifier = LOCOClassifier() if model is None else model
        strange = set(self.classifier.classes) - set(range(num_classes))
        if strange:
            raise ConfigError(
                f"`model` must have learned labels from 0 to {num_classes - 1} only, got "
                f"{', '.join(sorted(map(repr, strange)))}"
            )
        module = _Scores(self.classifier, num_classes)
        super().__init__(model=module, optimizer=None, **options)

    def make_optimizer(self, **kwargs: Any) -> None:
        """Do nothing: there are no gradients."""

    def training_epoch(self, **kwargs: Any) -> None:
        """Predict and then learn each minibatch."""
        for rows in self.dataloader:
            self.mbatch = rows
            self._unpack_minibatch()
            self._check_labels()
            self._before_training_iteration(**kwargs)
            self._before_forward(**kwargs)
            self.mb_output = self.forward()
            self._after_forward(**kwargs)
            self.loss = self.criterion()
            self._before_update(**kwargs)
            self.classifier.learn_array(_rows(self.mb_x), self.mb_y.tolist())
            self._after_update(**kwargs)
            self._after_training_iteration(**kwargs)

    def _check_labels(self) -> None:
        largest = int(self.mb_y.max())
        if largest >= self.model.num_classes:
            raise ConfigError(
                f"`num_classes` must be above every label, got {self.model.num_classes} and label "
                f"{largest}"
            )


class _Scores(torch.nn.Module):
    """Logarithms of the classifier's probabilities, as scores of Avalanche's loops."""

    def __init__(self, classifier: LOCOClassifier, num_classes: int) -> None:
        super().__init__()
        self.classifier = classifier
        self.num_classes = num_classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores (n, num_classes); in the train loop those of the stream's next rows."""
        proba = np.zeros((len(x), self.num_classes))
        known = np.array(self.classifier.classes, dtype=np.int64)
        if known.size:
            rows = _rows(x)
            proba[:, known] = self.classifier.predict_proba_array(rows, in_stream=self.training)
        scores = torch.from_numpy(np.log(np.maximum(proba, _LEAST)))
        return scores.to(x.device, torch.float32)


def _rows(x: torch.Tensor) -> Float64:
    rows: Float64 = x.detach().flatten(1).cpu().numpy().astype(np.float64)
    return rows


def _check_plugins(plugins: Iterable[object]) -> None:
    for plugin in plugins:
        if _changes_gradients(plugin):
            raise ConfigError(f"`plugins` must not change gradients, got {type(plugin).__name__}")


def _changes_gradients(plugin: object) -> bool:
    """Return whether the plugin does something around a backward pass."""
    for name in _OF_GRADIENTS:
        method = getattr(type(plugin), name, None)
        plain = {
            getattr(base, name, None) for base in (SupervisedPlugin, BaseSGDTemplate.PLUGIN_CLASS)
        }
        if method is not None and method not in plain:
            return True
    return False
