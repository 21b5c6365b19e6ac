"""Server session of the reliable protocol without a socket: messages in, events and answers out."""

from __future__ import annotations

import numpy as np

from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._remote_source import RemoteSources
from loco_stream.connectors.ls1._server_session import ServerSession
from tests.helpers import foreign
from tests.helpers.foreign import Answer

A = b"\0peerA"
B = b"\0peerB"


class ServerHarness:
    """A session whose answers are decoded."""

    def __init__(self, window=64, rate=None, limits=None, task=None):
        self.now = 0.0
        self.sources = RemoteSources(limits or Limits(), task)
        self.session = ServerSession(self.sources, window, rate, lambda: self.now)

    def __call__(self, peer, *messages, key=""):
        """Send messages; return the events and the answers to `peer`."""
        events = [e for m in messages if (e := self.session.take(peer, m, key)) is not None]
        return [*events, *self.session.requests.take(1 << 20)], self.answers(peer)

    def answers(self, peer=None):
        got = [(p, Answer(frames)) for p, frames in self.session.outbox]
        self.session.outbox.clear()
        return [answer for p, answer in got if peer is None or p == peer]

    def commit(self):
        self.session.ack(self.sources.position)
        return self.answers()

    def greet(self, peer=A, source="s", epoch=7, features=("a", "b"), classes=("n", "y"), **more):
        _, answers = self(
            peer, foreign.hello(source, epoch, **more), foreign.schema(source, features, classes)
        )
        assert [a.kind for a in answers] == [6]
        return answers[0]


def block(seq, n=1, labels=True, source="s"):
    table = np.arange(2 * n).reshape(n, 2) + 100 * seq
    return foreign.rows(source, seq, table, [i % 2 for i in range(n)] if labels else None)


def kinds(answers):
    return [(a.kind, a.seq) for a in answers]
