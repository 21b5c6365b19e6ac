"""The structure of saved files is recorded per format version; a change needs a new version."""

from __future__ import annotations

import json
from pathlib import Path

from loco_stream._persistence.migrations import VERSION
from tests.helpers import saved_schema

RECORDED = Path(__file__).parents[1] / "data" / "saved_schema"


def test_the_structure_of_saved_files_is_the_recorded_one_of_their_version():
    recorded = json.loads((RECORDED / f"{VERSION}.json").read_text())
    found = json.loads(json.dumps(saved_schema.current()))
    assert found == recorded, (
        "saved files have another structure than version "
        f"{VERSION}: raise VERSION in loco_stream/_persistence/migrations.py, add a migration, and "
        "record the new structure with `python -m tests.helpers.saved_schema`"
    )


def test_a_changed_array_or_key_of_a_model_changes_the_structure():
    config, arrays = saved_schema.export_model(saved_schema.trained("small"))
    structure = saved_schema.model_structure(config, arrays)
    name, array = next(iter(arrays.items()))
    for changed in (
        ({**config, "new": 1}, arrays),
        ({**config, "parameters": {**config["parameters"], "new": 1}}, arrays),
        (config, {**arrays, "new": array}),
        (config, {other: a for other, a in arrays.items() if other != name}),
        (config, {**arrays, name: array.astype("f2")}),
        (config, {**arrays, name: array[None]}),
    ):
        assert saved_schema.model_structure(*changed) != structure
