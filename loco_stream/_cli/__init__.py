"""The `loco-stream` command.

Every module without a leading underscore is a subcommand, apart from `main`, which finds them.
Modules import only click and the standard library at the top, so that `--help` stays quick.
"""

from loco_stream._shadowing import explain_shadowing

if _problem := explain_shadowing():
    raise SystemExit(f"loco-stream: {_problem}")

from loco_stream._cli.main import main

__all__ = ["main"]
