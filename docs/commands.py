"""Write docs/cli.md, the reference of the command, from the definitions of the commands.

``python docs/commands.py`` writes the page. `tests/docs/test_cli_page.py` fails while the page and
the definitions differ.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from loco_stream._cli import main

PAGE = Path(__file__).with_name("cli.md")
PIPE = "\\|"
_ARGUMENTS = {
    "source": "URL of a [source](sources.md)",
    "words": "what the command takes, see above",
    "address": "the address that `--control` of the service gave",
    "name": "a command from the list above",
    "path": "a checkpoint directory or a model file",
    "nir.path": "a NIR file",
    "file": "a configuration file",
    "directory": "directory for the keys; created if absent",
    "fleet": "directory or URL of a fleet at rest, or the `--control` address of a running one",
    "keys": "values of the key feature",
    "key": "a value of the key feature",
    "dataset": "name of a data set in `river.datasets`",
}
_INTRODUCTION = """# Command reference

<!-- generated: python docs/commands.py -->

The command `loco-stream` has one subcommand per purpose. `loco-stream COMMAND --help` prints the
same text as this page. `python -m loco_stream` is another name of the command.

Options of `run`, `serve`, `fleet` and `watch` may also stand in a [configuration
file](deploy.md#configuration-files) or in environment variables: `--score-window` is
`LOCO_STREAM_SCORE_WINDOW`. [Sources](sources.md) and [sinks](outlets.md) list the URLs.

| exit code | meaning |
| --- | --- |
| 0 | the command succeeded; Ctrl-C or SIGTERM ended a service cleanly |
| 1 | the command did its work, but output was lost: standard output, or records of a sink |
| 1 | a defect (please report it), or a required package is missing or broken |
| 1 | Ctrl-C before the first row of `run`, or while another command starts |
| 2 | an error that the caller can correct, in one sentence on standard error |
"""


def page() -> str:
    """Return the text of the page."""
    top = click.Context(main, info_name="loco-stream", **main.context_settings)
    sections = [_INTRODUCTION, _overview(top)]
    for context in _commands(top):
        sections.append(_section(context))
    return "\n".join(sections)


def _commands(above: click.Context) -> Iterator[click.Context]:
    """Yield the context of each command below a group, groups before their members."""
    assert isinstance(above.command, click.Group)
    for name in above.command.list_commands(above):
        command = above.command.get_command(above, name)
        assert command is not None
        if command.hidden:
            continue
        context = click.Context(command, info_name=name, parent=above)
        yield context
        if isinstance(command, click.Group):
            yield from _commands(context)


def _overview(top: click.Context) -> str:
    rows = []
    for context in _commands(top):
        if context.parent is top:
            summary = _paragraphs(context.command)[0]
            rows.append(f"| [`{context.info_name}`](#{_anchor(context)}) | {_cell(summary)} |")
    return "\n".join(["| command | purpose |", "| --- | --- |", *rows, ""])


def _anchor(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _section(context: click.Context) -> str:
    """Return heading, usage, description and options of one command."""
    level = "##" if context.parent is not None and context.parent.parent is None else "###"
    usage = " ".join([context.command_path, *context.command.collect_usage_pieces(context)])
    parts = [f"{level} {context.command_path}", f"```text\n{usage}\n```"]
    parts += [_block(text) for text in _paragraphs(context.command)]
    rows = list(_options(context))
    if rows:
        parts.append("\n".join(["| option | meaning |", "| --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def _paragraphs(command: click.Command) -> list[str]:
    help_text = inspect.cleandoc(command.help or "")
    return [part for part in re.split(r"\n\s*\n", help_text) if part.strip("\b\n ")]


def _block(text: str) -> str:
    """Return a paragraph as prose, or as it stands if click must not wrap it."""
    if not text.startswith("\b"):
        return " ".join(text.split())
    lines = text.removeprefix("\b").strip("\n").splitlines()
    return "\n".join(["```text", *lines, "```"])


def _options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        if isinstance(parameter, click.Argument):
            name = _code(parameter.make_metavar(context))
            yield f"| `{name}` | {_argument(context, parameter)} |"
            continue
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            names, text = record
            yield f"| `{_code(names)}` | {_cell(text)} |"


def _argument(context: click.Context, argument: click.Argument) -> str:
    """Return what an argument is; click has no help texts for arguments."""
    own = f"{context.info_name}.{argument.name}"
    return _ARGUMENTS[own if own in _ARGUMENTS else str(argument.name)]


def _code(text: str) -> str:
    return text.replace("|", PIPE)


def _cell(text: str) -> str:
    """Return text for a cell of a table, in which nothing but code is markup."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()).replace("|", PIPE))
    return "".join(
        part if part.startswith("`") else re.sub(r"([<>*_\[\]])", r"\\\1", part) for part in parts
    )


if __name__ == "__main__":
    PAGE.write_text(page())
