"""`POST /label` and the line protocol of InfluxDB, with the official client.

HTTP as only source.
"""

from __future__ import annotations

import base64
import gzip
import json
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest

from loco_stream import LOCOClassifier, StreamEngine
from loco_stream.connectors._base.fields import FieldRoles
from loco_stream.dashboard._http_api import HttpApi
from loco_stream.engine._admission import NameBounds
from loco_stream.engine._inbox import InboxOnly, InboxSource
from loco_stream.errors import SourceError
from tests.helpers import servers
from tests.helpers.serving import wait_until

TOKEN = "s" * 43


class State:
    engine = None
    alarm = None
    status = {"phase": "starting", "n_samples": 0}  # noqa: RUF012


class Service:
    """An engine whose rows come by HTTP alone."""

    def __init__(self, token=None, fields=None, **options):
        self.state = State()
        self.token = token
        self.api = HttpApi(self.state, 0, token=token, fields=fields or FieldRoles())
        model = LOCOClassifier(hidden_sizes=(4,), seed=1)
        source = InboxSource(InboxOnly(), self.api.inbox)
        self.engine = StreamEngine(model, source, strict=False, forever=True, **options)
        self.records = []
        self.engine.on("prediction", self.records.append)
        self._thread = threading.Thread(target=self.engine.run)

    def __enter__(self):
        self.state.engine = self.engine
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.engine.stop()
        self._thread.join()
        self.api.close()

    def post(self, path, body, **headers):
        """Return the status and the decoded answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **headers}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.api.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["error"]

    def counts(self, *names):
        wait_until(lambda: "n_rows" in self.engine.status)
        return tuple(self.engine.status[name] for name in names)


def test_labels_find_their_rows_by_id():
    with Service() as service:
        rows = [{"id": i, "x": {"a": float(i % 2)}} for i in range(20)]
        status, answer = service.post("learn", {"rows": rows})
        assert (status, answer["learned"], answer["waiting"]) == (200, 0, 20)
        assert answer["rows"] == [{"status": "waiting"}] * 20
        assert service.post("label", {"id": 0, "label": "even"}) == (200, {"labels": 1})
        labels = [{"id": i, "label": ("even", "odd")[i % 2]} for i in range(1, 20)]
        assert service.post("label", {"labels": labels}) == (200, {"labels": 19})
        wait_until(lambda: service.counts("n_samples", "n_pending") == (20, 0))
        assert service.post("label", {"id": "7", "label": "odd"}) == (200, {"labels": 1})
        wait_until(lambda: service.counts("n_labels_repeated") == (1,))
        assert service.engine.model.predict_one({"a": 1.0}) == "odd"
    assert [r["id"] for r in service.records if "label" in r] == list(range(20))


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"label": "ok"}, 400, "give one label as id and label, or several as labels"),
        ({"id": 7}, 400, "`label` must be given; null says that the row will get none"),
        (
            {"id": 1, "label": [1]},
            400,
            "`label` must be a text, a number, true or false or null, got a list",
        ),
        ({"labels": []}, 413, "`labels` must have 1 to 256 entries, got 0"),
        (
            {"id": 1, "x": {}},
            400,
            "the body must not have the field `x`; it may have id, label, labels",
        ),
    ],
)
def test_invalid_labels_are_refused_in_a_sentence(body, status, sentence):
    with Service() as service:
        found = service.post("label", body)
    assert found[0] == status
    assert sentence in found[1]


def test_a_row_without_label_and_id_is_refused():
    with Service() as service:
        assert service.post("learn", {"x": {"a": 1.0}}) == (
            422,
            "`y` must be the label of the row, got none",
        )


LINES = b"""# a comment
press,site=a speed=0.5,state="ok" 1700000000000000000
press,site=b speed=1.5,state="worn",n=3i,on=t 1700000001000000000

