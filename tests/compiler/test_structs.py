"""Records are read and written alike by compiled and interpreted code."""

import numpy as np
import pytest

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.structs import struct_dtype
from tests.helpers.jitted import jitted

RECORD = struct_dtype("v", "w", n="i8", on="?")


@kernel
def change(records, i):
    record = records[i]
    record.v += 1.5
    records[i].n = record.n + 2
    record.on = not record.on
    return record.v + records[i].n


def test_compiled_and_interpreted_code_change_records_alike():
    results = []
    for run in (jitted(change), getattr(change, "py_func", change)):
        records = np.zeros(3, RECORD)
        result = run(records, 1)
        results.append((result, records.tolist()))
    assert results[0] == results[1]
    assert results[0] == (3.5, [(0, 0, 0, False), (1.5, 0, 2, True), (0, 0, 0, False)])


@pytest.mark.parametrize("name", ["base", "size", "real", "item"])
def test_names_that_numpy_uses_are_refused(name):
    with pytest.raises(ValueError, match=f"must not be attributes of numpy.record, got {name}"):
        struct_dtype("v", name)
