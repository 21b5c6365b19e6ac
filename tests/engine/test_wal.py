from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream.engine._checkpoint import foreign_files
from loco_stream.engine._codec import decode_commit, encode_commit
from loco_stream.engine._wal import WriteAheadLog, parse_durability
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.stream import Block, Labels, PredictRequest, Sample


def filled(folder, n=5, rotate_after=()):
    log = WriteAheadLog(folder)
    for commit in range(1, n + 1):
        log.append(commit, b"payload %d" % commit)
        if commit in rotate_after:
            log.rotate()
    log.close()
    return sorted(folder.glob("*.wal"))


def commits(folder, after=0):
    return [commit for commit, _ in WriteAheadLog(folder).replay(after)]


def test_appended_commits_are_replayed(tmp_path):
    filled(tmp_path, 5, rotate_after=(2, 4))
    assert list(WriteAheadLog(tmp_path).replay(0)) == [(i, b"payload %d" % i) for i in range(1, 6)]
    assert commits(tmp_path, after=3) == [4, 5]
    assert commits(tmp_path, after=5) == []
    assert commits(tmp_path / "nowhere") == []


def test_every_incomplete_tail_is_truncated(tmp_path):
    (path,) = filled(tmp_path, 3)
    whole = path.read_bytes()
    last = whole.rindex(b"LREC")
    for size in range(last, len(whole)):
        path.write_bytes(whole[:size])
        assert commits(tmp_path) == [1, 2]
        assert path.stat().st_size == last
        log = WriteAheadLog(tmp_path)
        log.append(3, b"again")
        log.close()
        assert commits(tmp_path) == [1, 2, 3]
        (tmp_path / "log-000000000003.wal").unlink()
        (tmp_path / "log-newest").unlink()


def test_a_flipped_bit_is_detected_unless_a_checkpoint_covers_it(tmp_path):
    (path,) = filled(tmp_path, 4)
    whole = path.read_bytes()
    second, third = (whole.index(b"payload %d" % i) for i in (2, 3))
    for position in range(second - 20, third - 20):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 16]) + whole[position + 1 :])
        with pytest.raises(CheckpointError, match="commit 2 cannot be read"):
            commits(tmp_path)
        assert commits(tmp_path, after=2) == [3, 4]
    assert path.read_bytes() != whole


def test_a_missing_segment_is_detected(tmp_path):
    paths = filled(tmp_path, 6, rotate_after=(2, 4))
    paths[1].unlink()
    with pytest.raises(CheckpointError, match="lacks the commits 3 to 4"):
        commits(tmp_path)
    assert commits(tmp_path, after=4) == [5, 6]


def test_segments_before_the_oldest_checkpoint_are_dropped(tmp_path):
    filled(tmp_path, 6, rotate_after=(2, 4))
    WriteAheadLog(tmp_path).drop_before(4)
    assert [path.name for path in sorted(tmp_path.glob("*.wal"))] == [
        "log-000000000003.wal",
        "log-000000000005.wal",
    ]
    WriteAheadLog(tmp_path).drop_before(7)
    assert commits(tmp_path, after=4) == [5, 6]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_failed_append_leaves_nothing_in_the_log(tmp_path, monkeypatch, error, call):
    log = WriteAheadLog(tmp_path)
    log.append(1, b"one")
    real = getattr(os, call)
    broken = [True]

    def refuse(descriptor, *rest):
        if not broken:
            return real(descriptor, *rest)
        broken.clear()
        if call == "write":  # half a record gets out first
            os.pwrite(descriptor, bytes(rest[0][:7]), os.fstat(descriptor).st_size)
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match=os.strerror(error)):
        log.append(2, b"two")
    assert commits(tmp_path) == [1]
    log.append(2, b"two again")
    log.close()
    assert list(WriteAheadLog(tmp_path).replay(0)) == [(1, b"one"), (2, b"two again")]


def test_batch_syncs_each_commit_and_an_interval_fewer(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    for interval, expected in ((0.0, 100), (3600.0, 0)):
        synced.clear()
        log = WriteAheadLog(tmp_path, interval)
        for commit in range(1, 101):
            log.append(commit, b"x")
        assert len(synced) == expected
        log.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "always",
        "interval",
        "interval:",
        "interval:0s",
        "interval:-1s",
        "interval:nans",
        "batch:1s",
    ],
)
def test_an_unknown_durability_is_refused(text):
    with pytest.raises(ConfigError, match="batch, interval"):
        parse_durability(text)


LABEL = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=3), st.floats(allow_nan=False)
)
NAMES = st.text(max_size=4)


@st.composite
def events(draw):
    kind = draw(st.sampled_from(["sample", "block", "labels"]))
    seq = draw(st.integers(0, 2**63))
    source = draw(NAMES)
    epoch = draw(st.integers(0, 2**64 - 1))
    if kind == "sample":
        return Sample(
            draw(st.dictionaries(st.one_of(NAMES, st.integers(0, 9)), LABEL, max_size=3)),
            draw(LABEL),
            seq,
            1.5,
            source,
        )
    n = draw(st.integers(1, 4))
    if kind == "labels":
        return Labels(
            tuple(range(n)), draw(st.lists(LABEL, min_size=n, max_size=n)), seq, source, epoch
        )
    X = np.array(
        draw(st.lists(st.floats(width=32), min_size=2 * n, max_size=2 * n)), np.float32
    ).reshape(n, 2)
    y = draw(st.one_of(st.none(), st.lists(LABEL, min_size=n, max_size=n)))
    return Block(X, y, ("a", "b"), seq, 2.5, source, epoch, tag=("peer",))


