"""A stream into a fleet.

Rows go to the model of their key, and the source hears what is durable.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from loco_stream.engine.admission import admit
from loco_stream.engine.listeners import Listeners
from loco_stream.engine.source_reader import SourceReader, n_rows
from loco_stream.errors import ConfigError
from loco_stream.fleet.by_key import KeySorter
from loco_stream.fleet.fleet import Fleet
from loco_stream.fleet.rows import LABELS, OBSERVE, Key, Label, Rows, Said
from loco_stream.fleet.teller import Teller
from loco_stream.persistence.files import atomic_write
from loco_stream.persistence.format import decode_plain, encode_plain
from loco_stream.records import Record
from loco_stream.stream import Block, Event, Prediction, Sample, Sink

__all__ = ["FleetRunner"]

_DURABLE_SECONDS = 0.5  # until what was learned is made durable and acknowledged
_SHOWN = 10
# of a recording, which hands out one row at a time
_GATHERED_ROWS = 256
_GATHERED_SECONDS = 0.1


class _Stop(BaseException):
    """Raised into a source that waits."""


class FleetRunner:
    """Reads a source, sorts its rows by key, and lets a fleet test and then learn them.

    Parameters
    ----------
    fleet
        Where rows go.
    reader
        The source.
    key
        The feature that names the device; it is no input of the models.
    sinks
        Each gets every prediction, whose source is ``SOURCE/KEY``, the drifts of keys, and the
        report.
    watchers
        Each is called with the runner after every commit.
    """

    def __init__(
        self,
        fleet: Fleet,
        reader: SourceReader,
        key: str,
        sinks: Iterable[Sink] = (),
        watchers: Iterable[Callable[[Any], None]] = (),
    ) -> None:
        self._fleet = fleet
        self._reader = reader
        self._key = key
        self._sorter = KeySorter(key)
        self._teller = Teller(fleet, self._sorter, reader.source.reply)
        self._listeners = Listeners(sinks, watchers)
        self._live = reader.source.is_live  # rows of a commit came together and must not wait
        self._place = fleet.path / "position"
        self._drifts: dict[Key, Record] = {}  # the newest of each key, the newest of all at the end
        self._scores: dict[
            Key, list[float]
        ] = {}  # rows, and wrong answers or absolute errors, in this process
        self._counts = dict.fromkeys(("n_samples", "n_unlabelled", "n_refused", "n_out_of_time"), 0)
        self._reason = ""  # why a row or label was refused last
        self._stopping = False
        self._error: Exception | None = (
            None  # of the source, after rows that are to be learned first
        )
        self._waiting: int | None = None
        self._durable_at = time.monotonic()

    def stop(self) -> None:
        """End after the rows at hand; may be called from a signal handler or another thread."""
        self._stopping = True
        if self._waiting == threading.get_ident():
            raise _Stop

    def run(self) -> dict[str, Any]:
        """Run until the stream ends or `stop` is called; return the report."""
        if self._place.exists():
            self._resume(decode_plain(self._place.read_bytes()))
        position = None
        try:
            while (commit := self._next()) is not None:
                events, position = commit
                self._take(events)
                self._listeners.notify_watchers(self)
                if not events or time.monotonic() - self._durable_at > _DURABLE_SECONDS:
                    self._acknowledge(position)
            if position is not None:
                self._acknowledge(position)
        finally:
            self._reader.close()
            self._reader.source.close()
        report = self.report()
        self._listeners.close(report)
        return report

    def _resume(self, found: Any) -> None:
        """Go on from what `_acknowledge` wrote; an older version wrote the position alone."""
        position, waiting = found if isinstance(found, list) else (found, [])
        self._sorter.restore_state(waiting)
        self._reader.seek(position)

    def report(self) -> dict[str, Any]:
        """Return what was counted, and the ten keys that are served worst, and that drifted last."""
        ranked = sorted(
            self._scores, key=lambda key: self._scores[key][1] / self._scores[key][0], reverse=True
        )
        worst = [self._one(key) for key in ranked[:_SHOWN]]
        counts = self._all_counts()
        return {
            **counts,
            "n_repeated": self._fleet.n_repeated,
            "n_keys": len(self._fleet.keys()),
            "task": self._fleet.task,
            "n_drifted_keys": len(self._drifts),
            "worst": worst,
            "drifted_lately": [
                self._one(key, self._drifts[key]) for key in reversed(list(self._drifts)[-_SHOWN:])
            ],
            "notes": [*self._fleet.notes, *self._listeners.notes, *self._unused(counts)],
        }

    def search(self, text: str) -> list[str]:
        """Return up to ten keys of this run that hold a text."""
        return list(islice((str(key) for key in self._scores if text in str(key)), _SHOWN))

    def device(self, text: str) -> dict[str, Any] | None:
        """Return what is known of the key that is written so, None if none came in this run."""
        key = next((key for key in self._scores if str(key) == text), None)
        return None if key is None else self._one(key, self._drifts.get(key))

    def _one(self, key: Key, drift: Record | None = None) -> dict[str, Any]:
        score = self._scores.get(key)
        shown = {} if drift is None else {"drift": drift}
        return {
            "key": key,
            "error": score[1] / score[0] if score else None,
            **shown,
            **self._fleet.report(key),
        }

    def _all_counts(self) -> dict[str, int]:
        sorter = self._sorter
        teller = self._teller
        return {
            "n_samples": self._counts["n_samples"],
            "n_unlabelled": self._counts["n_unlabelled"],
            "n_without_key": sorter.n_without_key + teller.n_without_key,
            "n_pending": len(sorter),
            "n_expired": sorter.n_expired,
            "n_orphaned": sorter.n_orphaned,
            "n_asked": teller.n_asked,
            "n_out_of_time": self._counts["n_out_of_time"],
            "n_rejected": self._fleet.n_refused + self._counts["n_refused"],
        }

    def _unused(self, counts: Mapping[str, int]) -> list[str]:
        sentences = {
            "n_without_key": f"rows had no value in {self._key!r}, so no model learned or answered them",
            "n_expired": "rows had no label in time, so nothing was learned from them",
            "n_orphaned": "labels came for rows that did not wait for them",
            "n_out_of_time": "rows brought a time or the id of an event, which a fleet's models do not get",
        }
        shown = [f"{counts[name]:,} {text}" for name, text in sentences.items() if counts[name]]
        return [*shown, f"rows or labels were refused: {self._reason}"] if self._reason else shown

    def _next(self) -> Any:
        """Return the next commit.

        Those of a recording are gathered, so that the log gets more than a row at a time.
        """
        if self._error is not None:
            raise self._error
        if self._stopping:
            return None
        gathered: list[Event] = []
        position = None
        count = 0
        deadline = time.monotonic() + _GATHERED_SECONDS
        while (commit := self._read(bool(gathered))) is not None:
            events, position = commit
            gathered += events
            count += sum(map(n_rows, events))
            if self._live or not events or count >= _GATHERED_ROWS or time.monotonic() > deadline:
                break
        return None if position is None else (gathered, position)

    def _read(self, some: bool) -> Any:
        """Return one commit, None at the end.

        An error of the source waits if there are `some` rows to learn first.
        """
        self._waiting = threading.get_ident()
        try:
            return None if self._stopping else self._reader.next()
        except _Stop:
            return None
        except Exception as error:
            if not some:
                raise
            self._error = error
            return None
        finally:
            self._waiting = None

    def _take(self, events: Sequence[Event]) -> None:
        admitted = admit(events, self._fleet.task)
        if admitted.refused:
            self._counts["n_refused"] += admitted.refused
            self._reason = admitted.reason
        if self._fleet.has_context:
            self._counts["n_out_of_time"] += sum(map(_rows_in_time, admitted.events))
        for some in self._teller.steps(admitted.events):
            self._learn(self._sorter.sort(some))

    def _learn(self, rows: Sequence[Rows]) -> None:
        for part, answer in zip(rows, self._fleet.process(rows), strict=True):
            if answer.refusal is not None:
                continue
            if part.kind == LABELS:
                self._tell_late(part, answer.said)
            else:
                self._tell(part, answer.said, answer.n_repeated)
            self._tell_alarms(part.key, answer.alarms)

    def _tell(self, rows: Rows, said: Said, n_repeated: int) -> None:
        """Count and hand on what was said of new rows: of repeated ones it was said before."""
        for i in range(n_repeated, len(rows)):
            self._tell_one(rows, i, said[i], None if rows.kind == OBSERVE else rows.y[i])
        if rows.kind == OBSERVE:
            self._counts["n_unlabelled"] += len(rows) - n_repeated

    def _tell_late(self, rows: Rows, said: Said) -> None:
        """Do the same for rows whose labels have come."""
        for i, (found, y) in enumerate(zip(said, rows.y, strict=True)):
            if found is not None and y is not None:
                self._tell_one(rows, i, found[0], y)

    def _tell_one(self, rows: Rows, i: int, y_pred: Label, y: Label) -> None:
        if y is not None:
            score = self._scores.setdefault(rows.key, [0.0, 0.0])
            score[0] += 1
            if self._fleet.task == "classification":
                score[1] += y != y_pred
            elif y_pred is not None:
                score[1] += abs(y - y_pred)
            self._counts["n_samples"] += 1
        source = f"{rows.source}/{rows.key}"
        self._listeners.emit_prediction(
            Prediction(int(rows.seq[i]), y_pred, y, source=source, epoch=rows.epoch)
        )

    def _tell_alarms(self, key: Key, alarms: Iterable[Record]) -> None:
        for record in alarms:
            self._listeners.emit_record({**record, "key": key})
            if record["kind"] == "drift":
                self._drifts.pop(key, None)
                self._drifts[key] = record

    def _acknowledge(self, position: dict[str, Any]) -> None:
        """Make rows durable, then the position behind them with the rows that wait, and tell the source."""
        self._fleet.flush()
        try:
            atomic_write(
                self._place, encode_plain([position, self._sorter.export_state()]), mode=0o600
            )
        except OSError as error:
            raise ConfigError(f"cannot write {self._place}: {error.strerror or error}") from error
        self._reader.source.ack(position)
        self._durable_at = time.monotonic()


def _rows_in_time(event: Event) -> int:
    """Return how many rows of an event have a time or belong to a sequence."""
    timed = isinstance(event, Sample | Block) and (event.t == event.t or event.sequence is not None)
    return n_rows(event) if timed else 0
