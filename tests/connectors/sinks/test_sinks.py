"""Sinks by URL: records sent, delivery while the receiver is away, and refused URLs."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

import msgspec
import numpy as np
import pytest
import zmq

from loco_stream import StreamEngine
from loco_stream.connectors import HTTPSink, JSONLSink, open_sink
from loco_stream.connectors._registry import SINKS, connectors
from loco_stream.connectors._urls import sink_urls
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Prediction, Predictions, Sample, Sink
from loco_stream.testing import check_sink
from tests.helpers.ports import free_port
from tests.helpers.serving import wait_until
from tests.helpers.standin import ListSource, Means
from tests.helpers.webhook import Webhook

DRIFT = {
    "kind": "drift",
    "source": "press 3",
    "seq": 9,
    "t": None,
    "at": 9,
    "detector": "HDDMA",
    "what": "concept",
}


def prediction(seq):
    return Prediction(seq, "a", "b", {"a": 0.75, "b": 0.25}, 12.5, "press 3")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def posted(hook):
    return [json.loads(line) for body in hook.bodies for line in body.splitlines()]


def test_a_record_is_a_json_object_with_kind_source_seq_and_time(tmp_path):
    sink = open_sink(f"jsonl:{tmp_path}/out.jsonl")
    assert isinstance(sink, Sink)
    sink.write(prediction(7))
    sink.write(Prediction(8, 2.5, epoch=4))
    wait_until(lambda: sink.stats["sent"] == 2)
    sink.write_record(DRIFT)
    sink.close({"source": "press", "n_samples": 8, "accuracy": 0.5})
    first, second, drift, report = lines(tmp_path / "out.jsonl")
    assert first == {
        "kind": "prediction",
        "source": "press 3",
        "seq": 7,
        "t": 12.5,
        "prediction": "a",
        "proba": {"a": 0.75, "b": 0.25},
        "label": "b",
    }
    assert second == {
        "kind": "prediction",
        "source": "",
        "seq": 8,
        "t": None,
        "epoch": 4,
        "prediction": 2.5,
    }
    assert drift == DRIFT
    assert (report["kind"], report["source"], report["seq"]) == ("report", "press", 8)
    assert report["report"]["accuracy"] == 0.5
    assert sink.stats == {"sent": 4, "dropped": 0, "refused": 0, "retries": 0}
    assert sink.notes == []


def test_an_existing_file_is_appended_to_on_a_new_line(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text('{"kind":"drift"}\n{"cut')
    sink = open_sink(f"jsonl:{path}?only=drift")
    sink.write_record(DRIFT)
    sink.close({})
    assert path.read_text().splitlines()[1:] == ['{"cut', json.dumps(DRIFT, separators=(",", ":"))]


def test_a_file_that_is_rotated_is_created_anew(tmp_path):
    path = tmp_path / "out.jsonl"
    sink = open_sink(f"jsonl:{path}?only=prediction")
    changes = (lambda: path.rename(tmp_path / "old.jsonl"), path.unlink, lambda: None)
    for seq, change in enumerate(changes):
        sink.write(prediction(seq))
        wait_until(lambda n=seq + 1: sink.stats["sent"] == n)
        change()
    sink.close({})
    assert [record["seq"] for record in lines(tmp_path / "old.jsonl")] == [0]
    assert [record["seq"] for record in lines(path)] == [2]


def test_the_engine_gives_each_sink_its_kinds_of_records(tmp_path):
    rows = [
        Sample({"a": float(i % 2)}, ("x", "y")[(i + i // 500) % 2], i, source="s")
        for i in range(1000)
    ]
    all_kinds, drifts = (
        open_sink(f"jsonl:{tmp_path}/{name}") for name in ("all?linger=60", "drifts?only=drift")
    )
    report = StreamEngine(Means(), ListSource(rows), sinks=[all_kinds, drifts]).run()
    records = lines(tmp_path / "all")
    assert [r["seq"] for r in records if r["kind"] == "prediction"] == list(range(1000))
    assert {r["kind"] for r in records} == {"prediction", "drift", "status", "report"}
    found = [r for r in records if r["kind"] == "drift"]
    assert found == lines(tmp_path / "drifts")
    assert [(r["at"], r["since"], r["detector"], r["what"]) for r in found] == [
        (drift["at"], drift["since"], drift["detector"], drift["kind"])
        for drift in report["drifts"]
    ]
    assert found
    # Detectors are updated after blocks of 8 rows.
    assert all(r["source"] == "s" and r["seq"] in range(r["at"], r["at"] + 8) for r in found)
    assert report["sinks"][f"sent jsonl:{tmp_path}/drifts"] == len(found)


def test_a_webhook_receives_each_record_and_the_token(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCO_STREAM_HTTP_SECRET", "sesame")
    with Webhook() as hook:
        sink = open_sink(f"{hook.url}?channel=7&only=drift")
        for seq in range(3):
            sink.write_record({**DRIFT, "seq": seq})
        sink.close({})
        assert posted(hook) == [{**DRIFT, "seq": seq} for seq in range(3)]
        path, headers = hook.headers[0]
    assert path == "/hook?channel=7"
    assert (headers["Authorization"], headers["Content-Type"]) == (
        "Bearer sesame",
        "application/json",
    )


def test_records_that_failed_are_sent_again_and_refused_ones_are_not():
    with Webhook(answers=[503, 429, 204, 400, 301]) as hook:
        sink = open_sink(f"{hook.url}?only=prediction&batch=2&linger=20")
        for seq in range(8):
            sink.write(prediction(seq))
        sink.close({})
        assert [record["seq"] for record in posted(hook)] == [0, 1, 6, 7]
        assert hook.headers[0][1]["Content-Type"] == "application/x-ndjson"
    assert sink.stats == {"sent": 4, "dropped": 0, "refused": 4, "retries": 2}
    assert sink.notes[0].endswith(" answers 301 Moved Permanently: 'no: 301'")


def test_a_webhook_that_returns_receives_the_queued_records():
    port = free_port()
    sink = open_sink(f"http://127.0.0.1:{port}/?only=prediction&batch=50")
    for seq in range(200):
        sink.write(prediction(seq))
    wait_until(lambda: sink.stats["retries"] > 1)
    with Webhook(port) as hook:
        wait_until(lambda: sink.stats["sent"] == 200)
        assert [record["seq"] for record in posted(hook)] == list(range(200))
        hook.bodies.clear()
    with Webhook(port) as hook:  # the open connection is gone
        sink.write(prediction(200))
        wait_until(lambda: sink.stats["sent"] == 201)
        assert [record["seq"] for record in posted(hook)] == [200]
    sink.close({})


def test_an_absent_receiver_causes_dropped_predictions_and_no_dropped_drift():
    sink = open_sink(f"http://127.0.0.1:{free_port()}/?queue=10&linger=0.2")
    for seq in range(100):
        sink.write(prediction(seq))
    sink.write_record(DRIFT)
    assert sink.stats["dropped"] in (88, 89, 90)  # one or two are being sent
    undelivered = [msgspec.json.decode(text) for text in sink.export_state()]
    assert [record["seq"] for record in undelivered if record["kind"] == "drift"] == [9]
    sink.close({"n_samples": 100})
    assert "dropped as the queue was full" in sink.notes[0]
    assert "not sent" in sink.notes[0]
    assert "refused" in sink.last_error.lower()


def block(seq, n):
    proba = [[0.75, 0.25]] * n
    return Predictions(
        seq, [12.5] * n, ["a"] * n, ["b"] * n, np.array(proba), ("a", "b"), [2] * n, "press 3"
    )


def test_a_block_fills_the_queue_and_waits_for_room_as_configured(tmp_path):
    dead = open_sink(f"http://127.0.0.1:{free_port()}/?queue=10&batch=4&linger=0.2&only=prediction")
    dead.write(prediction(0))
    wait_until(lambda: dead.stats["retries"])  # the first one is being sent
    for seq in range(1, 100, 33):
        dead.write_block(block(seq, 33))
    undelivered = [msgspec.json.decode(text) for text in dead.export_state()]
    assert [record["seq"] for record in undelivered] == list(range(11))
    assert undelivered[1] == {**undelivered[0], "seq": 1}
    assert dead.stats["dropped"] == 89
    dead.close({})
    assert "11 not sent" in dead.notes[0]
    again = open_sink(f"jsonl:{tmp_path}/out?only=prediction&queue=5&wait=60&batch=3")
    again.restore_state([msgspec.json.encode(record) for record in undelivered])
    for seq in range(11, 110, 33):
        again.write_block(block(seq, 33))
    again.close({})
    assert [record["seq"] for record in lines(tmp_path / "out")] == list(range(110))
    assert again.stats == {"sent": 110, "dropped": 0, "refused": 0, "retries": 0}


def test_the_learner_waits_for_a_slow_receiver_up_to_the_wait_option():
    sink = open_sink(f"http://127.0.0.1:{free_port()}/?queue=5&wait=0.5&linger=0")
    start = time.monotonic()
    for seq in range(200):
        sink.write(prediction(seq))
    assert 0.3 < time.monotonic() - start < 30
    assert sink.stats["dropped"] >= 190
    with Webhook() as hook:
        slow = open_sink(f"{hook.url}?queue=5&wait=60&only=prediction")
        for seq in range(300):
            slow.write(prediction(seq))
        slow.close({})
        assert [record["seq"] for record in posted(hook)] == list(range(300))
    sink.close({})


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize(("is_live", "n_dropped"), [(False, 0), (True, 39)])
def test_a_recording_waits_for_a_file_that_cannot_be_written_and_a_live_source_does_not(
    tmp_path, is_live, n_dropped
):
    path = tmp_path / "out.jsonl"
    path.symlink_to("/dev/full")
    sink = open_sink(f"jsonl:{path}?only=prediction&queue=10&batch=1&linger=60")
    sink.begin({"is_live": is_live, "checkpoint": None})
    sink.write(prediction(0))
    wait_until(lambda: sink.stats["retries"])
    for seq in range(1, 11):
        sink.write(prediction(seq))
    repair = threading.Timer(0.0 if is_live else 0.5, _replace, (path, tmp_path / "good.jsonl"))
    if not is_live:
        repair.start()
    for seq in range(11, 50):
        sink.write(prediction(seq))
    if is_live:
        repair.start()
    sink.close({})
    assert sink.stats["dropped"] == sink.n_lost == n_dropped
    assert [record["seq"] for record in lines(tmp_path / "good.jsonl")] == list(
        range(50 - n_dropped)
    )


def _replace(link, target):
    """Let a link show a good file: the disk has room again."""
    good = link.with_name("good link")
    good.symlink_to(target)
    good.replace(link)  # at once: the sink would make a file in between


def test_refusals_are_logged_once_a_minute(caplog, monkeypatch):
    caplog.set_level("WARNING", logger="loco_stream")
    sink = open_sink("exec:false?only=prediction")
    for seq in range(20):
        sink.write(prediction(seq))
    wait_until(lambda: sink.stats["refused"] == 20)
    (record,) = caplog.records
    assert "refuses records, 1 so far: " in record.getMessage()
    monkeypatch.setattr(sink, "_refusal_due", 0.0)  # a minute later
    sink.write(prediction(20))
    sink.close({})
    assert "refuses records, 21 so far: " in caplog.records[-1].getMessage()
    assert len(caplog.records) == 2


def test_an_outage_is_one_warning_and_so_is_the_first_drop(caplog):
    caplog.set_level("INFO", logger="loco_stream")
    port = free_port()
    sink = open_sink(f"http://127.0.0.1:{port}/?only=prediction&queue=5&linger=20")
    for seq in range(100):
        sink.write(prediction(seq))
    wait_until(lambda: sink.stats["retries"] > 2)
    with Webhook(port):
        wait_until(lambda: sink.stats["sent"] == 100 - sink.stats["dropped"])
    sink.close({})
    said = [
        (record.levelname, record.getMessage().partition(f"{sink.name}: ")[2])
        for record in caplog.records
    ]
    warnings = sorted(text for level, text in said if level == "WARNING")
    assert len(warnings) == 2
    assert "trying again" in warnings[0]
    assert "records are dropped" in warnings[1]
    assert [text for level, text in said if level == "INFO"] == ["records are sent again"]


def test_the_report_counts_lost_records_and_a_checkpoint_keeps_those_not_sent(tmp_path):
    rows = [Sample({"a": 1.0}, "x", i) for i in range(20)]

    def lost(**options):
        sink = open_sink(f"http://127.0.0.1:{free_port()}/?only=prediction&linger=0")
        report = StreamEngine(Means(), ListSource(rows), sinks=[sink], **options).run()
        assert "20 not sent" in report["notes"][0]
        return report["n_lost_records"]

    assert lost() == 20
    assert lost(checkpoint=tmp_path / "state") == 0

    class Broken(Sink):
        def write(self, prediction):
            raise KeyError("a bug")

    report = StreamEngine(Means(), ListSource(rows), sinks=[Broken()]).run()
    assert report["n_lost_records"] == 1


def test_the_check_of_a_path_leaves_no_file_behind(tmp_path):
    open_sink(f"jsonl:{tmp_path}/out.jsonl")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="Is a directory"):
        open_sink(f"jsonl:{tmp_path}")


def test_undelivered_records_are_stored_in_the_checkpoint(tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}/?linger=0&batch=100"
    rows = [Sample({"a": float(i % 2)}, "xy"[i % 2], i, source="s") for i in range(50)]
    first = StreamEngine(
        Means(), ListSource(rows[:40]), sinks=[open_sink(url)], checkpoint=tmp_path / "state"
    )
    first.run()
    with Webhook(port) as hook:
        sinks = [open_sink(url.replace("linger=0", "linger=20"))]
        StreamEngine(
            Means(), ListSource(rows), sinks=sinks, checkpoint=tmp_path / "state", resume=True
        ).run()
        seqs = [record["seq"] for record in posted(hook) if record["kind"] == "prediction"]
    assert seqs == list(range(50))
    again = StreamEngine(
        Means(), ListSource(rows), checkpoint=tmp_path / "state", resume=True
    ).run()
    assert f"may not have delivered to {sinks[0].name}: this run" in again["notes"][0]


def test_each_prediction_is_sent_soon_after_any_idle_time(tmp_path):
    sink = open_sink(f"jsonl:{tmp_path}/out.jsonl")
    for seq in range(100):
        sink.write(prediction(seq)) if seq % 2 else sink.write_block(block(seq, 1))
        wait_until(lambda seq=seq: sink.stats["sent"] == seq + 1)
    sink.close({})
    assert [record["seq"] for record in lines(tmp_path / "out.jsonl")][:100] == list(range(100))


def test_a_spurious_wake_up_does_not_delay_the_next_record(tmp_path):
    sink = open_sink(f"jsonl:{tmp_path}/out.jsonl")
    sink.write(prediction(0))
    wait_until(lambda: sink.stats["sent"] == 1 and sink._asleep)
    # As if the thread took the record between the moment the learner saw it asleep and this call.
    sink._wake()
    time.sleep(0.1)
    sink.write(prediction(1))
    wait_until(lambda: sink.stats["sent"] == 2)
    sink.close({})


def test_a_failed_sink_raises_its_error_at_the_next_prediction():
    class Broken(JSONLSink):
        def send(self, records):
            raise KeyError("a bug")

    sink = Broken("-")
    sink.write(prediction(0))
    wait_until(lambda: not sink._thread.is_alive())
    with pytest.raises(KeyError, match="a bug"):
        sink.write(prediction(1))


def test_a_record_that_cannot_be_encoded_sends_no_partial_message():
    sink = open_sink("zmq+pub://127.0.0.1:*")
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.subscribe("")
        subscriber.connect(sink.address)
        time.sleep(0.2)
        with pytest.raises(UnicodeEncodeError):
            sink.send([{"kind": "prediction", "label": "a\udcff"}])
        sink.send([{"kind": "report"}])
        assert subscriber.poll(5000)
        assert [frame.decode() for frame in subscriber.recv_multipart()] == [
            "report",
            '{"kind":"report"}',
        ]
    sink.close({})


def test_a_subscriber_receives_two_frames_per_record_of_its_kinds():
    sink = open_sink("zmq+pub://127.0.0.1:*")
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.subscribe("drift")
        subscriber.connect(sink.address)
        while not subscriber.poll(20):
            sink.write(prediction(1))
            sink.write_record(DRIFT)
        kind, text = subscriber.recv_multipart()
        assert (kind, json.loads(text)) == (b"drift", DRIFT)
        subscriber.linger = 0
    sink.close({})


def test_a_port_that_other_machines_can_reach_needs_keys():
    with pytest.raises(SourceError, match="CURVE"):
        open_sink("zmq+pub://0.0.0.0:5557")


def test_a_command_reads_the_record_from_stdin_without_a_shell(tmp_path):
    script = tmp_path / "append.py"
    script.write_text(
        f"import sys; open({str(tmp_path / 'out')!r}, 'a').write(sys.argv[1] + sys.stdin.read())"
    )
    sink = open_sink(f"exec:{sys.executable} {script} '$HOME; exit?'")
    sink.write_record(DRIFT)
    sink.write_record({**DRIFT, "kind": "task"})
    sink.close({})
    found = [
        json.loads(line.removeprefix("$HOME; exit?"))
        for line in (tmp_path / "out").read_text().splitlines()
    ]
    assert [record["kind"] for record in found] == ["drift", "task"]
    assert sink.stats["sent"] == 2


def test_a_failing_or_hanging_command_is_counted_as_refused():
    failing = open_sink(f"exec:{sys.executable} -c 'import sys; sys.exit(\"no mail today\")'")
    failing.write_record(DRIFT)
    failing.close({})
    assert failing.stats["refused"] == 1
    assert "ended with 1: no mail today" in failing.notes[0]
    hanging = open_sink("exec:sleep 60?timeout=0.1")
    hanging.write_record(DRIFT)
    hanging.close({})
    assert "took longer than 0.1 s" in hanging.notes[0]


def test_the_run_continues_without_a_sink_whose_thread_failed(tmp_path):
    class Broken(JSONLSink):
        def send(self, records):
            raise KeyError("a bug")

    rows = [Sample({"a": 1.0}, "x", i) for i in range(20)]
    report = StreamEngine(Means(), ListSource(rows), sinks=[Broken("-")]).run()
    assert (report["n_samples"], report["n_ended"] + report["sinks"]["retries jsonl:-"]) in {
        (20, 1),
        (20, 0),
    }
    assert any("jsonl:- failed: KeyError" in note for note in report["notes"])


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("kafak://h/t", r"there is no sink 'kafak:'"),
        ("jsonl", r"'jsonl' has no address; the form is jsonl:PATH"),
        ("jsonl:", r"must have an address after 'jsonl:'"),
        ("jsonl:/no/such/folder/x", r"there is no folder /no/such/folder"),
        ("jsonl:/proc/p.jsonl", r"cannot write /proc/p.jsonl: No such file"),
        ("jsonl:x?onyl=drift", r"no option 'onyl'; did you mean 'only'"),
        ("jsonl:x?only=drfit", r"drfit"),
        ("jsonl:x?queue=1&queue=2", r"jsonl: 'queue' must be given at most once"),
        ("jsonl:x?queue=many", r"`queue` must be a whole number, got 'many'"),
        ("jsonl:x?queue=0", r"`queue` must be at least 1 record, got 0"),
        ("jsonl:x?wait=nan", r"`wait` must be 0 seconds or more, got nan"),
        (
            "http://me:pass@host/x",
            r"must not hold a password, .* in LOCO_STREAM_HTTP_SECRET or secret_file",
        ),
        ("http://host/x?secret_file=/nowhere", r"cannot read secret_file /nowhere: No such file"),
        ("https://host:abc/x", r"with a port of 1 to 65535, got another host or port"),
        ("http://host:99999/x", r"with a port of 1 to 65535, got another host or port"),
        ("http://host:0/x", r"with a port of 1 to 65535, got another host or port"),
        ("http://[::1/x", r"with a port of 1 to 65535, got another host or port"),
        ("https://host/x?ca=/nowhere", r"cannot read the certificates /nowhere"),
        ("exec:no-such-program -x", r"there is no program 'no-such-program'"),
        ("exec:sh -c 'unfinished", r"cannot split"),
    ],
)
def test_an_invalid_url_is_refused(url, sentence):
    with pytest.raises(ConfigError, match=sentence):
        open_sink(url)


def test_a_file_of_sinks_must_be_readable_by_its_owner_alone(tmp_path):
    file = tmp_path / "sinks"
    file.write_text(
        "# drifts\n  # of both machines\nhttps://hooks.example.org/T0/SECRET?only=drift\n\njsonl:out\n"
    )
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="can be read by others: chmod 600"):
        sink_urls((f"@{file}",))
    file.chmod(0o600)
    urls = sink_urls((f"@{file}", "jsonl:more"))
    assert urls == ["https://hooks.example.org/T0/SECRET?only=drift", "jsonl:out", "jsonl:more"]
    assert "SECRET" not in open_sink(urls[0]).name
    with pytest.raises(ConfigError, match="there is no sink '#x:'"):
        open_sink(*sink_urls(("#x",)))


def test_a_password_in_the_url_of_a_webhook_is_refused():
    with pytest.raises(
        ConfigError, match=r"https: must not hold a password, .* `user` and `secret`"
    ):
        HTTPSink("https://me:pass@host/x")


def test_the_example_of_each_kind_has_its_scheme():
    for connector in connectors(SINKS):
        assert connector.example.partition(":")[0] == connector.scheme


def test_the_lifecycle_of_a_file(tmp_path):
    path = tmp_path / "out.jsonl"

    def received():
        records = lines(path) if path.exists() else []
        path.unlink(missing_ok=True)
        return records

    check_sink(lambda: open_sink(f"jsonl:{path}"), received=received)


def test_the_lifecycle_of_a_command(tmp_path):
    path = tmp_path / "out"
    n_read = 0

    def received():
        nonlocal n_read
        lines = path.read_text().split("\n")[:-1] if path.exists() else []  # the last one may grow
        new = lines[n_read:]
        n_read = len(lines)
        return new

    check_sink(lambda: open_sink(f"exec:sh -c 'cat >> {path}'"), received=received)


def test_the_lifecycle_of_a_webhook():
    port = free_port()
    url = f"http://127.0.0.1:{port}/?batch=10&linger=20"
    hooks = []

    def make_sink():
        if not hooks:
            hooks.append(Webhook(port).__enter__())
        return open_sink(url)

    def make_unreachable():
        hooks.pop().__exit__()
        return open_sink(url.replace("linger=20", "linger=0"))

    def received():
        (hook,) = hooks
        records = posted(hook)
        hook.bodies.clear()
        return records

    check_sink(make_sink, received=received, make_unreachable=make_unreachable)
    hooks.pop().__exit__()


def test_the_lifecycle_of_a_publisher():
    url = f"zmq+pub://127.0.0.1:{free_port()}"
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.setsockopt(zmq.RECONNECT_IVL, 10)
        subscriber.subscribe("")

        def make_sink():
            sink = open_sink(url)
            subscriber.connect(f"tcp:{url.removeprefix('zmq+pub:')}")
            while not subscriber.poll(10):  # until it has subscribed
                sink.send([{"kind": "first"}])
            received()
            return sink

        def received():
            records = []
            while subscriber.poll(50):
                records.append(json.loads(subscriber.recv_multipart()[1]))
            return [record for record in records if record["kind"] != "first"]

        check_sink(make_sink, received=received)
