"""The options of the live page, which run, serve and fleet share."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from loco_stream._cli import main

RUN = ["run", "csv:rows.csv?target=y", "--set", "hidden_sizes=4"]
FLEET = ["fleet", "csv:rows.csv?target=y", "--key", "device", "--checkpoint", "state"]
PAGE = ["--dashboard", "--dashboard-port", "0"]


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """The URLs that the command opens in a browser."""
    monkeypatch.chdir(tmp_path)
    lines = [f"p{i % 2},{i % 5},{'ab'[i % 5 > 2]}" for i in range(20)]
    (tmp_path / "rows.csv").write_text("\n".join(["device,x,y", *lines]) + "\n")
    urls = []
    monkeypatch.setattr(click, "launch", urls.append)
    return urls


@pytest.mark.parametrize("command", [RUN, FLEET], ids=["run", "fleet"])
def test_the_page_is_opened_in_a_browser(command, opened):
    shown = CliRunner().invoke(main, [*command, *PAGE, "--open"])
    assert shown.exit_code == 0, shown.output
    assert len(opened) == 1
    assert f"live page: {opened[0]}" in shown.stderr


@pytest.mark.parametrize("command", [RUN, FLEET], ids=["run", "fleet"])
def test_a_page_on_all_addresses_needs_an_accepted_host(command, opened):
    everywhere = [*command, *PAGE, "--bind", "0.0.0.0", "--token", "token"]
    refused = CliRunner().invoke(main, everywhere)
    assert refused.exit_code == 2
    assert "pass --allow-host NAME" in refused.stderr
    assert CliRunner().invoke(main, [*everywhere, "--allow-host", "plant.local"]).exit_code == 0


@pytest.mark.parametrize(
    "option",
    [
        ["--dashboard-port", "1"],
        ["--bind", "0.0.0.0"],
        ["--allow-host", "x"],
        ["--open"],
    ],
)
@pytest.mark.parametrize("command", [RUN, FLEET], ids=["run", "fleet"])
def test_options_of_the_page_need_the_page(command, option, opened):
    refused = CliRunner().invoke(main, [*command, *option])
    assert refused.exit_code == 2
    has_more = command is FLEET and option[0] in ("--bind", "--allow-host")
    page = "--dashboard or --metrics-port" if has_more else "--dashboard"
    assert refused.stderr == f"loco-stream: `{option[0]}` needs {page}\n"
