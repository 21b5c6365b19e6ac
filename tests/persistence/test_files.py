from __future__ import annotations

import errno
import os
import socket
import stat
import threading
import time

import pytest

from loco_stream import LOCOClassifier, load, save
from loco_stream._persistence.files import atomic_write, check_place
from loco_stream.errors import CheckpointError
from tests.helpers.devices import device


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    path.chmod(0o640)
    before = path.stat().st_ino
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o640
    assert path.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    target = tmp_path / "deep" / "real.json"
    link = tmp_path / "report.json"
    target.parent.mkdir()
    link.symlink_to(target)
    for content in (b"first", b"second"):  # first a dangling link, then a link to a file
        atomic_write(link, content)
        assert link.is_symlink()
        assert target.read_bytes() == content


def test_a_pipe_is_written_to_directly(tmp_path):
    path = tmp_path / "pipe"
    received = []
    os.mkfifo(path)
    with pytest.raises(OSError, match="nobody reads from this pipe"):
        atomic_write(path, b"lost")
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    reader.start()
    content = b"x" * 300_000  # more than a pipe holds
    deadline = time.monotonic() + 60
    while True:  # until the reader has opened it
        try:
            atomic_write(path, content)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    reader.join()
    assert received == [content]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_device_is_written_to_directly(tmp_path):
    null = device(tmp_path, "null")
    full = device(tmp_path, "full")
    atomic_write(null, b"gone")
    with pytest.raises(OSError, match="No space left"):
        atomic_write(full, b"too much")
    with pytest.raises(CheckpointError, match=f"cannot write {full}: No space left on device"):
        save(LOCOClassifier(hidden_sizes=(4,)), full)
    assert stat.S_ISCHR(os.stat(null).st_mode)
    assert stat.S_ISCHR(os.stat(full).st_mode)


def test_folders_sockets_and_missing_folders_are_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path, message in (
            (tmp_path, "it is a folder"),
            (tmp_path / "socket", "it is a socket"),
            (tmp_path / "none" / "report.json", "there is no folder .*none"),
        ):
            for refused in (check_place, lambda path: atomic_write(path, b"")):
                with pytest.raises(OSError, match=message):
                    refused(path)
    assert stat.S_ISSOCK((tmp_path / "socket").stat().st_mode)


def test_stale_temporary_files_of_killed_writes_are_removed(tmp_path):
    old, young, other = (
        tmp_path / f".{name}.tmp" for name in ("a[1].json.77.ab", "a[1].json.78.ab", "b.json.77.ab")
    )
    for path in (old, young, other):
        path.write_text("half")
    for path in (old, other):
        os.utime(path, (time.time() - 7200,) * 2)
    atomic_write(tmp_path / "a[1].json", b"whole")
    assert not old.exists()
    assert young.exists()
    assert other.exists()


def test_a_link_at_the_temporary_name_is_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr("secrets.token_hex", lambda n: "ab")
    (tmp_path / f".a.json.{os.getpid()}.ab.tmp").symlink_to(victim)
    with pytest.raises(FileExistsError):
        atomic_write(tmp_path / "a.json", b"x")
    assert victim.read_text() == "precious"


def test_a_model_is_saved_and_loaded_through_a_link(tmp_path):
    link = tmp_path / "latest.loco"
    link.symlink_to(tmp_path / "model.loco")
    save(LOCOClassifier(hidden_sizes=(4,)), link)
    assert link.is_symlink()
    assert load(link).classes == load(tmp_path / "model.loco").classes
