"""The README and the pages of the guide as blocks of code, and the ports they name."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.ports import free_port

__all__ = [
    "ROOT",
    "Block",
    "Ports",
    "blocks",
    "commands",
    "pages",
    "shown",
    "without_code",
    "words",
]

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)
_PORTS = (
    "1883",
    "4222",
    "5555",
    "5556",
    "5557",
    "6379",
    "8000",
    "8080",
    "8086",
    "8765",
    "9092",
    "9100",
)


@dataclass(frozen=True)
class Block:
    """One fenced block.

    The first word after the fence is the language. The second, if any, tells a test what to do:
    `run`; `start` in the background; `stop` what was started, then run; `file=NAME` writes the
    block to a file. The lines of a console block without a second word are run one by one, those
    that start a service in the background.
    """

    page: Path
    line: int
    language: str
    how: str
    text: str
    section: int = 0

    @property
    def where(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages():
    """Return the README and every page of the guide; nothing outside a checkout."""
    readme = ROOT / "README.md"
    return [readme, *sorted((ROOT / "docs").rglob("*.md"))] if readme.is_file() else []


def blocks(page):
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        language, _, how = match[1].partition(" ")
        before = text[: match.start()]
        section = len(re.findall(r"^#+ ", _FENCE.sub("", before), re.M))
        found.append(Block(page, before.count("\n") + 1, language, how, match[2], section))
    return found


def without_code(page):
    """Return the text between the blocks."""
    return _FENCE.sub("", page.read_text())


def commands(block):
    """Return the commands of a console block; a backslash continues a line."""
    return [
        line[2:] for line in block.text.replace("\\\n", "").splitlines() if line.startswith("$ ")
    ]


def shown(block):
    """Return the output that a console block shows."""
    lines = block.text.replace("\\\n", "").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("$ "))


def words(command):
    """Return the programs that a shell would start for a line, each as a list of words."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    programs = [[]]
    redirected = False
    for word in lexer:
        if word in {"<", ">", ">>"}:
            redirected = True
        elif redirected:
            redirected = False
        elif set(word) <= set("|&;()"):
            programs.append([])
        else:
            programs[-1].append(word)
    return [program for program in programs if program]


class Ports:
    """A free port for each port that a page names, so that pages can be tested in parallel."""

    def __init__(self):
        self._given = {}

    def take(self, port, own):
        """Replace a port by one that is in use already."""
        self._given[port] = str(own)

    def free(self, text):
        def swap(match):
            return self._given.setdefault(match[0], str(free_port()))

        return re.sub(rf"(?<![\w.])(?:{'|'.join(_PORTS)})(?!\w)", swap, text)
