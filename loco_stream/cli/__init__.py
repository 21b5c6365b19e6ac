"""The `loco-stream` command. Modules here import only click at the top, so that --help is quick."""

from loco_stream.cli.main import main

__all__ = ["main"]
