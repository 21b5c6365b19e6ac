"""The age of figures: every table is listed, and one that is older than its code is marked."""

from __future__ import annotations

import re
import subprocess

import pytest
from click.testing import CliRunner

from benchmarks import age
from loco_stream.errors import ConfigError

RESULTS = """# Results

## speed

- command: `python -m benchmarks speed`
- commit: {old}+changes, {new}
- machine: A machine, 2 cores; 2026-01-02T03:04:05+00:00

**a table**

| a |
|---|
| 1 |
"""
QUOTED = """# Results

## Rates

`python -m benchmarks speed`, commit
{new} (before: commit {old}): rows per second.

| a |
|---|
| 1 |

`python -m benchmarks speed --share 1`: the same.

| a |
|---|
| 1 |

`python -m benchmarks rare`, commit {new}: another bench.

| a |
|---|
| 1 |

The same command, commit {new}: again.

| a |
|---|
| 1 |

Release 0.2, `python -m benchmarks speed`: slower.

| a |
|---|
| 1 |

## Summary

| a |
|---|
| 1 |
"""


@pytest.fixture(params=[7, 8])  # git lengthens the short form as a repository grows
def checkout(tmp_path, request):
    """A checkout whose model changed after its first commit, and git in it."""

    def git(*words):
        name = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *name, *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        git("add", "-A")
        git("commit", "-q", "-m", path)
        # git's own short form may be all digits, which no commit on a page is
        return git("rev-parse", "HEAD")[: request.param]

    git("init", "-q")
    old = new = "0000000"
    for i in range(100):
        old = commit("loco_stream/_rng.py", f"{i}")
        if age._COMMIT.fullmatch(old):
            break
    for i in range(100):
        new = commit("loco_stream/_learner/step.py", f"{i}")
        if age._COMMIT.fullmatch(new):
            break
    commit("benchmarks/RESULTS.md", RESULTS.format(old=old, new=new))
    commit("docs/results.md", QUOTED.format(old=old, new=new))
    return tmp_path, commit, old, new


def rows(page):
    found = re.findall(r"^\| ([^|]*) \| (.*) \|$", page, re.M)
    return {name: rest.split(" | ") for name, rest in found if name != "table"}


def test_a_table_older_than_its_code_is_marked(checkout):
    root, commit, old, new = checkout
    told = rows(age.page(root))
    assert told["Rates, table 1"] == ["speed", new, "2026-01-02", "A machine, 2 cores", "unchanged"]
    assert told["Rates, table 2"][1] == f"{old}+changes, {new}"  # those of the section
    assert told["Rates, table 2"][-1].startswith("**changed, ")
    assert told["Rates, table 4"][:2] == ["rare", new]  # the last command above it
    assert told["Rates, table 5"][:2] == ["speed", f"{old}+changes, {new}"]
    assert told["Summary"][-1] == "from the tables above"
    commit("docs/other.md", "prose is no code")
    assert rows(age.page(root))["Rates, table 1"][-1] == "unchanged"
    commit("benchmarks/speed.py", "the bench")
    assert rows(age.page(root))["Rates, table 1"][-1] == "**changed, 1 commit**"
    commit("loco_stream/_options.py", "the model")
    commit("loco_stream/rng.py", "the model, by an earlier name")
    page = age.page(root)
    assert rows(page)["Rates, table 1"][-1] == "**changed, 3 commits**"
    assert "changed: 5; from the tables above: 1." in page


def test_a_commit_that_is_gone_is_named(checkout):
    root, commit, old, new = checkout
    lost = "abc1234" if new != "abc1234" else "abc1235"
    commit("docs/results.md", QUOTED.format(old=old, new=lost))
    assert rows(age.page(root))["Rates, table 1"][-1] == "commit not in this history"


def test_without_git_there_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"the age of figures is read from git, and .* is no"):
        age.page(tmp_path)


def test_every_table_is_on_the_page():
    page = age.ROOT / "docs" / "figures.md"
    if not page.is_file():
        pytest.skip("not run from a checkout")
    text = page.read_text()
    sections = age.recorded((age.ROOT / "benchmarks" / "RESULTS.md").read_text())
    tables = age.quoted((age.ROOT / "docs" / "results.md").read_text(), sections)
    assert len(tables) > 10
    listed = [line.split(" | ")[:3] for line in text.splitlines() if line.startswith("| ")]
    expected = [[f"| {t.name}", t.bench, ", ".join(t.commits)] for t in [*tables, *sections]]
    assert [row for row in listed if row[0] != "| table"] == expected, (
        "write the page anew: python -m benchmarks age"
    )


@pytest.mark.slow
def test_the_command_writes_the_page(tmp_path):
    if not (age.ROOT / ".git").exists():
        pytest.skip("not run from a checkout of git")
    done = CliRunner().invoke(age.command, ["--output", str(tmp_path / "page.md")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "page.md").read_text().startswith("# How old the figures are")
