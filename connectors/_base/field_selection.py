"""Roles of columns in rows whose features the sender has named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from loco_stream.connectors._base.fields import FieldRoles
from loco_stream.stream import Block, Event, PredictRequest, Sample


class FieldSelection:
    """Applies `use`, `drop` and `keep` to events.

    Parameters
    ----------
    fields
        The roles.

    Examples
    --------
    >>> import numpy as np
    >>> block = Block(np.array([[0.4, 3.0]]), ["ok"], ("speed", "press"))
    >>> (left,) = FieldSelection(FieldRoles(drop=("press",))).apply(block)
    >>> left.X.tolist(), left.features
    ([[0.4]], ('speed',))
    >>> (row,) = FieldSelection(FieldRoles(keep=("press",))).apply(block)
    >>> row.x, row.extra
    ({'speed': 0.4, 'press': 3.0}, {'keep': {'press': 3.0}})
    """

    def __init__(self, fields: FieldRoles) -> None:
        self._fields = fields
        self._is_needed = bool(fields.use or fields.drop or fields.keep)
        self._columns: dict[tuple[str, ...], tuple[list[int], tuple[str, ...]]] = {}

    def apply(self, event: Event) -> Iterator[Event]:
        """Yield an event without the columns that are no features.

        A block has no fields of its own rows: with `keep` it becomes single rows.
        """
        if not self._is_needed:
            yield event
        elif isinstance(event, Block) and self._fields.keep:
            yield from map(self._sample, _rows(event))
        elif isinstance(event, Block):
            chosen, names = self._chosen(event.features)
            yield replace(event, X=event.X[:, chosen], features=names)
        elif isinstance(event, Sample):
            yield self._sample(event)
        else:
            yield self.of_request(event) if isinstance(event, PredictRequest) else event

    def of_request(self, request: PredictRequest) -> PredictRequest:
        """Return a request with the features alone."""
        if not self._is_needed:
            return request
        chosen, names = self._chosen(request.features)
        return replace(request, X=request.X[:, chosen], features=names)

    def _sample(self, row: Sample) -> Sample:
        fields = self._fields
        kept = {"keep": fields.kept(row.x)} if fields.keep else {}
        extra = {**(row.extra or {}), **kept} or None
        return replace(row, x=fields.select(row.x), extra=extra)

    def _chosen(self, features: tuple[str, ...]) -> tuple[list[int], tuple[str, ...]]:
        """Return positions and names of the columns that are features."""
        if features not in self._columns:
            names = tuple(self._fields.select(dict.fromkeys(features)))
            self._columns = {features: ([features.index(name) for name in names], names)}
        return self._columns[features]


def _rows(block: Block) -> Iterator[Sample]:
    """Yield the rows of a block."""
    labels = [None] * len(block.X) if block.y is None else block.y
    sequences = [None] * len(block.X) if block.sequence is None else block.sequence
    times = block.row_times.tolist()
    for i, values in enumerate(block.X.tolist()):
        yield Sample(
            dict(zip(block.features, values, strict=True)),
            labels[i],
            block.seq + i,
            times[i],
            block.source,
            sequences[i],
            block.epoch,
            block.tag,
        )
