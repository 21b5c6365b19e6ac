"""Credit rules: one definition per file, chosen by the option `credit`.

A new rule is a file with a `CreditRule` and its name in `CREDIT_RULES`.
"""

from __future__ import annotations

from typing import Any

from loco_stream._compiler.jit import kernel
from loco_stream.learner.plasticity.rules import learned, mirror, perturbation, plain
from loco_stream.learner.plasticity.rules._definition import CreditRule

__all__ = ["CREDIT_RULES", "PLAIN_PERTURBATION", "CreditRule", "assign_credit"]

PLAIN_PERTURBATION = plain.RULE  # chosen by rule="np" with credit="perturbation"
CREDIT_RULES = (learned.RULE, mirror.RULE, perturbation.RULE, plain.RULE)


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
