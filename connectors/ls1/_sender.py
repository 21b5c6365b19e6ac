"""Sending rows to an engine from another process."""

from __future__ import annotations

import math
import os
import secrets
import socket as host
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zmq
from numpy.typing import ArrayLike

from loco_stream._arrays import Float32
from loco_stream._checks import checks_types
from loco_stream.connectors._base.checks import check_positive, check_seconds
from loco_stream.connectors.ls1._client_session import Batch
from loco_stream.connectors.ls1._limits import DEFAULT_LIMITS
from loco_stream.connectors.ls1._messages import Hello, SchemaPayload
from loco_stream.connectors.ls1._push_link import PushLink
from loco_stream.connectors.ls1._reliable_link import ReliableLink
from loco_stream.connectors.ls1._row_encoder import (
    Named,
    RowEncoder,
    chunks,
    has_text,
    label_list,
    rows_per_message,
    time_list,
)
from loco_stream.connectors.ls1._security import ClientKeys
from loco_stream.connectors.ls1._sockets import open_socket
from loco_stream.connectors.ls1._wire import Kind
from loco_stream.errors import ConfigError, InputError

_BLOCK = 64  # rows per message in reliable mode: the smallest flow-control window
_WAIT_SECONDS = 120.0  # an engine that was just installed compiles before it answers
_MAX_LABELS = 65_536  # per message


