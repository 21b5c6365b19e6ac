"""Send rows to an engine from another process."""

from __future__ import annotations

import math
import os
import secrets
import socket as host
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zmq
from numpy.typing import ArrayLike, NDArray

from loco_stream.connectors.ls1.client_session import Batch
from loco_stream.connectors.ls1.messages import Hello, SchemaPayload
from loco_stream.connectors.ls1.push_link import PushLink
from loco_stream.connectors.ls1.reliable_link import ReliableLink
from loco_stream.connectors.ls1.security import ClientKeys
from loco_stream.connectors.ls1.sockets import open_plug
from loco_stream.connectors.ls1.wire import Kind
from loco_stream.connectors.rowform import (
    Named,
    RowForm,
    chunks,
    has_text,
    one_a_row,
    rows_a_message,
    times_of,
)
from loco_stream.errors import ConfigError, InputError

__all__ = ["ZMQSender"]

_BLOCK = 64  # rows a message in reliable mode: the smallest credit an engine may give
_FLUSH_SECONDS = 120.0  # an engine that was just installed compiles before it acks


class ZMQSender:
    """Rows to a `ZMQSource`, best effort or reliably.

    A reliable sender keeps every row until the engine has learned it and made it durable, waits
    when `buffer` rows are un-acked, and sends again after either side was restarted. All work is
    done inside `send`, `flush`, `predict` and `close`, by the thread that calls them: call `flush`
    before a pause.

    Parameters
    ----------
    address
        The engine's ``tcp://HOST:PORT`` or ``ipc://PATH``.
    features
        Names of the columns; None takes those of the first row. A dict may bring new ones later.
    classes
        Labels, sent as text; None begins without any. New ones are added as they come.
    name
        The source's name; None takes host name and process id.
    task
        ``"classification"`` or ``"regression"``.
    units
        One for each feature; an engine refuses a feature whose unit changes.
    sequence
        Name of the feature that holds the id of the event that a row is of: a text, or a whole
        number up to 2**24. It is then no input; a model with memory begins afresh where it changes.
    mode
        ``"push"`` for ``zmq+pull``, ``"pub"`` for ``zmq+sub``.
    reliable
        Speak to ``zmq+reliable`` or ``zmq+reply`` instead.
    predict
        Reliable: get a prediction back for each row, made before it was learned; see
        `take_predictions`.
    epoch
        Reliable: the number of this run of the source. None draws one. A restarted source that
        gives its old epoch goes on after the engine's last durable row: see `connect`.
    buffer
        Reliable: un-acked rows kept.
    timeout
        Seconds to wait for room or for an answer; None waits as long as it takes, and in `flush`
        120 s. After 5 s without an engine there is a `LocoStreamWarning`.
    linger
        Seconds that `close` waits for what is not sent or acked: it ends even if the engine is
        gone.
    bind
        Bind instead of connect; None binds for pub alone.
    keys
        Folder with the files of `keygen`: turns CURVE on.
    key
        The client's name in that folder.

    Raises
    ------
    SourceError
        The address cannot be used, or the keys are missing; in reliable mode also when the engine
        refuses the rows, or nothing answered in `timeout`.
    InputError
        A row that does not fit.

    Examples
    --------
    >>> from loco_stream.connectors import ZMQSender, ZMQSource
    >>> source = ZMQSource("tcp://127.0.0.1:*", idle=1.0)
    >>> with ZMQSender(source.address, features=["a", "b"], classes=["off", "on"]) as sender:
    ...     sender.send([1.0, 2.5], "on")
    ...     sender.send([[3.0, 4.5], [5.0, None]], ["off", "on"])
    1
    2
    >>> source.close()
    """

    def __init__(
        self,
        address: str,
        *,
        features: Sequence[str] | None = None,
        classes: Sequence[Any] | None = None,
        name: str | None = None,
        task: Literal["classification", "regression"] = "classification",
        units: Sequence[str] | None = None,
        sequence: str | None = None,
        mode: Literal["push", "pub"] = "push",
        reliable: bool = False,
        predict: bool = False,
        epoch: int | None = None,
        buffer: int = 8192,
        timeout: float | None = None,
        linger: float = 5.0,
        bind: bool | None = None,
        keys: str | Path | None = None,
        key: str = "source",
    ) -> None:
        _check(mode, reliable, predict, epoch, name, buffer)
        self.name = name if name is not None else f"{host.gethostname()}-{os.getpid()}"
        self._form = RowForm(features, classes, units, task, sequence)
        self._timeout = math.inf if timeout is None else timeout
        self._linger = linger
        kind = zmq.DEALER if reliable else {"push": zmq.PUSH, "pub": zmq.PUB}[mode]
        bind = kind == zmq.PUB if bind is None else bind
        guard = ClientKeys(keys, key) if keys is not None else None
        self._plug = open_plug(kind, address, bind=bind, guard=guard)
        self.address = self._plug.address
        self._next = 1
        self._resumes = reliable and epoch is not None
        self._reliable_link: ReliableLink | None = None
        if reliable:
            hello = Hello(self.name, secrets.randbits(64) if epoch is None else epoch, predict)
            self._reliable_link = ReliableLink(
                self._plug, hello, buffer, self._timeout, self._schema
            )
        self._link: ReliableLink | PushLink = self._reliable_link or PushLink(
            self._plug, self.name, self._timeout
        )

    def _schema(self) -> SchemaPayload | None:
        return self._form.schema if self._form.ready else None

    def __enter__(self) -> ZMQSender:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        self.close(end=kind is None)

    @property
    def acked(self) -> int:
        """The seq of the last row that the engine has made durable (reliable)."""
        return self._reliable().session.acked

    def connect(self) -> int:
        """Wait for the engine's hello.

        Return the seq of its last durable row of this source and epoch (reliable).

        The next row sent takes the seq after it, or after the last one sent.
        """
        link = self._reliable()
        link.wait(lambda: link.session.greeted, "said hello")
        return link.session.acked

    def send(self, x: object, y: object = None, t: ArrayLike = math.nan) -> int:
        """Send one row or a table of rows; return the seq of the first.

        Parameters
        ----------
        x
            A dict, a row (n_features,) or a table (n_rows, n_features); None and NaN are missing.
            The model takes texts as categories; a row that may hold some goes in a message of its
            own.
        y
            The label or the value, one for each row; None where it is unknown.
        t
            Event time of the first row, or one for each: seconds since 1970-01-01 UTC, NaN =
            unknown. A message has one time, so rows that each have theirs go one by one.
        """
        if has_text(x):
            return self._send_words(self._form.rows_by_name(x), y, t)
        rows = self._form.table(x)
        labels = self._form.labels(y, len(rows))
        times = times_of(t, len(rows))
        kind = Kind.SAMPLE if labels is None else Kind.LABELLED
        first = self._begin()
        most = _BLOCK if self._reliable_link else rows_a_message(rows.shape[1])
        for a, b in chunks(len(rows), most if np.ndim(t) == 0 else 1):
            payload = rows[a:b].tobytes() + (b"" if labels is None else labels[a:b].tobytes())
            self._post(
                Batch(kind, self._next, b - a, rows.shape[1], payload, times[a], self._form.schema)
            )
        return first

    def _send_words(self, rows: Sequence[Named], y: object, t: ArrayLike) -> int:
        labels = one_a_row(y, len(rows))
        times = times_of(t, len(rows))
        first = self._begin()
        for row, label, moment in zip(rows, labels, times, strict=True):
            body = self._form.readable(row, label, self._next, moment)
            self._post(Batch(None, self._next, 1, 0, body, moment, self._form.schema))
        return first

    def send_labels(self, of: Sequence[int], y: Sequence[Any]) -> int:
        """Send late labels: `y[i]` belongs to the row with seq `of[i]`.

        Return the seq of the first pair.
        """
        first = self._begin()
        for a, b in chunks(len(of), _BLOCK if self._reliable_link else 65_536):
            payload = self._form.pairs(of[a:b], y[a:b])
            self._post(
                Batch(Kind.LABEL, self._next, b - a, 0, payload, math.nan, self._form.schema)
            )
        return first

    def _begin(self) -> int:
        if self._resumes:
            self._next = max(self._next, self.connect() + 1)
            self._resumes = False
        return self._next

    def _post(self, batch: Batch) -> None:
        self._link.post(batch)
        self._next = batch.last + 1

    def predict(self, x: Any) -> Any:
        """Ask the engine (reliable): the likeliest class or the value.

        A list of them for a table.
        """
        answer = self._ask(x)
        if self._form.task == "regression":
            values = answer[:, 0].tolist()
        else:
            classes = self._form.schema.classes or ()
            values = [classes[j] for j in answer.argmax(axis=1)]
        return values if np.ndim(x) == 2 else values[0]

    def predict_proba(self, x: Any) -> Any:
        """Ask the engine (reliable): probabilities by class.

        For a table (n_rows, n_classes) in the schema's order.
        """
        answer = self._ask(x)
        if np.ndim(x) == 2:
            return answer
        return dict(zip(self._form.schema.classes or (), answer[0].tolist(), strict=True))

    def _ask(self, x: object) -> NDArray[np.float32]:
        link = self._reliable()
        texts = has_text(x)
        rows: Any = self._form.rows_by_name(x) if texts else self._form.table(x)
        schema = self._form.schema
        if self._form.task == "classification" and not schema.classes:
            raise InputError("name the classes to get probabilities of")

        def request(a: int, b: int, seq: int) -> Batch:
            if texts:
                return Batch(
                    None,
                    seq,
                    1,
                    0,
                    self._form.readable(rows[a], None, seq, math.nan),
                    math.nan,
                    schema,
                )
            return Batch(Kind.ASK, seq, b - a, rows.shape[1], rows[a:b].tobytes(), math.nan, schema)

        most = 1 if texts else rows_a_message(max(rows.shape[1], len(schema.classes or ())))
        return np.concatenate(
            [link.ask(partial(request, a, b)) for a, b in chunks(len(rows), most)]
        )

    def take_predictions(self, wait: float = 0.0) -> list[tuple[int, NDArray[np.float32]]]:
        """Return what came back for the rows sent (`predict=True`) since the last call.

        (seq, (n_rows, n_classes)).

        Waits at most `wait` seconds for the first.
        """
        link = self._reliable()
        deadline = time.monotonic() + wait
        link.pump(0)
        while not link.predictions and (left := deadline - time.monotonic()) > 0:
            link.pump(left)
        taken = list(link.predictions)
        link.predictions.clear()
        return taken

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every row is acked (reliable); best-effort modes have nothing to wait for.

        Raises
        ------
        SourceError
            Rows are left after `timeout` seconds; None: that of the sender, or 120 s if it has
            none. They are kept, and sent by the next call.
        """
        link = self._reliable_link
        if link is not None:
            session = link.session
            if timeout is None:
                timeout = _FLUSH_SECONDS if math.isinf(self._timeout) else self._timeout
            link.wait(lambda: session.kept == 0, "acked all rows", timeout)

    def close(self, *, end: bool = True) -> None:
        """Say end of stream, wait at most `linger` seconds for what is left, and close.

        Raises
        ------
        SourceError
            Rows were not acked in time (reliable); the socket is closed all the same.
        """
        if self._plug.closed:
            return
        try:
            if end and self._next > 1:
                self._link.end(self._next - 1, self._linger)
        finally:
            self._link.close()
            self._plug.close(self._linger)

    def _reliable(self) -> ReliableLink:
        if self._reliable_link is None:
            raise ConfigError("a best-effort sender gets no answers: open it with reliable=True")
        return self._reliable_link


def _check(
    mode: str, reliable: bool, predict: bool, epoch: int | None, name: str | None, buffer: int
) -> None:
    if mode not in {"push", "pub"}:
        raise ConfigError(f"mode must be 'push' or 'pub', not {mode!r}")
    if not reliable and (predict or epoch is not None):
        raise ConfigError("predict and epoch need reliable=True: push and pub have no way back")
    if epoch is not None and (name is None or not 0 <= epoch < 1 << 64):
        raise ConfigError(
            f"epoch must be in 0..2**64-1 and belongs to a name, not {epoch!r} of name {name!r}"
        )
    if name is not None and not 0 < len(name.encode()) <= 255:
        raise ConfigError(f"name must have 1..255 bytes, not {len(name.encode())}")
    if buffer < 2 * _BLOCK:
        raise ConfigError(f"buffer must be at least {2 * _BLOCK} rows, not {buffer}")