"""


def test_lines_become_rows_and_are_learned_once():
    with Service(fields=FieldRoles(target="state", keep=("site",))) as service:
        for path in ("write", "api/v2/write?bucket=b&org=o", "api/v2/write"):
            assert service.post(path, LINES) == (204, None)
        zipped = gzip.compress(LINES)
        assert service.post("write", zipped, **{"Content-Encoding": "gzip"}) == (204, None)
        assert service.post("write", LINES, **{"Content-Encoding": "X-GZIP"})[0] == 400
        other = service.post("write", LINES, **{"Content-Encoding": "br"})
        assert other == (415, "`Content-Encoding` must be gzip or identity, got br")
        comment, rows = LINES.split(b"\n", 1)  # two gzip files, one after the other
        members = gzip.compress(comment + b"\n") + gzip.compress(rows)
        assert service.post("write", members, **{"Content-Encoding": "gzip"}) == (204, None)
        cut = service.post("write", zipped[:-9], **{"Content-Encoding": "gzip"})
        assert cut == (400, "the body is not gzip: it ends too early")
        wait_until(lambda: service.counts("n_samples", "n_rows_repeated") == (2, 8))
        features = {"speed", "measurement", "site", "n", "on"}
        assert set(service.engine.model.features) == features
    first, _ = service.records
    assert (first["t"], first["keep"], first["label"]) == (1.7e9, {"site": "a"}, "ok")
    assert first["id"] == "press,site=a 1700000000000000000"


def test_a_malformed_line_refuses_the_request():
    with Service() as service:
        status, sentence = service.post("write", LINES + b"no line\n")
        assert status == 400
        assert sentence.startswith("line 5: invalid line protocol")
        assert service.post("write?precision=w", LINES)[1].startswith("`precision` must be one of")


def test_the_official_client_writes_rows():
    from influxdb_client import InfluxDBClient, Point
    from influxdb_client.client.write_api import SYNCHRONOUS

    with Service(TOKEN, FieldRoles(target="state", id="order")) as service:
        url = service.api.url.rstrip("/")
        with InfluxDBClient(url, token=TOKEN, org="plant") as client:
            write = client.write_api(write_options=SYNCHRONOUS)
            points = [
                Point("press").tag("site", "a").field("speed", i / 2).field("order", i)
                for i in range(10)
            ]
            write.write(bucket="rows", record=points)
            labels = [{"id": i, "label": ("even", "odd")[i % 2]} for i in range(10)]
            service.post("label", {"labels": labels})
        wait_until(lambda: service.counts("n_samples") == (10,))
        assert set(service.engine.model.features) == {"speed", "measurement", "site"}


@servers.needs("influxd", "influxdb")
def test_an_influxdb_forwards_what_is_written_to_it(tmp_path):
    """A subscription of InfluxDB 1: whatever writes to that database, Telegraf for one."""
    database = servers.Influx(tmp_path)

    def send(path, body):
        url = f"http://127.0.0.1:{database.port}/{path}"
        urllib.request.urlopen(urllib.request.Request(url, body), timeout=60).read()

    try:
        with Service(fields=FieldRoles(target="state", id="order")) as service:
            where = service.api.url.rstrip("/")
            for order in (
                "CREATE DATABASE plant",
                f"CREATE SUBSCRIPTION loco ON plant.autogen DESTINATIONS ALL '{where}'",
            ):
                send("query", urllib.parse.urlencode({"q": order}).encode())

            def is_forwarded():  # the database looks for new subscriptions at its own pace
                send("write?db=plant", b'press,site=a speed=0.5,order=0i,state="ok"')
                return service.counts("n_samples") == (1,)

            wait_until(is_forwarded)
            for i in range(1, 40):
                line = f'press,site=a speed={i / 2},order={i}i,state="{("ok", "worn")[i % 2]}"'
                send("write?db=plant", line.encode())
            wait_until(lambda: service.counts("n_samples") == (40,))
            assert set(service.engine.model.features) == {"speed", "measurement", "site"}
    finally:
        database.stop()


def test_a_wrong_token_is_refused():
    with Service(TOKEN) as service:
        service.token = "wrong"
        assert service.post("write", LINES)[0] == 401
        assert service.post("label", {"id": 1, "label": "ok"})[0] == 401


def test_a_refused_label_is_named_with_its_id():
    with Service(bounds=NameBounds(classes=2)) as service:
        rows = [{"id": i, "x": {"a": float(i)}} for i in range(4)]
        service.post("learn", {"rows": rows})
        labels = [{"id": i, "label": ("a", "b", "c", "a")[i]} for i in range(4)]
        status, answer = service.post("label", {"labels": labels})
        assert (status, answer["labels"]) == (200, 3)
        assert [refused["id"] for refused in answer["refused"]] == [2]
        assert "2 classes" in answer["refused"][0]["reason"]
        status, sentence = service.post("label", {"id": 2, "label": "d"})
        assert status == 422
        assert "2 classes" in sentence


def test_rows_are_answered_by_what_becomes_of_each():
    with Service() as service:
        rows = [{"id": "p", "x": {"a": 0.0}}, {"x": {"a": 1.0}, "y": "ok"}]
        body = {"rows": rows, "source": "press", "seq": 1}
        status, answer = service.post("learn", body)
        assert (status, [row["status"] for row in answer["rows"]]) == (200, ["waiting", "learned"])
        status, answer = service.post("learn", body)
        assert (status, answer["repeated"]) == (200, 2)


def test_only_a_bearer_token_opens_rows_and_influx_has_its_own_scheme():
    with Service(token=TOKEN, fields=FieldRoles(target="state")) as service:
        service.token = None
        basic = base64.b64encode(b"user:" + TOKEN.encode()).decode()
        for shown in (TOKEN, f"Token {TOKEN}", f"Basic {basic}", "Bearer", "Bearer x"):
            row = {"x": {"a": 1.0}, "y": "ok"}
            assert service.post("learn", row, Authorization=shown)[0] == 401
        for shown in (f"Token {TOKEN}", f"Bearer {TOKEN}", f"Basic {basic}"):
            assert service.post("write", LINES, Authorization=shown)[0] == 204


def test_rows_over_http_alone_replace_no_position_of_another_source():
    """The seq that each sender had reached was lost with the next checkpoint."""
    source = InboxOnly()
    for own in ({}, source.position):
        source.seek(own)
    with pytest.raises(SourceError, match=r"^`position` of rows over HTTP must be"):
        source.seek({"press": {"1": 3600}})
