"""`python -m benchmarks age`.

When each figure was measured, and whether the code has changed since.

A table of docs/results.md has its command and commit in the text above it. A section of
benchmarks/RESULTS.md lists commands, commits and the machine. git tells whether the code that a
bench measures has changed after these commits.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import BENCHES
from loco_stream.errors import ConfigError

__all__ = ["Figures", "command", "page", "quoted", "recorded"]

ROOT = Path(__file__).parents[1]
_MODEL = tuple(
    f"loco_stream/{name}"
    for name in ("_compiler", "_learner", "_options.py", "_rng.py", "estimators", "neurons")
)
_RUN = ("loco_stream/engine", "loco_stream/drift", "loco_stream/metrics", "connectors")
_SIMULATOR = ("loco_stream/_compiler", "loco_stream/neurons", "loco_stream/_simulator")
# What a bench measures besides its own module, where this is not the model alone.
_MEASURED: dict[str, tuple[str, ...]] = {
    "avalanche": (*_MODEL, "loco_stream/adapters/avalanche.py"),
    "capymoa": (*_MODEL, "loco_stream/adapters/capymoa.py"),
    "dashboard": ("loco_stream/dashboard",),
    "drift": ("loco_stream/drift",),
    "fleet": (*_MODEL, "loco_stream/fleet"),
    "fleet-share": (*_MODEL, "loco_stream/fleet"),
    "image": ("loco_stream", "connectors", "docs/deploy"),
    "live": (*_MODEL, *_RUN),
    "main_job": (*_MODEL, *_RUN, "loco_stream/monitor"),
    "monitor": (*_MODEL, "loco_stream/monitor", "loco_stream/drift"),
    "outlets": ("connectors",),
    "simulator": _SIMULATOR,
    "soak": (*_MODEL, *_RUN, "loco_stream/monitor"),
    "watch": (*_MODEL, "loco_stream/_novelty"),
}
# Names of these paths in earlier commits; git counts commits by path.
_EARLIER = {
    f"loco_stream/_{name}": f"loco_stream/{name}"
    for name in ("learner", "novelty", "options.py", "rng.py", "simulator")
}
_COMMAND = re.compile(r"python -m benchmarks[. ](\w[\w-]*)[^`]*")
_COMMIT = re.compile(r"\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,12}\b(?:\+changes)?")
_OF_ANOTHER_FIGURE = re.compile(r"before: commit [0-9a-f]{7,12}|`[^`]*`")
_HEAD = """# How old the figures are

Written by `python -m benchmarks age` at commit {commit} of {date}; not edited by hand.

"Code since" counts the commits after the measurement that touched the code that is measured: the
model and, where a bench runs more than a model, the engine, the monitor or the fleet, and the bench
itself. Many such commits change no figure; only a new measurement shows it. Where a table was
measured at several commits, the oldest one counts. "+changes": files were changed and not
committed.
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """One table or section: its name, bench, commits, day of measurement and machine."""

    name: str
    bench: str = ""
    commits: tuple[str, ...] = ()
    day: str = ""
    machine: str = ""


def recorded(text: str) -> list[Figures]:
    """Return the sections of a text such as benchmarks/RESULTS.md."""
    found = []
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        name, _, body = section.partition("\n")
        bench = _COMMAND.search(body)
        commits = re.search(r"^- commit[^:]*: (.*)$", body, re.M)
        machine = re.search(r"^- machine: ([^;\n]*)(?:; ([\d-]*))?", body, re.M)
        found.append(
            Figures(
                name,
                bench[1] if bench else name.partition(",")[0],
                tuple(_COMMIT.findall(commits[1])) if commits else (),
                (machine[2] or "") if machine else "",
                machine[1] if machine else "",
            )
        )
    return found


def quoted(text: str, sections: list[Figures]) -> list[Figures]:
    """Return the tables of a text such as docs/results.md.

    A table without a command has that of the table above it. One without a commit has those of the
    section of its bench in `sections`; its machine is that of the section with its commit.
    """
    found = []
    for name, own, earlier in _tables(text):
        of_release = "elease 0.2" in own
        benches = _COMMAND.findall(own) or _COMMAND.findall(earlier)[-1:]
        bench = benches[0] if benches else ""
        is_alone = of_release or _COMMAND.search(own)
        commits = _commits(own) or (() if is_alone else _commits(earlier))
        same = [section for section in sections if section.bench == bench and bench]
        if of_release:
            same = [section for section in same if section.name.endswith("0.2")] or same
        here = [s for s in same if not commits or set(commits) & set(s.commits)]
        source = here[0] if here else Figures("")
        found.append(Figures(name, bench, commits or source.commits, source.day, source.machine))
    return found


