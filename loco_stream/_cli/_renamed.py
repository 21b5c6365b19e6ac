"""Commands and options of earlier releases, which fail and name their replacement."""

from __future__ import annotations

import click

from loco_stream._cli._option_group import Decorator, checked_by
from loco_stream.errors import ConfigError

REMOVED_COMMANDS = {
    "dashboard": "`loco-stream run SOURCE --dashboard --stay`, or `loco-stream serve --dashboard`",
    "bench": "`python -m benchmarks NAME`, in a checkout of the repository",
}


def refuse_option(name: str, sentence: str) -> Decorator:
    """Add a hidden option that raises `ConfigError` when it is given.

    name: the option, for example ``--window``
    sentence: the text of the error: what to write instead, or why there is no such option
    """

    def refuse(value: object) -> None:
        raise ConfigError(sentence)

    return click.option(name, hidden=True, expose_value=False, callback=checked_by(refuse))
