"""The `loco-stream` command.

Every module without a leading underscore is a subcommand, apart from `main`, which finds them.
Modules import only click and the standard library at the top, so that `--help` stays quick.
"""

from loco_stream._shadowing import explain_shadowing

if _problem := explain_shadowing():
    raise SystemExit(f"loco-stream: {_problem}")

try:
    from loco_stream._cli.main import main
except ImportError as error:
    if (error.name or "").startswith("loco_stream"):
        raise
    raise SystemExit(
        f"loco-stream: a required package cannot be imported: {type(error).__name__}: {error}; "
        "install loco-stream again"
    ) from error

__all__ = ["main"]
