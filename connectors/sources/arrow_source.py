"""Arrow IPC files and streams as a source; Feather files are IPC files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from loco_stream.connectors._base.arrow_source import ArrowSource, skipped
from loco_stream.connectors._base.connector import Connector


class ArrowFileSource(ArrowSource):
    """Rows of an Arrow IPC file or stream, or of a Feather file.

    Parameters
    ----------
    path
        The file. Feather files must be of version 2, which is the default of all writers since
        2020.
    target, drop, use, id, keep, task, sequence, rate, speed, on_bad
        As in `CSVSource`.
    time
        As in `CSVSource`. A timestamp column becomes seconds since 1970 UTC.

    Raises
    ------
    SourceError
        The file or a column is missing, the file is empty or damaged, or a column is nested.

    Examples
    --------
    >>> import os, tempfile, pyarrow, pyarrow.feather
    >>> from loco_stream.connectors import ArrowFileSource
    >>> path = os.path.join(tempfile.mkdtemp(), "rows.feather")
    >>> pyarrow.feather.write_feather(pyarrow.table({"u": [0.5, 1.5], "kind": ["a", "b"]}), path)
    >>> [(row.x, row.y) for row in ArrowFileSource(path, target="kind")]
    [({'u': 0.5}, 'a'), ({'u': 1.5}, 'b')]
    """

    _scheme = "arrow"
    _about = "an Arrow file"

    def _open(self) -> Any:
        import pyarrow
        from pyarrow import ipc

        # Not mapped: a damaged file, or one that is cut meanwhile, would end the process
        self._file = pyarrow.OSFile(str(self.path))
        try:
            reader = ipc.open_file(self._file)
        except pyarrow.ArrowInvalid:  # a stream has no footer
            self._file.seek(0)
            return ipc.open_stream(self._file).schema
        self.n_rows = sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
        return reader.schema

    def _batches(self, start: int) -> Iterator[Any]:
        return skipped(self.path, map(self._checked, self._read()), start)

    def _checked(self, batch: Any) -> Any:
        """Return the columns that are read; raise ArrowInvalid if their numbers do not fit."""
        chosen = batch.select(self._names)
        chosen.validate(full=True)
        return chosen

    def _read(self) -> Iterator[Any]:
        from pyarrow import ipc

        self._file.seek(0)
        if self.n_rows is None:
            yield from ipc.open_stream(self._file)
            return
        reader = ipc.open_file(self._file)
        for i in range(reader.num_record_batches):
            yield reader.get_batch(i)


CONNECTORS = (
    Connector(
        "arrow",
        ArrowFileSource,
        {"arrow:PATH?target=COLUMN": ArrowFileSource.guarantee},
    ),
)
