from __future__ import annotations

import errno
import itertools
import os
import shutil
import sys
import threading

import numpy as np
import pytest

from loco_stream import AdvancedOptions, LOCOClassifier
from loco_stream._persistence import format as persist
from loco_stream.engine import StreamEngine
from loco_stream.engine._checkpoint import CheckpointFolder, newest
from loco_stream.engine._inbox import InboxOnly
from loco_stream.engine._source_reader import _InterruptReading
from loco_stream.engine._state import export_model, model_of, state_sha256
from loco_stream.engine._store import Store
from loco_stream.errors import CheckpointError, ConfigError, SourceError
from loco_stream.monitor import TaskMonitor
from loco_stream.stream import Block, Labels, Sample
from tests.helpers.standin import ListSource, Means

FEATURES = ("a", "b")
TIMED = (
    "samples_per_second",
    "latency_us",
    "latency_minute_us",
    "interrupted",
    "transport",
    "notes",
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the engine's may run after it."""


def stream(n_commits=40, seed=0):
    """Blocks of several sizes, unlabelled rows and their late labels, samples by name."""
    rng = np.random.default_rng(seed)
    commits = []
    seq = 1
    for i in range(n_commits):
        n = int(rng.integers(1, 30))
        y = rng.integers(0, 3, n)
        X = (rng.normal(size=(n, 2)) + y[:, None]).astype(np.float32)
        labels = [f"c{label}" for label in y]
        block = Block(X, labels if i % 3 else None, FEATURES, seq, source="s", epoch=7)
        late = [Labels(range(seq, seq + n), labels, source="s", epoch=7)] if i % 6 == 0 else []
        commits.append([block, *late, Sample({"a": 0.5, "z": 1.0}, "c1", 10_000 + i)])
        seq += n
    return commits


def outcome(engine, report):
    config, arrays = export_model(engine.model)
    measured = {key: value for key, value in report.to_dict().items() if key not in TIMED}
    return state_sha256(config, arrays), measured


def make(folder, source, **options):
    monitor = options.pop("monitor", None) or TaskMonitor(holdout=20, share=0.2)
    return StreamEngine(
        Means(3),
        source,
        monitor=monitor,
        checkpoint=folder,
        checkpoint_every=options.pop("checkpoint_every", 50),
        delay=options.pop("delay", None),
        **options,
    )


def kill_after(engine, n_events):
    """Let the engine die in the middle of the n-th event it learns."""
    handle = engine._handler.handle
    left = [n_events]

    def dying(event):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return handle(event)

    def release(is_complete):
        engine._commits.store._writer.wait()
        engine._commits.store._folder.release()

    engine._handler.handle = dying
    engine._close = release
    with pytest.raises(Killed):
        engine.run()


@pytest.mark.parametrize("delay", [None, 13])
@pytest.mark.parametrize("needs_log", [False, True])
def test_a_run_that_is_killed_repeatedly_ends_in_the_state_of_an_uninterrupted_one(
    tmp_path, needs_log, delay
):
    commits = stream()
    whole = make(None, ListSource(commits), delay=delay)
    expected = outcome(whole, whole.run())
    rng = np.random.default_rng(5)
    for attempt in range(6):
        engine = make(tmp_path, ListSource(commits, needs_log), delay=delay, resume=attempt > 0)
        kill_after(engine, int(rng.integers(3, 13)))
    last = make(tmp_path, ListSource(commits, needs_log), delay=delay, resume=True)
    assert outcome(last, last.run()) == expected


def test_without_the_restored_random_state_the_result_differs(tmp_path, monkeypatch):
    commits = stream()
    whole = make(None, ListSource(commits))
    expected = outcome(whole, whole.run())
    kill_after(make(tmp_path, ListSource(commits)), 40)
    real = Means.from_state.__func__

    def forgetful(cls, config, arrays):
        return real(cls, {**config, "noise": 1}, arrays)

    monkeypatch.setattr(Means, "from_state", classmethod(forgetful))
    last = make(tmp_path, ListSource(commits), resume=True)
    assert outcome(last, last.run()) != expected


@pytest.mark.parametrize("forgets", [False, True])
def test_loco_ends_the_same_only_if_its_random_state_is_restored(tmp_path, monkeypatch, forgets):
    """The numbers are a function of seed and counter.

    The control goes on with another seed and the same weights.
    """
    commits = stream()

    def engine(folder, **options):
        advanced = AdvancedOptions(credit="learned")
        model = LOCOClassifier(hidden_sizes=(16,), seed=3, advanced=advanced)
        return StreamEngine(
            model, ListSource(commits), checkpoint=folder, checkpoint_every=50, **options
        )

    def arrays(run):
        return {name: array.tobytes() for name, array in export_model(run.model)[1].items()}

    whole = engine(None)
    whole.run()
    kill_after(engine(tmp_path), 40)
    if forgets:
        real = LOCOClassifier.from_state.__func__
        other = LOCOClassifier(hidden_sizes=(16,), seed=4)
        other.learn_one(dict.fromkeys("abcd", 0.0), "c0")  # the same room for features
        # a model is refused if its seed does not give them
        drawn = ("fixed.weights", "fixed.biases")
        fixed = {name: export_model(other)[1][name] for name in drawn}

        def forgetful(cls, config, arrays):
            changed = {**config, "parameters": {**config["parameters"], "seed": 4}}
            return real(cls, changed, {**arrays, **fixed})

        monkeypatch.setattr(LOCOClassifier, "from_state", classmethod(forgetful))
    again = engine(tmp_path, resume=True)
    again.run()
    assert again.model.n_seen == whole.model.n_seen
    assert (arrays(again) == arrays(whole)) is not forgets


def test_no_row_is_learned_twice_and_acknowledged_rows_are_not_read_again(tmp_path):
    commits = stream()
    engine = make(tmp_path, source := ListSource(commits, needs_log=True))
    kill_after(engine, 31)
    again = ListSource(commits, needs_log=True)
    engine = make(tmp_path, again, resume=True)
    engine.run()
    assert source.acked == list(range(1, len(source.acked) + 1))
    assert again.acked[0] >= source.acked[-1] + 1
    assert again.acked[-1] == len(commits)


@pytest.mark.parametrize("stop_at", [1, 7, 10, 11, 64, 333])
def test_max_samples_may_end_within_a_commit_and_resume_continues_there(tmp_path, stop_at):
    commits = stream()
    whole = make(None, ListSource(commits))
    expected = outcome(whole, whole.run())
    first = make(tmp_path, ListSource(commits))
    report = first.run(max_samples=stop_at)
    assert report["n_samples"] + report["n_unlabelled"] >= min(stop_at, 1)
    again = make(tmp_path, ListSource(commits), resume=True)
    assert outcome(again, again.run()) == expected


def test_a_commit_is_acknowledged_when_its_last_row_is_learned(tmp_path):
    rows = [Sample({"a": float(i)}, "on", i) for i in range(6)]
    source = ListSource([rows[:3], rows[3:]])
    assert make(tmp_path, source).run(max_samples=4)["n_samples"] == 4
    assert source.acked == [1]
    again = ListSource(source._commits)
    make(tmp_path, again, resume=True).run()
    assert again.acked == [2]


@pytest.mark.parametrize("stops", [(50,), (1, 2, 49), (20, 20)])
@pytest.mark.parametrize("refused", [(), (3, 4, 30, 49, 50, 51)])
@pytest.mark.parametrize("size", [1, 16, 100])
def test_max_samples_counts_the_rows_of_the_run_that_is_resumed(tmp_path, stops, refused, size):
    values = [1e31 if i in refused else i % 7 for i in range(100)]
    rows = [Sample({"a": value}, f"c{i % 2}", i) for i, value in enumerate(values)]
    commits = [rows[i : i + size] for i in range(0, 100, size)]

    def run(most, **options):
        engine = StreamEngine(Means(), ListSource(commits), strict=False, **options)
        return outcome(engine, engine.run(max_samples=most))

    whole = run(50)
    assert whole[1]["n_rows"] == 50
    for i, stop in enumerate(stops):
        assert run(stop, checkpoint=tmp_path, resume=i > 0)[1]["n_rows"] == stop
    assert run(50, checkpoint=tmp_path, resume=True) == whole


@pytest.mark.parametrize("sizes", [(3, 4, 1, 12, 5), (7, 20), (10, 1)])
@pytest.mark.parametrize("stop_at", [5, 19])
@pytest.mark.parametrize("needs_log", [False, True])
def test_a_live_source_may_divide_its_rows_differently_after_a_stop_within_a_commit(
    tmp_path, sizes, stop_at, needs_log
):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(60, 2)).astype(np.float32)
    y = [f"c{label}" for label in rng.integers(0, 3, 60)]

    def commits(first, sizes):
        begins = np.minimum(np.cumsum([first, *sizes * 20]), 60).tolist()
        return [
            [Block(X[a:b], y[a:b], FEATURES, a, source="s")]
            for a, b in itertools.pairwise(begins)
            if b > a
        ]

    class Live(ListSource):
        """Counts rows, not commits, as a broker does."""

        begin = 0

        @property
        def position(self):
            return {
                "commit": self.begin
                + sum(len(commit[0].X) for commit in self._commits[: self._next])
            }

        def seek(self, position):
            self.begin = position["commit"]
            self._next = 0
            self._commits = commits(self.begin, sizes)

    whole = make(None, ListSource(commits(0, (10,))))
    expected = outcome(whole, whole.run())
    make(tmp_path, Live(commits(0, (10,)), needs_log)).run(max_samples=stop_at)
    again = make(tmp_path, Live([], needs_log), resume=True)
    assert outcome(again, again.run()) == expected


