"""How many threads learn: the option --threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from loco_stream._cli._logging import LOGGER
from loco_stream._cli._option_group import option_group

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine

_MOST = 4  # `jobs.PARTS`, whose module imports numba
_WIDE = 256  # the widest row of `WIDTH_RULES` but the last, whose module imports numpy


@dataclass(frozen=True, slots=True)
class ThreadOptions:
    """Threads that learn; a resumed run does not keep the number."""

    threads: int

    def apply(self, engine: StreamEngine) -> None:
        """Let the model of an engine use the threads; log at the end if it could not."""
        if self.threads > 1:
            engine.queries.submit(self._set)
            engine.on("report", lambda report: self._log_unused(engine))

    def _set(self, engine: StreamEngine) -> None:
        from loco_stream.engine._model_adapter import last_step
        from loco_stream.estimators._classifier import LOCOClassifier

        model = last_step(engine.model)
        if isinstance(model, LOCOClassifier):
            model.set_threads(self.threads)

    def _log_unused(self, engine: StreamEngine) -> None:
        from loco_stream.engine._model_adapter import last_step

        if getattr(last_step(engine.model), "n_threads", 1) == 1:
            LOGGER.warning(
                "--threads %d: one thread learned; only classifiers of rows of more than %d "
                "numbers use several",
                self.threads,
                _WIDE,
            )


thread_options = option_group(
    "machine",
    ThreadOptions,
    click.option(
        "--threads",
        type=click.IntRange(1, _MOST),
        default=1,
        metavar="N",
        help="Threads that learn, with the same results; two save time where classes are learned "
        f"from more than {_WIDE} numbers per row.",
        show_default=True,
    ),
)
