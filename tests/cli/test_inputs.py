"""Texts and numbers of a table are learned by the command."""

import json

import pytest
from click.testing import CliRunner

from loco_stream._cli import main
from loco_stream._options import DEFAULTS
from tests.helpers.tables import colours


def report_of(tmp_path, url, *words):
    done = CliRunner().invoke(
        main, ["run", url, "--quiet", "--report", str(tmp_path / "out.json"), *words]
    )
    assert done.exit_code == 0, done.stderr
    return json.loads((tmp_path / "out.json").read_text())


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_label_that_depends_on_colour_and_number_is_learned(tmp_path, form):
    path = tmp_path / f"rows.{form}"
    if form == "csv":
        lines = [
            "colour;size;kind",
            *(f"{x['colour']};{x['size']};{y}".replace(".", ",") for x, y in colours(1800)),
        ]
    else:
        lines = [json.dumps({**x, "kind": y}) for x, y in colours(1800)]
    path.write_text("\n".join(lines) + "\n")
    report = report_of(
        tmp_path, f"{form}:{path}?target=kind" + "&decimal=,&separator=;" * (form == "csv")
    )
    assert report["accuracy"] >= 0.96
    bound = DEFAULTS.categories
    assert report["categories"] == {"colour": {"distinct": 3, "bound": bound, "shared": 0}}
    assert report["n_masked"] == 0