def _commits(prose: str) -> tuple[str, ...]:
    return tuple(_COMMIT.findall(_OF_ANOTHER_FIGURE.sub("", prose)))


def _tables(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each table, the text before it, and the text before other tables above."""
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        heading, _, body = section.partition("\n")
        *before, _ = re.split(r"(?:^\|.*\n?)+", body, flags=re.M)
        for number, prose in enumerate(before, start=1):
            name = heading if len(before) == 1 else f"{heading}, table {number}"
            yield name, prose, "".join(before[: number - 1])


class _History:
    """What git knows of the code."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._counts: dict[tuple[str, ...], int | None] = {}

    def ask(self, *words: str) -> str | None:
        """Return the output of a git command; None if it failed."""
        done = subprocess.run(["git", *words], cwd=self.root, capture_output=True, text=True)
        return None if done.returncode else done.stdout.strip()

    def since(self, figures: Figures) -> str:
        """Return how many commits touched the code after the oldest one of `figures`."""
        if not figures.bench or not figures.commits:
            return "from the tables above" if not figures.bench else "commit not recorded"
        counts = [self._count(c.removesuffix("+changes"), figures.bench) for c in figures.commits]
        known = [count for count in counts if count is not None]
        if not known:
            return "commit not in this history"
        most = max(known)
        return f"**changed, {most} commit{'s' * (most > 1)}**" if most else "unchanged"

    def _count(self, commit: str, bench: str) -> int | None:
        module = BENCHES.get(bench, f"benchmarks.{bench}:").partition(":")[0].replace(".", "/")
        measured = _MEASURED.get(bench, _MODEL)
        earlier = (_EARLIER[path] for path in measured if path in _EARLIER)
        paths = (f"{module}.py", *measured, *earlier)
        words = ("rev-list", "--count", "--no-merges", f"{commit}..HEAD", "--", *paths)
        if words not in self._counts:
            told = self.ask(*words)
            self._counts[words] = None if told is None else int(told)
        return self._counts[words]

    def day(self, figures: Figures) -> str:
        """Return the day of the measurement, or of the newest commit."""
        commits = [commit.removesuffix("+changes") for commit in figures.commits]
        days = [self.ask("log", "-1", "--format=%cs", commit) or "" for commit in commits]
        return figures.day or max(days, default="")


def page(root: Path) -> str:
    """Return the page for the checkout `root`.

    Raises
    ------
    ConfigError
        `root` is no checkout of git.
    """
    history = _History(root)
    now = history.ask("log", "-1", "--format=%h %cs")
    if now is None:
        raise ConfigError(f"the age of figures is read from git, and {str(root)!r} is no checkout")
    commit, date = now.split()
    results = recorded((root / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8"))
    tables = quoted((root / "docs" / "results.md").read_text(encoding="utf-8"), results)
    parts = [_HEAD.format(commit=commit, date=date)]
    for title, rows in (("docs/results.md", tables), ("benchmarks/RESULTS.md", results)):
        states = [history.since(row) for row in rows]
        kinds = Counter(state.split(",")[0].strip("*") for state in states)
        told = "; ".join(f"{state}: {number}" for state, number in kinds.items())
        parts += [
            f"## Tables of `{title}`\n",
            f"{told}.\n",
            "| table | bench | commit | day | machine | code since |\n|---|---|---|---|---|---|",
            *(
                f"| {row.name} | {row.bench} | {', '.join(row.commits)} | {history.day(row)} "
                f"| {row.machine} | {state} |"
                for row, state in zip(rows, states, strict=True)
            ),
            "",
        ]
    return "\n".join(parts)


@click.command("age")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=ROOT / "docs" / "figures.md",
    help="The page to write; default: docs/figures.md.",
)
def command(output: Path) -> None:
    """Write a page with commit, day, machine and age of every table of results.

    It marks tables whose code has changed since they were measured.

    \b
    Examples
      python -m benchmarks age
    """
    output.write_text(page(ROOT), encoding="utf-8")
    click.echo(f"wrote {output}")