@given(st.lists(events(), max_size=4))
@settings(deadline=None)
def test_a_commit_is_decoded_as_it_was(batch):
    ask = PredictRequest(np.zeros((1, 2), np.float32), ("a", "b"))
    back, position, now = decode_commit(encode_commit([*batch, ask], {"s": {"1": 5}}, 12.5))
    assert (position, now, len(back)) == ({"s": {"1": 5}}, 12.5, len(batch))
    for event, same in zip(batch, back, strict=True):
        if isinstance(event, Block):
            assert event.X.tobytes() == same.X.tobytes()
            assert same.tag is None
            assert (event.y, event.features, event.seq, event.epoch) == (
                same.y,
                same.features,
                same.seq,
                same.epoch,
            )
        elif isinstance(event, Labels):
            assert (list(event.of), event.y, event.epoch) == (same.of, same.y, same.epoch)
        else:
            assert event == same


def test_an_unreadable_tail_is_moved_and_noted(tmp_path):
    (path,) = filled(tmp_path, 5)
    whole = bytearray(path.read_bytes())
    third = whole.index(b"payload 3") - 20
    for k in (3, 4, 5):
        whole[whole.index(b"payload %d" % k)] ^= 1
    path.write_bytes(whole)
    log = WriteAheadLog(tmp_path)
    assert [commit for commit, _ in log.replay(0)] == [1, 2]
    (aside,) = tmp_path.glob("*.damaged")
    assert aside.read_bytes() == whole[third:]
    assert aside.stat().st_mode & 0o777 == 0o600
    assert "about 3 commits, cannot be read" in log.notes[0]
    assert str(aside) in log.notes[0]
    assert path.read_bytes() == whole[:third]
    assert commits(tmp_path) == [1, 2]


@pytest.mark.parametrize(
    "tail", [b"\x00" * 4096, b"LREC" * 30, b"LREC\xff\xff\xff\xff" + bytes(40) + b"LREC"]
)
def test_a_tail_that_is_no_incomplete_record_is_moved(tmp_path, tail):
    (path,) = filled(tmp_path, 2)
    path.write_bytes(path.read_bytes() + tail)
    assert commits(tmp_path) == [1, 2]
    (aside,) = tmp_path.glob("*.damaged")
    assert aside.read_bytes() == tail


def test_a_single_unreadable_commit_is_counted_as_one(tmp_path):
    (path,) = filled(tmp_path, 2)
    path.write_bytes(path.read_bytes() + b"LREC" + bytes(40) + b"x")
    log = WriteAheadLog(tmp_path)
    assert len([*log.replay(0)]) == 2
    assert "about 1 commit, cannot be read" in log.notes[0]


def test_the_loss_of_the_newest_segment_is_detected(tmp_path):
    paths = filled(tmp_path, 6, rotate_after=(2, 4))
    paths[2].unlink()
    with pytest.raises(
        CheckpointError, match=r"lacks log-0+5\.wal with the acknowledged commits from 5 on; put"
    ):
        commits(tmp_path)
    assert commits(tmp_path, after=6) == []  # a checkpoint holds them
    (tmp_path / "log-newest").unlink()
    assert commits(tmp_path) == [1, 2, 3, 4]


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_an_error_names_what_to_move_away_to_continue_without_lost_commits(tmp_path, harm):
    paths = filled(tmp_path, 8, rotate_after=(2, 4, 6))
    if harm == "damaged":
        content = bytearray(paths[1].read_bytes())
        content[0] ^= 16
        paths[1].write_bytes(content)
    else:
        paths[1].unlink()
    with pytest.raises(CheckpointError) as caught:
        commits(tmp_path)
    first = paths[1] if harm == "damaged" else paths[2]
    assert str(caught.value).endswith(
        f"; restore the log from a backup, or move {first.name} and the later ones and log-newest "
        "away to continue without the commits from 3 on"
    )
    for path in [*(path for path in paths if path >= first), tmp_path / "log-newest"]:
        path.unlink()
    assert commits(tmp_path) == [1, 2]


def test_a_segment_that_cannot_be_read_is_named(tmp_path):
    *_, path = filled(tmp_path, 4, rotate_after=(2,))
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match=rf"^cannot read the log: {path}: Is a directory"):
        commits(tmp_path)


def test_copies_and_foreign_files_are_not_read(tmp_path):
    paths = filled(tmp_path, 4, rotate_after=(2,))
    (tmp_path / "log-000000000099.wal").write_bytes(paths[0].read_bytes())
    for name in ("log-x.wal", "log-000000000003 (copy).wal", "log-3.wal"):
        (tmp_path / name).write_bytes(paths[1].read_bytes())
    log = WriteAheadLog(tmp_path)
    assert [commit for commit, _ in log.replay(0)] == [1, 2, 3, 4]
    assert "log-000000000099.wal begins with commit 1: it is a copy" in log.notes[0]
    assert len(foreign_files(tmp_path)) == 3


def test_a_deleted_segment_refuses_commits(tmp_path):
    log = WriteAheadLog(tmp_path)
    log.append(1, b"one")
    (tmp_path / "log-000000000001.wal").unlink()
    with pytest.raises(FileNotFoundError):
        log.append(2, b"two")
    log.append(2, b"two again")
    log.close()
    assert list(WriteAheadLog(tmp_path).replay(1)) == [(2, b"two again")]


def test_a_link_in_place_of_a_segment_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "log-000000000001.wal").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"):
        WriteAheadLog(tmp_path).append(1, b"one")
    assert (tmp_path / "victim").read_text() == "precious"
