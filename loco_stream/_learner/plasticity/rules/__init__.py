"""Credit rules: one definition per file, chosen by the option `credit`.

A new rule is a file with a `CreditRule` named `RULE`, and the name of the file in
`loco_stream._options.CREDITS`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from loco_stream._compiler.jit import kernel
from loco_stream._learner.plasticity.rules import plain
from loco_stream._learner.plasticity.rules._definition import CreditRule
from loco_stream._options import CREDITS

__all__ = ["CREDIT_RULES", "PLAIN_PERTURBATION", "CreditRule", "assign_credit"]

PLAIN_PERTURBATION = plain.RULE  # chosen by rule="np" with credit="perturbation"
CREDIT_RULES: tuple[CreditRule, ...] = (
    *(import_module(f"{__name__}.{name}").RULE for name in CREDITS),
    PLAIN_PERTURBATION,
)


def _one_of(rules: tuple[CreditRule, ...], position: int = 0) -> Any:
    """Return a kernel that runs the rule whose position is `settings.credit`."""
    own = rules[0].assign
    if len(rules) == 1:
        return own
    others = _one_of(rules[1:], position + 1)

    @kernel
    def assign(settings, state, scratch):
        if settings.credit == position:
            own(settings, state, scratch)
        else:
            others(settings, state, scratch)

    return assign


assign_credit = _one_of(CREDIT_RULES)