def test_a_stop_writes_a_checkpoint_of_everything(tmp_path):
    commits = stream()
    whole = make(None, ListSource(commits))
    expected = outcome(whole, whole.run())
    source = ListSource(commits, needs_log=True)
    engine = make(tmp_path, source)
    real = source.ack

    def stop_soon(position):
        real(position)
        if position["commit"] == 9:
            engine.stop()

    source.ack = stop_soon
    report = engine.run()
    assert report["interrupted"]
    assert source.acked == list(range(1, 10))
    _, saved, _ = newest(tmp_path)
    assert saved.config["n_samples"] == report["n_samples"]
    again = make(tmp_path, ListSource(commits, needs_log=True), resume=True)
    assert outcome(again, again.run()) == expected


def test_three_checkpoints_are_kept_and_a_damaged_one_is_passed_over(tmp_path):
    commits = stream()
    whole = make(None, ListSource(commits))
    expected = outcome(whole, whole.run())
    kill_after(make(tmp_path, ListSource(commits, needs_log=True)), 70)
    files = sorted(tmp_path.glob("checkpoint-*.loco"))
    assert len(files) == 3
    content = bytearray(files[-1].read_bytes())
    content[len(content) // 2] ^= 4
    files[-1].write_bytes(content)
    engine = make(tmp_path, ListSource(commits, needs_log=True), resume=True)
    report = engine.run()
    assert "damaged" in report["notes"][0]
    assert outcome(engine, report) == expected


def test_without_an_intact_checkpoint_resume_is_refused(tmp_path):
    engine = make(tmp_path, ListSource(stream(3)))
    engine.run()
    for file in tmp_path.glob("checkpoint-*.loco"):
        file.write_bytes(b"rubbish")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is intact"):
        make(tmp_path, ListSource(stream(3)), resume=True).run()


def test_a_used_folder_is_not_overwritten_and_an_empty_one_not_resumed(tmp_path):
    with pytest.raises(ConfigError, match="nothing to resume"):
        make(tmp_path / "empty", ListSource([]), resume=True).run()
    with (
        pytest.raises(ConfigError, match="nothing to resume"),
        CheckpointFolder(tmp_path / "empty") as folder,
    ):
        make(folder, ListSource([]), resume=True).run()
    assert not (tmp_path / "empty").exists()
    make(tmp_path, ListSource(stream(3))).run()
    before = {file: file.read_bytes() for file in tmp_path.glob("*.loco")}
    with pytest.raises(ConfigError, match="holds an earlier run"):
        make(tmp_path, ListSource(stream(3))).run()
    assert before == {file: file.read_bytes() for file in tmp_path.glob("*.loco")}


def test_a_checkpoint_is_due_after_so_many_rows(tmp_path):
    store = Store(tmp_path, None, 3, "off")
    assert [store.is_due(1) for _ in range(3)] == [False, False, True]
    store.save(1, {}, {})
    store.flush()
    assert [store.is_due(2), store.is_due(1)] == [False, True]
    store.close()


def test_what_is_no_path_is_no_folder():
    for wrong in (3, ""):
        with pytest.raises(ConfigError, match=f"must be the path of a folder, got {wrong!r}"):
            make(wrong, ListSource([])).run()


def test_a_folder_is_locked_by_one_engine(tmp_path):
    folder = CheckpointFolder(tmp_path)
    with pytest.raises(ConfigError, match="in use by another engine"):
        make(tmp_path, ListSource([])).run()
    folder.release()
    make(folder, ListSource([])).run()  # it is locked again


def test_a_stale_file_that_cannot_be_removed_is_left(tmp_path):
    (tmp_path / ".checkpoint-1.tmp").mkdir()
    (tmp_path / ".checkpoint-2.tmp").touch()
    make(tmp_path, ListSource([])).run()
    assert [path.name for path in tmp_path.glob(".checkpoint-*")] == [".checkpoint-1.tmp"]


def test_a_resumed_run_says_that_it_keeps_the_monitor_it_was_begun_with(tmp_path):
    begun = {"holdout": 5, "drift_detector": "DDM"}
    make(tmp_path, ListSource(stream(3)), monitor=TaskMonitor(**begun)).run()
    for given, expected in (
        (TaskMonitor(**begun), []),
        (TaskMonitor(holdout=0), []),
        (
            TaskMonitor(holdout=0, drift_detector="DDM", tasks="none"),
            [
                "the run continues with the monitor it was begun with: tasks = 'auto', not 'none', "
                "holdout = 5, not 0; begin a run in another folder to change it"
            ],
        ),
    ):
        again = make(tmp_path, ListSource([]), resume=True, monitor=given)
        assert [note for note in again.run()["notes"] if "monitor" in note] == expected
        assert again.monitor.settings["holdout"] == 5


def test_a_resume_with_other_settings_or_another_model_is_refused(tmp_path):
    make(tmp_path, ListSource(stream(3)), settings={"seed": 1}).run()
    with pytest.raises(ConfigError, match="was begun with seed = 1, so it cannot continue with 2"):
        make(tmp_path, ListSource([]), resume=True, settings={"seed": 2}).run()

    class Other(Means):
        pass

    with pytest.raises(CheckpointError, match="holds a Means, but this engine runs a Other"):
        StreamEngine(Other(), ListSource([]), checkpoint=tmp_path, resume=True).run()


@pytest.mark.parametrize("resume", ["state", 0, 1])
@pytest.mark.parametrize("folder", [True, False])
def test_what_resume_is_must_be_a_truth_value(resume, folder, tmp_path):
    checkpoint = tmp_path if folder else None
    with pytest.raises(ConfigError, match=f"`resume` must be True, False or None, got {resume!r}"):
        StreamEngine(LOCOClassifier(), [({"a": 1.0}, "x")], checkpoint=checkpoint, resume=resume)


def test_a_model_that_cannot_be_stored_is_refused(tmp_path):
    from river.naive_bayes import GaussianNB

    with pytest.raises(ConfigError, match="export_state"):
        StreamEngine(GaussianNB(), [], checkpoint=tmp_path).run()
    with pytest.raises(ConfigError, match="`durability` batch needs a folder"):
        StreamEngine(GaussianNB(), [], durability="batch")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_stops_acknowledgements_and_raises_the_alarm(tmp_path, monkeypatch, error):
    monkeypatch.setattr("loco_stream.engine._store._RETRY_SECONDS", 0.01)
    commits = stream(12)
    whole = make(None, ListSource(commits))
    expected = outcome(whole, whole.run())
    source = ListSource(commits, needs_log=True)
    engine = make(tmp_path, source)
    real = os.write
    seen = []
    shown = []  # in the status, which Prometheus reads

    def full(descriptor, data):
        if bytes(data[:4]) == b"LREC" and len(source.acked) == 5 and len(seen) < 20:
            seen.append((len(source.acked), engine.alarm, engine._commits.cursor.commit))
            shown.append(engine.status["alarm"])
            raise OSError(error, os.strerror(error))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    report = engine.run()
    assert len(seen) == 20
    assert os.strerror(error) in shown[-1]
    assert {(acked, commit) for acked, _, commit in seen} == {(5, 5)}
    assert os.strerror(error) in seen[-1][1]
    assert report["alarm"] is None
    assert outcome(engine, report) == expected
    again = make(tmp_path, ListSource([], needs_log=True), resume=True)
    assert outcome(again, again.run())[0] == expected[0]


def test_an_engine_with_a_full_disk_can_be_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("loco_stream.engine._store._RETRY_SECONDS", 0.01)
    source = ListSource(stream(12), needs_log=True)
    engine = make(tmp_path, source)
    real = os.write
    tries = []

    def full(descriptor, data):
        if bytes(data[:4]) == b"LREC" and len(source.acked) == 5:
            tries.append(1)
            if len(tries) == 10:
                engine.stop()
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    report = engine.run()
    assert len(tries) == 10
    assert source.acked == [1, 2, 3, 4, 5]
    assert "No space left" in report["alarm"]


def test_a_failed_checkpoint_is_noted_if_the_log_has_everything(tmp_path, monkeypatch):
    commits = stream(20)
    whole = make(None, ListSource(commits))
    expected = outcome(whole, whole.run())
    real = persist.atomic_write

    def full(path, content, mode):
        if b"checkpoint" in content[:200] and not str(path).endswith("0000.loco"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content, mode)

    monkeypatch.setattr(persist, "atomic_write", full)
    report = make(tmp_path, ListSource(commits, needs_log=True)).run()
    assert "No space left" in report["alarm"]
    assert "the log holds" in report["notes"][0]
    with pytest.raises(CheckpointError, match="No space left"):
        make(tmp_path / "without_log", ListSource(commits)).run()
    monkeypatch.undo()
    again = make(tmp_path, ListSource([], needs_log=True), resume=True)
    assert outcome(again, again.run())[0] == expected[0]


def test_a_checkpoint_holds_model_position_and_counts(tmp_path):
    engine = make(tmp_path, ListSource(stream(5)), settings={"seed": 3})
    report = engine.run()
    file, saved, _ = newest(tmp_path)
    kind, config, arrays = model_of(saved)
    assert (kind, saved.kind) == ("Means", "checkpoint")
    assert saved.config["n_samples"] == report["n_samples"]
    assert saved.config["position"] == {"commit": 5}
    assert state_sha256(config, arrays) == state_sha256(*export_model(engine.model))
    assert file.name == "checkpoint-000000000005.loco"


def test_stop_before_the_first_row_is_no_error():
    engine = StreamEngine(Means(), ListSource(stream(2)))
    engine.stop()
    assert engine.run()["n_samples"] == 0
    assert not issubclass(_InterruptReading, Exception)


@pytest.mark.parametrize("harm", ["delete", "replace", "move"])
def test_no_row_is_acknowledged_once_the_folder_is_gone(tmp_path, monkeypatch, harm):
    monkeypatch.setattr("loco_stream.engine._store._RETRY_SECONDS", 0.01)
    folder = tmp_path / "state"
    commits = stream(12)

    class Harmful(ListSource):
        def ack(self, position):
            super().ack(position)
            if len(self.acked) == 5:
                folder.rename(tmp_path / "away")
                if harm == "delete":
                    shutil.rmtree(tmp_path / "away")
                if harm == "replace":
                    folder.mkdir()
                timer.start()

    source = Harmful(commits, needs_log=True)
    engine = make(folder, source, checkpoint_every=10_000)

    def end():
        if harm == "move":
            (tmp_path / "away").rename(folder)
        else:
            engine.stop()

    timer = threading.Timer(0.3, end)
    if harm == "move":
        report = engine.run()
        assert (len(source.acked), report["alarm"]) == (12, None)
        again = make(folder, ListSource([], needs_log=True), resume=True)
        assert outcome(again, again.run())[0] == outcome(engine, report)[0]
    else:
        with pytest.raises(CheckpointError, match="state was deleted, moved or replaced while"):
            engine.run()
        assert source.acked == [1, 2, 3, 4, 5]
        assert (
            "so nothing is acknowledged: the folder was deleted, moved or replaced"
            in engine.report["alarm"]
        )
    timer.join()


def test_foreign_files_in_the_folder_are_noted_and_left_alone(tmp_path):
    commits = stream(20)
    first = make(tmp_path, ListSource(commits[:15], needs_log=True))
    first.run()
    newest_file = sorted(tmp_path.glob("checkpoint-*.loco"))[-1]
    (tmp_path / "checkpoint-000000009999.loco").write_bytes(
        sorted(tmp_path.glob("checkpoint-*.loco"))[0].read_bytes()
    )
    for name in ("log-abc.wal", "checkpoint-old.loco", "checkpoint-5.loco", "notes.txt"):
        (tmp_path / name).write_text("mine")
    (tmp_path / ".checkpoint-000000000004.loco.77.ab.tmp").write_text("left over")
    again = make(tmp_path, ListSource(commits, needs_log=True), resume=True)
    report = again.run()
    whole = make(None, ListSource(commits))
    whole.run()
    assert outcome(again, report)[0] == outcome(whole, report)[0]
    said = "\n".join(report["notes"])
    for name in ("log-abc.wal", "checkpoint-old.loco", "checkpoint-5.loco"):
        assert f"{name} is not a file of the engine and is not read" in said
    assert "checkpoint-000000009999.loco holds commit" in said
    assert "it is a copy under a wrong name" in said
    assert not [*tmp_path.glob("*.tmp"), *tmp_path.glob(".*.tmp")]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not newest_file.exists() or len(list(tmp_path.glob("checkpoint-0*.loco"))) <= 4


def test_a_log_without_checkpoints_is_refused(tmp_path):
    make(tmp_path, ListSource(stream(5), needs_log=True)).run()
    for file in tmp_path.glob("checkpoint-*"):
        file.unlink()
    with pytest.raises(CheckpointError, match="a log alone cannot be learned"):
        make(tmp_path, ListSource([], needs_log=True), resume=None).run()


def test_files_are_readable_by_their_owner_only(tmp_path):
    mask = os.umask(0o022)
    try:
        make(tmp_path, ListSource(stream(5), needs_log=True)).run()
    finally:
        os.umask(mask)
    assert {
        file.name: file.stat().st_mode & 0o777
        for file in tmp_path.iterdir()
        if file.stat().st_mode & 0o077
    } == {}


def test_a_system_without_file_locks_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(ConfigError, match="needs file locks, which"):
        CheckpointFolder(tmp_path)


def test_a_live_source_that_is_silent_after_its_first_rows_is_saved_once(tmp_path, monkeypatch):
    class Live(ListSource):
        is_live = True

    written = []
    write = CheckpointFolder.write
    monkeypatch.setattr(
        CheckpointFolder, "write", lambda *args: written.append(args[1]) or write(*args)
    )
    ticks = [[]] * 20
    rows = [Sample({"a": 0.5}, "c1", 0)]
    engine = StreamEngine(Means(), Live([*ticks, rows, *ticks]), checkpoint=tmp_path)
    engine.run()
    assert written == [0, 1, 1]  # at the start, with the first rows, at the end


def test_a_source_that_cannot_continue_a_run_is_refused_with_the_name_of_the_earlier_source(
    tmp_path,
):
    rows = [({"a": float(i)}, i % 2) for i in range(20)]
    StreamEngine(Means(), rows, checkpoint=tmp_path).run()
    refused = rf"^{tmp_path} was begun with list, so it cannot continue with http: `position`"
    with pytest.raises(SourceError, match=refused):
        StreamEngine(Means(), InboxOnly(), checkpoint=tmp_path, resume=True).run()
