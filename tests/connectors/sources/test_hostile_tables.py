"""Damaged and bombing Parquet files are refused in words, within bounded memory."""

from __future__ import annotations

import random
import resource
import sys

import pytest

from loco_stream.connectors import ParquetSource
from loco_stream.errors import LocoStreamError, SourceError

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def read(path):
    source = ParquetSource(path, target="kind", on_bad="skip")
    try:
        return [(sample.x, sample.y) for sample in source]
    finally:
        source.close()


def write(path, n=300):
    columns = {
        "a": [i / 10 for i in range(n)],
        "text": [f"word {i % 7}" for i in range(n)],
        "kind": ["on" if i % 2 else "off" for i in range(n)],
    }
    parquet.write_table(arrow.table(columns), path, row_group_size=100)
    return path.read_bytes()


def test_mutants_are_read_or_refused_in_words(tmp_path):
    path = tmp_path / "rows.parquet"
    content = write(path)
    rng = random.Random(5)
    errors = []
    for _ in range(150):
        mutant = bytearray(content)
        for _ in range(rng.randint(1, 5)):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        path.write_bytes(mutant[: rng.randrange(1, len(mutant))] if rng.random() < 0.2 else mutant)
        try:
            read(path)
        except LocoStreamError as error:
            errors.append(str(error))
    assert len(errors) > 30
    assert not [error for error in errors if "\n" in error]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured in kB")
def test_long_texts_of_a_dictionary_are_not_multiplied(tmp_path):
    path = tmp_path / "bomb.parquet"
    n = 3000
    zeros = arrow.array([0] * n, arrow.int32())
    text = arrow.DictionaryArray.from_arrays(zeros, arrow.array(["x" * 1_000_000]))
    table = arrow.table({"a": [0.5] * n, "text": text, "kind": ["on"] * n})
    parquet.write_table(table, path, compression="zstd")
    del table
    assert path.stat().st_size < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    source = ParquetSource(path, target="kind")
    assert sum(1 for _ in source) == n
    source.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "twice.parquet"
    table = arrow.table([[0.5], [1.5], ["on"]], names=["a", "a", "kind"])
    parquet.write_table(table, path)
    with pytest.raises(SourceError, match="distinct column names, got 'a' twice"):
        read(path)
