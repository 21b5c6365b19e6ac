"""The `loco-stream` command.

Every module without a leading underscore is a subcommand, apart from `main`, which finds them.
Modules import only click and the standard library at the top, so that `--help` stays quick.
"""

from loco_stream.cli.main import main

__all__ = ["main"]
