"""Only keys on the allow-list are admitted: real CURVE handshakes."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import zmq
import zmq.auth

from loco_stream.connectors import ZMQSender, ZMQSource, keygen, open_source
from loco_stream.connectors.ls1._security import ClientKeys, ServerKeys
from loco_stream.errors import ConfigError, SourceError
from tests.helpers import foreign
from tests.helpers.hostile import intrude
from tests.helpers.serving import FREE, Serving, ask_for_more, drain, rows_of, wait_until


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    keygen(folder)
    return folder


def mode(path):
    return path.stat().st_mode & 0o777


def test_keygen_writes_the_files_that_the_page_names(tmp_path):
    folder = tmp_path / "deep" / "keys"
    written = keygen(folder)
    names = ["allowed/source.key", "engine.key", "engine.key_secret", "source.key_secret"]
    assert sorted(str(p.relative_to(folder)) for p in written) == names
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == names
    assert (mode(folder), mode(folder / "allowed")) == (0o700, 0o700)
    assert {mode(folder / n) for n in names if n.endswith("secret")} == {0o600}
    public, secret = zmq.auth.load_certificate(folder / "source.key_secret")
    assert zmq.auth.load_certificate(folder / "allowed" / "source.key") == (public, None)
    assert zmq.curve_public(secret) == public


@pytest.mark.parametrize(
    ("name", "folder"),
    [("keys", "keys"), ("keys", "keys/plant/press"), ("keys/allowed", "keys")],
)
def test_keygen_takes_no_file_as_a_directory(name, folder, tmp_path):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    with pytest.raises(ConfigError, match=f"^{file} must be a directory, got a file$"):
        keygen(tmp_path / folder)


def test_keygen_overwrites_no_file_and_adds_clients(keys):
    before = {p: p.read_bytes() for p in keys.rglob("*.key*")}
    with pytest.raises(ConfigError, match="exists and is not overwritten"):
        keygen(keys)
    written = keygen(keys, "camera-2")
    assert sorted(p.name for p in written) == ["camera-2.key", "camera-2.key_secret"]
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.parametrize("call", range(12))
def test_keygen_can_be_repeated_after_it_was_killed(tmp_path, monkeypatch, call):
    """It is killed before each of its file operations."""
    calls = iter(range(call, -1, -1))

    def mortal(step):
        def dies(*args, **more):
            if next(calls, 1) == 0:
                raise KeyboardInterrupt
            return step(*args, **more)

        return dies

    for owner, step in (
        (os, "open"),
        (os, "link"),
        (Path, "replace"),
        (Path, "unlink"),
        (Path, "mkdir"),
    ):
        monkeypatch.setattr(owner, step, mortal(getattr(owner, step)))
    with suppress(KeyboardInterrupt):
        keygen(tmp_path / "keys")
    monkeypatch.undo()
    with suppress(ConfigError):  # it may have been complete
        keygen(tmp_path / "keys")
    names = ["allowed/source.key", "engine.key", "engine.key_secret", "source.key_secret"]
    files = [
        p for p in (tmp_path / "keys").rglob("*") if p.is_file() and not p.name.startswith(".")
    ]
    assert sorted(p.relative_to(tmp_path / "keys").as_posix() for p in files) == names
    public, secret = zmq.auth.load_certificate(tmp_path / "keys" / "source.key_secret")
    assert zmq.auth.load_certificate(tmp_path / "keys" / "allowed" / "source.key")[0] == public
    assert zmq.curve_public(secret) == public
    engine, secret = zmq.auth.load_certificate(tmp_path / "keys" / "engine.key_secret")
    assert (
        zmq.auth.load_certificate(tmp_path / "keys" / "engine.key")[0]
        == engine
        == zmq.curve_public(secret)
    )


def test_keygen_does_not_admit_a_removed_client_again(keys):
    (keys / "allowed" / "source.key").unlink()
    with pytest.raises(ConfigError, match="exists and is not overwritten"):
        keygen(keys)
    assert list((keys / "allowed").iterdir()) == []


def test_keygen_does_not_change_a_folder_that_others_can_enter(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="can be entered by others and holds files"):
        keygen(tmp_path)
    assert mode(tmp_path) == 0o755
    (tmp_path / "empty").mkdir(mode=0o755)
    keygen(tmp_path / "empty")
    assert mode(tmp_path / "empty") == 0o700


@pytest.mark.parametrize("name", ["engine", "", "a/b", "../x", "x" * 65, "a b"])
def test_keygen_refuses_names_that_are_not_valid_in_file_names(tmp_path, name):
    with pytest.raises(ConfigError, match=r"`name` must be 1\.\.64"):
        keygen(tmp_path / "k", name)


def test_a_listed_key_is_admitted_in_every_mode(keys):
    for kind in ("pull", "sub"):
        publisher = None
        if kind == "sub":
            publisher = ZMQSender(FREE, mode="pub", keys=keys, features=["a"])
        source = ZMQSource(publisher.address if publisher else FREE, kind, keys=keys)
        sender = publisher or ZMQSender(source.address, keys=keys, features=["a"])
        assert rows_of(ask_for_more(source, lambda sender=sender: sender.send([1.0], 0)))[0] == [
            1.0
        ]
        sender.close()
        source.close()
    with (
        Serving(ZMQSource(FREE, "reliable", keys=keys)) as engine,
        ZMQSender(
            engine.source.address,
            reliable=True,
            keys=keys,
            features=["a"],
            classes=["n", "y"],
            timeout=60,
        ) as sender,
    ):
        sender.send([1.0], "n")
        sender.flush()
        assert sender.predict([0.9]) == "y"


def is_answered(context, address, wait=0.5, refused=lambda: False, **curve):
    """Whether a hello is answered before it is refused or `wait` seconds are over."""
    client = context.socket(zmq.DEALER)
    client.linger = 0
    for name, value in curve.items():
        setattr(client, name, value)
    client.connect(address)
    client.sndtimeo = 1000  # a client that is refused before it sends would wait forever
    with suppress(zmq.Again):
        client.send_multipart(foreign.hello("intruder", 1))
    deadline = time.monotonic() + wait
    while not (answered := bool(client.poll(50))) and not refused() and time.monotonic() < deadline:
        pass
    client.close()
    return answered


@pytest.fixture
def context():
    with zmq.Context() as context:
        yield context


def test_no_key_an_unlisted_key_and_a_wrong_server_key_are_refused(keys, context):
    engine_key = zmq.auth.load_certificate(keys / "engine.key")[0]
    public, secret = zmq.curve_keypair()
    own_public, own_secret = zmq.auth.load_certificate(keys / "source.key_secret")
    with Serving(ZMQSource(FREE, "reliable", keys=keys)) as engine:
        address = engine.source.address
        assert not is_answered(context, address)
        assert not is_answered(
            context,
            address,
            60,
            lambda: engine.source.stats["refused"],
            curve_publickey=public,
            curve_secretkey=secret,
            curve_serverkey=engine_key,
        )
        assert not is_answered(
            context,
            address,
            curve_publickey=own_public,
            curve_secretkey=own_secret,
            curve_serverkey=public,
        )
        assert not is_answered(  # the right public key, without its secret
            context,
            address,
            curve_publickey=own_public,
            curve_secretkey=secret,
            curve_serverkey=engine_key,
        )
        assert engine.source.stats["messages"] == 0
        assert engine.source.stats["refused"] >= 1
        assert is_answered(
            context,
            address,
            60,
            curve_publickey=own_public,
            curve_secretkey=own_secret,
            curve_serverkey=engine_key,
        )


def test_the_list_is_read_again_after_a_change(keys):
    with Serving(ZMQSource(FREE, "reliable", keys=keys)) as engine:
        make = {"reliable": True, "features": ["a"], "classes": ["n", "y"], "linger": 0}
        keygen(keys, "late")
        (keys / "allowed" / "late.key").rename(keys / "late.key")  # not on the list
        late = ZMQSender(engine.source.address, keys=keys, key="late", timeout=0.7, **make)
        with pytest.raises(SourceError, match="no engine"):
            late.connect()
        late.close(end=False)
        (keys / "late.key").rename(keys / "allowed" / "late.key")
        late = ZMQSender(engine.source.address, keys=keys, key="late", timeout=60, **make)
        assert late.connect() == 0
        (keys / "allowed" / "late.key").unlink()  # rows on the open connection are rejected as well
        time.sleep(0.3)
        before = len(engine.events)
        late.send([1.0], "n")
        wait_until(lambda: engine.source.stats["rejected"])
        with pytest.raises(SourceError, match="acked all rows within"):
            late.flush(0.1)
        assert len(engine.events) == before
        late.close(end=False)


def test_a_damaged_key_file_excludes_its_client_only(keys):
    server_keys = ServerKeys(keys)
    public = zmq.auth.load_certificate(keys / "allowed" / "source.key")[0]
    (keys / "allowed" / "broken.key").write_text("curve\n    public-")
    assert server_keys.admits(public)
    assert not server_keys.admits(b"x" * 40)
    assert server_keys.callback("loco-stream", public)
    assert not server_keys.callback("", public)
    assert not server_keys.callback("*", public)
    (keys / "allowed" / "source.key").unlink()
    (keys / "allowed" / "broken.key").unlink()
    (keys / "allowed").rmdir()
    time.sleep(0.21)
    assert not server_keys.admits(public)


def test_a_socket_without_authenticator_admits_nobody(keys, context):
    """The ZAP domain is enforced, so a missing authenticator fails closed."""
    server = context.socket(zmq.ROUTER)
    server.linger = 0
    ServerKeys(keys).apply(server)
    port = server.bind_to_random_port("tcp://127.0.0.1")
    public, secret = zmq.auth.load_certificate(keys / "source.key_secret")
    engine_key = zmq.auth.load_certificate(keys / "engine.key")[0]
    client = context.socket(zmq.DEALER)
    client.linger = 0
    client.curve_publickey = public
    client.curve_secretkey = secret
    client.curve_serverkey = engine_key
    client.connect(f"tcp://127.0.0.1:{port}")
    client.sndtimeo = 1000
    with suppress(zmq.Again):
        client.send(b"hello")
    assert not server.poll(500)
    client.close()
    server.close()


@pytest.mark.parametrize(
    ("break_it", "text"),
    [
        (
            lambda k: (k / "engine.key_secret").unlink(),
            "cannot read the key file .*engine.key_secret",
        ),
        (lambda k: (k / "engine.key_secret").chmod(0o644), "can be read by others: chmod 600"),
        (lambda k: (k / "engine.key_secret").write_text("nothing"), "cannot read the key file"),
        (
            lambda k: (k / "engine.key_secret").write_bytes((k / "engine.key").read_bytes()),
            "must hold a secret key",
        ),
        (lambda k: (k / "allowed").rename(k / "forbidden"), "allowed is missing"),
    ],
)
def test_missing_or_readable_keys_are_refused(keys, break_it, text):
    break_it(keys)
    with pytest.raises(SourceError, match=text):
        ZMQSource(FREE, keys=keys)


def test_a_client_needs_its_own_secret_and_the_engines_public_key(keys, tmp_path):
    with pytest.raises(SourceError, match=r"other\.key_secret"):
        ClientKeys(keys, "other")
    (keys / "engine.key").unlink()
    with pytest.raises(SourceError, match=r"engine\.key:"):
        ClientKeys(keys)
    with pytest.raises(SourceError, match="cannot read the key file"):
        open_source("zmq+pull://127.0.0.1:*", keys=tmp_path / "none")
    with pytest.raises(ConfigError, match=r"`keys` must be None unless .* zmq\+, got river:"):
        open_source("river:Phishing", keys=keys)


def test_with_keys_a_bind_may_be_reached_from_other_machines(keys):
    source = open_source("zmq+pull://0.0.0.0:*", keys=keys)
    port = source.address.rpartition(":")[2]
    with ZMQSender(f"tcp://127.0.0.1:{port}", keys=keys) as sender:
        sender.send([1.0], 0)
    assert rows_of(drain(source, lambda _: False)) == [[1.0]]
    source.close()


def test_1000_hostile_connections_do_not_stop_an_honest_peer(keys):
    with Serving(ZMQSource(FREE, "reliable", keys=keys)) as engine:
        stop = threading.Event()
        crowd = threading.Thread(target=intrude, args=(engine.source.address, 1000, stop))
        crowd.start()
        with ZMQSender(
            engine.source.address, reliable=True, keys=keys, features=["a"], timeout=60
        ) as sender:
            for i in range(2000):
                sender.send([float(i)], i % 2)
            sender.flush()
        crowd.join()
        assert [r[0] for r in rows_of(engine.events)] == list(range(2000))
        assert engine.source.stats["malformed"] == 0  # no connection sent a complete message
