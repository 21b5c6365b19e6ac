"""Write the tables of sources and sinks in docs/sources.md and docs/outlets.md.

``python docs/connectors.py`` renews them from the definitions of the connectors: an option is a
parameter of the source or sink, and its text the entry in the docstring.
`tests/docs/test_connector_tables.py` fails while a table and the definitions differ.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from loco_stream import connectors as package
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._registry import SINKS, SOURCES, connectors

PAGES = [Path(__file__).with_name(name) for name in ("sources.md", "outlets.md")]
_SECRET = (
    "File with the password or token, readable by its owner alone. By default it is taken from the "
    "environment."
)


def tables() -> dict[str, str]:
    """Return the generated tables by name."""
    sources = [entry for entry in connectors(SOURCES) if not entry.is_variant]
    sinks = [entry for entry in connectors(SINKS) if not entry.is_variant]
    return {
        "sources": _forms(sources),
        "source options": _options(sources),
        "sinks": _forms(sinks),
        "sink secrets": _secrets(sinks),
        "sink options": _options(sinks),
    }


def renewed(text: str) -> str:
    """Return a page with every generated table replaced by its present content.

    A table stands between the lines ``<!-- generated: NAME -->`` and ``<!-- end -->``.
    """
    now = tables()
    return re.sub(
        r"(<!-- generated: ([\w ]+) -->\n).*?(<!-- end -->)",
        lambda match: f"{match[1]}{now[match[2]]}{match[3]}",
        text,
        flags=re.DOTALL,
    )


def described(entry: Connector, option: str) -> tuple[Any, str]:
    """Return the default and the help text of an option."""
    if option == "secret_file":
        return None, _SECRET
    target = entry.aliases.get(option, option)
    name = target.removeprefix("not ")
    default = _parameters(entry.build)[name].default
    if target != name:
        return default, f"The opposite of `{name}`."
    if option != name:
        return default, f"The same as `{name}`."
    return default, parameter_help(entry.build).get(name, "")


def parameter_help(cls: type) -> dict[str, str]:
    """Return the text on each parameter in the docstrings of a class and of its bases."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        texts |= _own_help(base)
    return texts


def _own_help(cls: type) -> dict[str, str]:
    section = (inspect.getdoc(cls) or "").partition("Parameters\n----------\n")[2]
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line.startswith("---"):  # the line above was the next heading
            break
        if line.startswith(" "):
            for name in names:
                texts[name] = f"{texts.get(name, '')} {line.strip()}".strip()
        elif line:
            names = line.replace("*", "").split(", ")
    return {name: _follow(name, text).replace("``", "`") for name, text in texts.items()}


def _follow(name: str, text: str) -> str:
    """Put the text of another class in the place of ``As in `Other`.``."""
    reference = re.match(r"As in `(\w+)`\.?\s*", text)
    if reference is None:
        return text
    other = _own_help(getattr(package, reference[1]))
    return f"{other.get(name, '')} {text[reference.end() :]}".strip()


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    found: dict[str, inspect.Parameter] = {}
    for base in reversed(cls.__mro__):
        if "__init__" in vars(base):
            found |= inspect.signature(vars(base)["__init__"]).parameters
    return found


def _forms(every: Iterable[Connector]) -> str:
    rows = [
        (
            f"`{url}`",
            f"`loco-stream[{entry.extra.name}]`" if entry.extra else "",
            guarantee,
        )
        for entry in every
        for url, guarantee in entry.forms.items()
    ]
    return _markdown(("URL", "needs", "delivery"), rows)


def _secrets(every: Iterable[Connector]) -> str:
    rows = [(f"`{entry.scheme}`", f"`{entry.secret}`") for entry in every if entry.secret]
    return _markdown(("sink", "environment variable"), rows)


def _options(every: Iterable[Connector]) -> str:
    """Return one row per option and meaning, with the schemes that have it."""
    schemes: dict[tuple[str, str, str, str], list[str]] = {}
    for entry in every:
        for name, kind in entry.options.items():
            if name not in entry.limit_options:
                default, text = described(entry, name)
                row = (name, _short(kind.words), _spelled(default), text)
                schemes.setdefault(row, []).append(entry.scheme)
    rows = [
        (f"`{name}`", ", ".join(of), kind, default, text)
        for (name, kind, default, text), of in sorted(schemes.items(), key=lambda item: item[0][0])
    ]
    return _markdown(("option", "of", "value", "default", "meaning"), rows)


def _short(words: str) -> str:
    """Return the words for a type without article and examples."""
    return re.sub(r"^a | such as .*| separated .*", "", words)


def _spelled(default: Any) -> str:
    if default in (None, inspect.Parameter.empty):
        return ""
    if isinstance(default, bool):
        return str(int(default))
    value = ",".join(default) if isinstance(default, tuple) else default
    return f"`{value}`" if value != "" else ""


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(renewed(page.read_text()))