class ZMQSender:
    """Sends rows to a `ZMQSource`, best-effort or reliably.

    A reliable sender keeps each row until the engine has learned it and made it durable, and waits
    while `buffer` rows are unacknowledged. After either side restarts, it sends the unacknowledged
    rows again. All work is done in `send`, `flush`, `predict` and `close`, in the calling thread:
    call `flush` before a pause.

    Parameters
    ----------
    address
        The engine's ``tcp://HOST:PORT`` or ``ipc://PATH``.
    features
        Column names; None takes those of the first row. A dict may add new ones later.
    classes
        Labels, which are sent as text. New ones are added as they come.
    name
        Name of the source. By default host name and process id.
    task
        ``"classification"`` or ``"regression"``.
    units
        One per feature. An engine refuses a feature whose unit changes.
    sequence
        Feature with the sequence id, a text or a whole number up to 2**24. It is not a feature of
        the model; the memory of a model is reset where it changes.
    mode
        ``"push"`` for ``zmq+pull``, ``"pub"`` for ``zmq+sub``.
    reliable
        Connect to ``zmq+reliable`` or ``zmq+reply`` instead.
    predict
        Reliable: receive a prediction for each row, made before it is learned; see
        `take_predictions`.
    epoch
        Reliable: number of this run of the source. None draws one. A restarted source with its old
        epoch continues after the engine's last durable row; see `connect`.
    buffer
        Reliable: rows kept that are not acked.
    frame_bytes
        Bytes that the message of a row with texts may have: the engine closes the connection of a
        longer one. Change it where `frame_bytes` in the engine's `Limits` differs.
    timeout
        Seconds to wait for room or for an answer. None waits indefinitely for room and in
        `connect`, and 120 s in `flush` and `predict`. After 5 s without an engine there is a
        `LocoStreamWarning`.
    linger
        Seconds that `close` waits for what is not sent or acked.
    bind
        Bind instead of connect. By default only pub binds.
    keys
        Folder with the files of `keygen`; turns CURVE encryption on.
    key
        Name of the client in that folder.

    Raises
    ------
    SourceError
        The address is not usable or keys are missing; in reliable mode also if the engine refuses
        the rows.
    SourceTimeoutError
        Nothing was answered within `timeout`. It is a `SourceError` and a `TimeoutError`.
    InputError
        A row does not fit the schema, or is too long.

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

    @checks_types
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
        frame_bytes: int = DEFAULT_LIMITS.frame_bytes,
        timeout: float | None = None,
        linger: float = 5.0,
        bind: bool | None = None,
        keys: str | Path | None = None,
        key: str = "source",
    ) -> None:
        _check_mode(mode, reliable, predict, epoch)
        _check_name(name, epoch)
        if buffer < 2 * _BLOCK:
            raise ConfigError(f"`buffer` must be at least {2 * _BLOCK} rows, got {buffer}")
        self.name = name if name is not None else f"{host.gethostname()}-{os.getpid()}"
        self._encoder = RowEncoder(features, classes, units, task, sequence, frame_bytes)
        check_seconds(timeout=timeout, linger=linger)
        check_positive(frame_bytes=frame_bytes)
        self._timeout = math.inf if timeout is None else timeout
        self._linger = linger
        kind = zmq.DEALER if reliable else {"push": zmq.PUSH, "pub": zmq.PUB}[mode]
        client_keys = ClientKeys(keys, key) if keys is not None else None
        self._socket = open_socket(
            kind, address, bind=kind == zmq.PUB if bind is None else bind, keys=client_keys
        )
        self.address = self._socket.address
        self._next = 1
        self._must_connect = reliable and epoch is not None
        self._reliable_link: ReliableLink | None = None
        if reliable:
            hello = Hello(self.name, secrets.randbits(64) if epoch is None else epoch, predict)
            self._reliable_link = ReliableLink(
                self._socket, hello, buffer, self._timeout, self._known_schema
            )
        self._link: ReliableLink | PushLink = self._reliable_link or PushLink(
            self._socket, self.name, self._timeout
        )

    def _known_schema(self) -> SchemaPayload | None:
        return self._encoder.schema if self._encoder.has_features else None

    def __enter__(self) -> ZMQSender:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        self.close(end=kind is None)

    @property
    def acked(self) -> int:
        """Seq of the last row that the engine has made durable; needs `reliable=True`."""
        return self._require_reliable().session.acked

    def connect(self) -> int:
        """Wait for the engine's hello, and return the seq of its last durable row.

        Needs `reliable=True`, and `features` or a row sent before: the hello names the columns.

        The next row gets the seq after it, or after the last row sent.

        Raises
        ------
        ConfigError
            `reliable` is False, or no columns are known yet.
        SourceTimeoutError
            No engine answered in time.
        """
        link = self._require_reliable()
        if self._known_schema() is None:
            raise ConfigError("`features` must name the columns before `connect`, got None")
        link.wait(lambda: link.session.greeted, "answered hello")
        return link.session.acked

    def send(self, x: object, y: object = None, t: ArrayLike = math.nan) -> int:
        """Send a row or a table of rows; return the seq of the first.

        Parameters
        ----------
        x
            A dict, a row (n_features,) or a table (n_rows, n_features). None and NaN mean missing.
            The model takes texts as categories; rows with texts are sent one per message.
        y
            Label or value per row; None if unknown.
        t
            Event time of the first row, or one per row, in seconds since 1970-01-01 UTC; NaN if
            unknown. Rows that each have a time are sent one per message.
        """
        if has_text(x):
            return self._send_named(self._encoder.named_rows(x), y, t)
        rows = self._encoder.table(x)
        labels = self._encoder.labels(y, len(rows))
        times = time_list(t, len(rows))
        kind = Kind.SAMPLE if labels is None else Kind.LABELLED
        first = self._first_seq()
        for begin, end in chunks(len(rows), self._block_size(rows.shape[1], np.ndim(t) == 0)):
            payload = rows[begin:end].tobytes()
            if labels is not None:
                payload += labels[begin:end].tobytes()
            self._post(kind, end - begin, rows.shape[1], payload, times[begin])
        return first

    def _block_size(self, width: int, one_time: bool) -> int:
        if not one_time:
            return 1
        return _BLOCK if self._reliable_link else rows_per_message(width)

    def _send_named(self, rows: Sequence[Named], y: object, t: ArrayLike) -> int:
        labels = label_list(y, len(rows))
        times = time_list(t, len(rows))
        first = self._first_seq()
        for row, label, row_time in zip(rows, labels, times, strict=True):
            body = self._encoder.named_message(row, label, self._next, row_time)
            self._post(None, 1, 0, body, row_time)
        return first

    def send_labels(self, of: Sequence[int], y: Sequence[Any]) -> int:
        """Send late labels: `y[i]` is that of the row with seq `of[i]`. Return the first seq."""
        first = self._first_seq()
        for begin, end in chunks(len(of), _BLOCK if self._reliable_link else _MAX_LABELS):
            payload = self._encoder.pairs(of[begin:end], y[begin:end])
            self._post(Kind.LABEL, end - begin, 0, payload, math.nan)
        return first

    def _first_seq(self) -> int:
        if self._must_connect:
            self._next = max(self._next, self.connect() + 1)
            self._must_connect = False
        return self._next

    def _post(self, kind: Kind | None, n_rows: int, width: int, payload: bytes, t: float) -> None:
        batch = Batch(kind, self._next, n_rows, width, payload, t, self._encoder.schema)
        self._link.post(batch)
        self._next = batch.last + 1

    def predict(self, x: Any, *, timeout: float | None = None) -> Any:
        """Return the most probable label, or the value, of a row; a list for a table.

        Needs `reliable=True`.

        Probabilities are what the engine replies with: its thresholds and costs do not apply here.

        Parameters
        ----------
        x
            A row or a table, as `send` takes them.
        timeout
            Seconds to wait for a reply; a table beyond 1 MiB, and one with texts, gets several.
            None: those of the sender, or 120 s.

        Raises
        ------
        SourceTimeoutError
            No engine replied in time: it is gone, or compiles.
        """
        reply = self._request(x, timeout)
        if self._encoder.task == "regression":
            values = reply[:, 0].tolist()
        else:
            classes = self._encoder.schema.classes or ()
            values = [classes[j] for j in reply.argmax(axis=1)]
        return values if np.ndim(x) == 2 else values[0]

    def predict_proba(self, x: Any, *, timeout: float | None = None) -> Any:
        """Return the engine's class probabilities; needs `reliable=True`.

        A single row returns a dict from label to probability, a table an array
        (n_rows, n_classes) in the order of the schema. `timeout` and errors are those of `predict`.
        """
        reply = self._request(x, timeout)
        if np.ndim(x) == 2:
            return reply
        return dict(zip(self._encoder.schema.classes or (), reply[0].tolist(), strict=True))

    def _request(self, x: object, timeout: float | None) -> Float32:
        link = self._require_reliable()
        requests = self._requests(x)
        limit = self._limit(timeout)
        return np.concatenate([link.request(make, limit) for make in requests])

    def _limit(self, timeout: float | None) -> float:
        """Return for how many seconds an answer is waited for."""
        if timeout is not None:
            return timeout
        return _WAIT_SECONDS if math.isinf(self._timeout) else self._timeout

    def _requests(self, x: object) -> list[Callable[[int], Batch]]:
        """Return functions that make the requests for rows, given their numbers."""
        encoder = self._encoder
        rows = encoder.named_rows(x) if has_text(x) else encoder.table(x)
        classes = encoder.schema.classes or ()
        if encoder.task == "classification" and not classes:
            raise InputError("`classes` must be given to predict, got none")
        if isinstance(rows, list):
            return [partial(self._named_request, row) for row in rows]
        size = rows_per_message(max(rows.shape[1], len(classes)))
        parts = chunks(len(rows), size)
        return [partial(self._table_request, rows[begin:end]) for begin, end in parts]

    def _named_request(self, row: Named, seq: int) -> Batch:
        body = self._encoder.named_message(row, None, seq, math.nan)
        return Batch(None, seq, 1, 0, body, math.nan, self._encoder.schema)

    def _table_request(self, rows: Float32, seq: int) -> Batch:
        n_rows, width = rows.shape
        schema = self._encoder.schema
        return Batch(Kind.REQUEST, seq, n_rows, width, rows.tobytes(), math.nan, schema)

    def take_predictions(self, wait: float = 0.0) -> list[tuple[int, Float32]]:
        """Return the predictions for rows that were sent since the last call (`predict=True`).

        Each is the seq of the first row and an array (n_rows, n_classes). Waits up to `wait`
        seconds for the first.
        """
        link = self._require_reliable()
        deadline = time.monotonic() + wait
        link.pump(0)
        while not link.predictions and (left := deadline - time.monotonic()) > 0:
            link.pump(left)
        taken = list(link.predictions)
        link.predictions.clear()
        return taken

    def flush(self, timeout: float | None = None) -> None:
        """Wait until every row is acked; does nothing unless `reliable=True`.

        Raises
        ------
        SourceTimeoutError
            Rows are left after `timeout` seconds (None: that of the sender, or 120 s). They are
            kept, and sent by the next call.
        """
        link = self._reliable_link
        if link is None:
            return
        link.wait(lambda: link.session.kept == 0, "acked all rows", self._limit(timeout))

    def close(self, *, end: bool = True) -> None:
        """Send the end of stream, wait up to `linger` seconds for what is left, and close.

        Raises
        ------
        SourceError
            Rows of a reliable sender were not acked in time; the socket is closed all the same.
        """
        if self._socket.closed:
            return
        try:
            if end and self._next > 1:
                self._link.end(self._next - 1, self._linger)
        finally:
            self._link.close()
            self._socket.close(self._linger)

    def _require_reliable(self) -> ReliableLink:
        if self._reliable_link is None:
            raise ConfigError("`reliable` must be True: the best-effort modes get no replies")
        return self._reliable_link


def _check_mode(mode: str, reliable: bool, predict: bool, epoch: int | None) -> None:
    if mode not in ("push", "pub"):
        raise ConfigError(f"`mode` must be 'push' or 'pub', got {mode!r}")
    if not reliable and (predict or epoch is not None):
        raise ConfigError("`predict` and `epoch` need reliable=True: push and pub get no replies")


def _check_name(name: str | None, epoch: int | None) -> None:
    if epoch is not None and (name is None or not 0 <= epoch < 1 << 64):
        raise ConfigError(
            f"`epoch` must be in 0..2**64-1 and needs a `name`, got {epoch!r} of {name!r}"
        )
    if name is not None and not 0 < len(name.encode()) <= 255:
        raise ConfigError(f"`name` must have 1..255 bytes, got {len(name.encode())}")
