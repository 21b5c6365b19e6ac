"""Pairs that come as they happen."""

from loco_stream.engine._source_reader import PairSource


class LivePairs(PairSource):
    """A live source of what a function yields; [] while no row has come."""

    is_live = True

    def __init__(self, rows):
        super().__init__(())
        self._rows = rows

    def __iter__(self):
        return self._rows()
