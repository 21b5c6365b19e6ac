"""How many threads learn: the option --threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from loco_stream._cli._logging import LOGGER, log_failure
from loco_stream._cli._option_group import option_group
from loco_stream._ranges import Choice

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine
    from loco_stream.estimators._classifier import LOCOClassifier

_NUMBERS = ("1", "2", "4")  # those of `_options.THREADS`, whose module imports numpy
_WIDE = 256  # the widest row of `WIDTH_RULES` but the last


@dataclass(frozen=True, slots=True)
class ThreadOptions:
    """Threads that learn; a resumed run does not keep the number."""

    threads: str

    def apply(self, engine: StreamEngine) -> None:
        """Let the model of an engine use the threads; log at the end if it never did."""
        if self.threads != "1":
            engine.queries.submit(self._set).add_done_callback(log_failure("--threads"))
            engine.on("report", lambda report: self._log_unused(engine))

    def _set(self, engine: StreamEngine) -> None:
        model = _classifier(engine)
        if model is not None:
            model.set_threads(int(self.threads))

    def _log_unused(self, engine: StreamEngine) -> None:
        model = _classifier(engine)
        if model is None or model.n_threads_used == 1:
            LOGGER.warning(
                "--threads %s: one thread learned; several need a classifier of rows of more than "
                "%d numbers, blocks of rows (no --delay), and as many processors",
                self.threads,
                _WIDE,
            )


def _classifier(engine: StreamEngine) -> LOCOClassifier | None:
    from loco_stream.engine._model_adapter import last_step
    from loco_stream.estimators._classifier import LOCOClassifier

    model = last_step(engine.model)
    return model if isinstance(model, LOCOClassifier) else None


thread_options = option_group(
    "threads",
    ThreadOptions,
    click.option(
        "--threads",
        type=Choice(_NUMBERS),
        default="1",
        help="Threads that learn, with bit-identical results; two save time where classes are "
        f"learned from rows of more than {_WIDE} numbers.",
    ),
)
