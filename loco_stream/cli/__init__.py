"""The `loco-stream` command. Modules here import only click at the top, so that --help is quick."""

from loco_stream._shadowing import explain_shadowing

if _problem := explain_shadowing():
    raise SystemExit(f"loco-stream: {_problem}")

from loco_stream.cli.main import main

__all__ = ["main"]
