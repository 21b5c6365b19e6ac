"""The pages of the guide and the README as blocks of code, and what their words stand for."""

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
_PORTS = ("1883", "5555", "5556", "5557", "6379", "8000", "8080", "8086", "8765", "9092", "9100")


@dataclass(frozen=True)
class Block:
    """One fenced block, in the section of that number.

    Its first word is the language. The second, if any, says what a test does with it: `run`,
    `start` in the background, `stop` what was started and then run, `file=NAME` (write it there).
    Lines of a console block without such a word are typed one by one, in a terminal each where they
    last.
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
    """Return the README and every page of the guide.

    None beside an installed wheel, without the repository.
    """
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
    """Return the lines of a console block that are typed, each joined with those that go on after a backslash."""
    return [
        line[2:] for line in block.text.replace("\\\n", "").splitlines() if line.startswith("$ ")
    ]


def shown(block):
    """Return the lines of a console block that are printed."""
    lines = block.text.replace("\\\n", "").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("$ "))


def words(command):
    """Return the programs of a line that a shell would start, each as a list of words."""
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
    """A free port for each that a page names, so that pages are tested side by side."""

    def __init__(self):
        self._given = {}

    def take(self, port, own):
        """Let a port stand for one that is in use already."""
        self._given[port] = str(own)

    def free(self, text):
        def swap(match):
            return self._given.setdefault(match[0], str(free_port()))

        return re.sub(rf"(?<![\w.])(?:{'|'.join(_PORTS)})(?!\w)", swap, text)
