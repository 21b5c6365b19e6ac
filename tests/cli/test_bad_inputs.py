"""Invalid inputs end in one sentence and an exit code, without a traceback and without a loss."""

from __future__ import annotations

import json
import random
import socket
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner

from loco_stream._cli import main
from tests.helpers.engine_process import LOCO, SOAK

GOOD = "a,b,y\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(6))
LONG = "a,b,y\n" + "".join(f"{i},{i % 3},{i % 2}\n" for i in range(1001))
OBJECT = '{"a":1,"y":0}\n'
HUGE = "1" * 401

# Bad rows: file, content, error where they stop the run; rows learned, and kind, where they are
# skipped.
ROWS = [
    (
        "few.csv",
        GOOD + "1,2\n",
        "line 8 of few.csv must have 3 fields, as the header has, got 2",
        6,
        "too few fields",
    ),
    ("many.csv", GOOD + "1,2,3,4\n", "line 8 of many.csv must have 3 fields", 6, "too many fields"),
    ("quote.csv", GOOD + '"1,2,0\n3,4,1\n', "line 8 of quote.csv opens a quote", 7, "open quote"),
    (
        "long.csv",
        GOOD + f'"{"x" * 200_000}",1,0\n3,4,1\n',
        "line 8 of long.csv cannot be parsed",
        7,
        "unreadable",
    ),
    ("latin.csv", GOOD.encode() + b"\xff,1,0\n", "line 8 of latin.csv is not UTF-8", 6, "encoding"),
    (
        "value.csv",
        GOOD + "1e31,1,0\n",
        "line 8 of value.csv: feature 'a' must be a number from -1e+30 to 1e+30, got 1e+31",
        6,
        "value out of range",
    ),
    (
        "digits.csv",
        GOOD + f"{HUGE},1,0\n",
        "line 8 of digits.csv: feature 'a' must be a number from -1e+30 to 1e+30, got 1111",
        6,
        "value out of range",
    ),
    (
        "class.csv",
        GOOD + f"1,2,{HUGE}\n",
        "line 8 of class.csv: `y` must be an integer of 64 bits, got 1111",
        6,
        "label out of range",
    ),
    (
        "word.csv",
        LONG + "1,2,three\n",
        "line 1003 of word.csv: column 'y': the label must be a whole number",
        1001,
        "label of another type",
    ),
    (
        "half.csv",
        LONG + "1,2,0.5\n",
        "line 1003 of half.csv: column 'y': the label must be a whole number",
        1001,
        "label of another type",
    ),
    (
        "time.csv",
        "b,a,y\n1,2,0\nnoon,3,1\n",
        "line 3 of time.csv: `time` must be seconds since 1970 or an ISO 8601 date, got 'noon'",
        1,
        "time",
    ),
    (
        "words.jsonl",
        OBJECT + "nope\n",
        "line 2 of words.jsonl must be a flat JSON object",
        1,
        "no JSON",
    ),
    (
        "nan.jsonl",
        OBJECT + '{"a":NaN,"y":1}\n',
        "line 2 of nan.jsonl must be a flat JSON object",
        1,
        "no JSON",
    ),
    (
        "cut.jsonl",
        OBJECT + '{"a":1,"y":',
        "line 2 of cut.jsonl must be a flat JSON object",
        1,
        "no JSON",
    ),
    ("array.jsonl", OBJECT + "[1]\n", "the line must be a map, got a list", 1, "no object"),
    (
        "deep.jsonl",
        OBJECT + "[" * 100_000 + "\n",
        "line 2 of deep.jsonl must be a flat JSON object",
        1,
        "no object",
    ),
    (
        "nested.jsonl",
        OBJECT + '{"a":{"b":1},"y":0}\n',
        "line 2 of nested.jsonl must be a flat JSON object",
        1,
        "nested value",
    ),
    (
        "digits.jsonl",
        OBJECT + f'{{"a":{HUGE},"y":1}}\n',
        "line 2 of digits.jsonl: feature 'a'",
        1,
        "value out of range",
    ),
    (
        "bytes.jsonl",
        OBJECT.encode() + b'{"a":"\xff","y":1}\n',
        "line 2 of bytes.jsonl must be UTF-8",
        1,
        "encoding",
    ),
]
# Invalid inputs: file, content, source, further options, error.
WHOLE = [
    ("empty.csv", "", "csv:empty.csv?target=y", "", "empty.csv is empty"),
    ("blank.csv", "\n\n", "csv:blank.csv?target=y", "", "blank.csv is empty"),
    (
        "header.csv",
        "a,b,y\n",
        "csv:header.csv?target=y",
        "",
        "header.csv must have at least one row, got a header only",
    ),
    (
        "none.csv",
        "1,2,0\n3,4,1\n",
        "csv:none.csv?target=y",
        "",
        "none.csv must have a header, got numbers in its first line",
    ),
    (
        "row.csv",
        "1.5,2,on\n3,4,off\n",
        "csv:row.csv?target=y",
        "",
        "is its first line a row instead of a header?",
    ),
    (
        "twice.csv",
        "a,a,y\n1,2,3\n",
        "csv:twice.csv?target=y",
        "",
        "distinct column names, got 'a' twice",
    ),
    (
        "other.csv",
        GOOD.encode("utf-16"),
        "csv:other.csv?target=y",
        "",
        "the header of other.csv must be in utf-8; `encoding` names another",
    ),
    (
        "noise.csv",
        bytes(range(256)) * 9,
        "csv:noise.csv?target=y",
        "",
        "`target` must be a column, got 'y'",
    ),
    (
        "wide.csv",
        ",".join(f"c{i}" for i in range(5000)) + "\n1\n",
        "csv:wide.csv?target=c0",
        "",
        "has 4999 features|fields",
    ),
    ("bad.csv.gz", b"\x1f\x8bnope", "csv:bad.csv.gz?target=y", "", "cannot read bad.csv.gz"),
    ("", "", "csv:nowhere.csv?target=y", "", "cannot read nowhere.csv: No such file"),
    ("", "", "csv:.?target=y", "", "folder|no regular file|directory"),
    ("ok.csv", GOOD, "csv:ok.csv", "", "`target` must name the label column"),
    ("ok.csv", GOOD, "csv:ok.csv?target=z", "", "`target` must be a column, got 'z'"),
    ("ok.csv", GOOD, "csv:ok.csv?target=y&drop=c", "", "`drop` must be a column, got 'c'"),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y&tagret=y",
        "",
        "has no option 'tagret'; did you mean 'target'",
    ),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y&delimiter=ab",
        "",
        "`delimiter` must be one character or 'tab'",
    ),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y&on_bad=ignore",
        "",
        "`on_bad` must be 'stop' or 'skip', got 'ignore'",
    ),
    ("ok.csv", GOOD, "csv:ok.csv?target=y&rate=fast", "", "`rate` must be a number, got 'fast'"),
    ("ok.csv", GOOD, "csv:ok.csv?target=y&time=c", "", "`time` must be a column, got 'c'"),
    ("ok.csv", GOOD, "ok.csv", "", "did you mean 'csv:ok.csv'"),
    (
        "empty.jsonl",
        "",
        "jsonl:empty.jsonl?target=y",
        "",
        "empty.jsonl must have at least one line with a JSON object",
    ),
    (
        "bare.jsonl",
        "{}\n",
        "jsonl:bare.jsonl?target=y",
        "",
        "`target` must be a column, got 'y' (the source has none)",
    ),
    ("ok.jsonl", OBJECT, "jsonl:ok.jsonl?target=z", "", "`target` must be a column, got 'z'"),
    ("one.npy", np.ones(3), "npy:one.npy", "", "must be numbers of shape"),
    ("text.npy", "nope", "npy:text.npy", "", "text.npy must be an array of numbers"),
    ("ok.npy", np.ones((2, 3)), "npy:ok.npy?target=9", "", "the label column of"),
    ("bad.parquet", "nope", "parquet:bad.parquet?target=y", "", "cannot read bad.parquet"),
    ("", "", "", "", "a source must be named as SCHEME:ADDRESS, for example river:|got ''"),
    ("", "", "rivr:ImageSegments", "", "no source 'rivr:'; did you mean 'river'"),
    (
        "",
        "",
        "river:ImageSegment",
        "",
        "river has no dataset 'ImageSegment'; did you mean 'ImageSegments'",
    ),
    ("", "", "zmq+pull://nohost", "", "`address` must be tcp://HOST:PORT"),
    ("", "", "zmq+pull://127.0.0.1:99999", "", "with a port of 1..65535"),
    ("", "", "mqtt://", "", "must have an address after 'mqtt:'"),
    ("", "", "lsl:", "", "must have an address after 'lsl:'"),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--report .",
        "--report: cannot write .: it is a folder",
    ),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--report no/r.json",
        "--report: cannot write no/r.json: there is no folder",
    ),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--plot x.gif", "--plot: x.gif must end in one of"),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--plot no/x.png",
        "--plot: cannot write no/x.png: there is no folder",
    ),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--report /proc/r.json",
        "--report: cannot write /proc/r.json: No such file",
    ),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--plot /proc/x.png",
        "--plot: cannot write /proc/x.png: No such file",
    ),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--sink jsonl:.", "cannot write"),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--missing text",
        "`--missing` must be a finite number, got 'text'",
    ),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--log-level WARN",
        "`--log-level` must be debug, info, warning or error, got 'WARN'",
    ),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--predictions .", "--sink jsonl:FILE"),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--window 5", "--score-window"),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--stay", "`--stay` needs --dashboard"),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--dashboard-port 1", "needs --dashboard"),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--drift-detector ADWN", "did you mean 'ADWIN'"),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--set rule=x",
        "`rule` must be 'loco', 'np' or 'frozen'",
    ),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--set ruel=np", "no parameter 'ruel'"),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--set rule={[]:1}", "`rule` must be "),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--set hidden_sizes=8 --set hidden-sizes=9",
        "`--set` must give each name once, got hidden_sizes twice",
    ),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--limit sources=8 --limit sources=9",
        "`--limit` must give each name once, got sources twice",
    ),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--limit rows=x",
        "`--limit`: `rows` must be a number, got 'x'",
    ),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--sink=", "a sink must be named as SCHEME:ADDRESS"),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--resume", "`--resume` needs --checkpoint DIR"),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--checkpoint ok.csv",
        "cannot use the checkpoint folder ok.csv",
    ),
    (
        "ok.csv",
        GOOD,
        "csv:ok.csv?target=y",
        "--at-precision nan",
        "`--at-precision` must be above 0 and up to 1, got nan",
    ),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--checkpoint=", "`--checkpoint` must be a path"),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--keys=", "`--keys` must be a path, got ''"),
    ("ok.csv", GOOD, "csv:ok.csv?target=y", "--max-samples 0", "--max-samples"),
]
TIMES = {"time.csv": "&time=b"}


def in_process(*command):
    result = CliRunner().invoke(main, command)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def in_own_process(*command):
    done = subprocess.run(
        [*LOCO, *command], capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout, done.stderr


def write(path, content):
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def checked(run, *command):
    code, out, errors = run("run", *command, "--json")
    assert "Traceback" not in errors + out
    return code, out, errors.strip().splitlines()


def runs(cases, names):
    """Return the cases as parameters; every twelfth one, in a soak all, run in own processes."""
    own = (in_own_process, pytest.mark.slow)
    kinds = [own if SOAK or i % 12 == 0 else (in_process, ()) for i in range(len(cases))]
    cases = zip(kinds, cases, names, strict=True)
    return [pytest.param(run, case, id=name, marks=marks) for (run, marks), case, name in cases]


def test_there_are_at_least_sixty_cases():
    assert len(ROWS) + len(WHOLE) >= 60


@pytest.mark.parametrize(("run", "case"), runs(ROWS, [case[0] for case in ROWS]))
def test_a_bad_row_ends_the_run_or_is_skipped(run, case, tmp_path, monkeypatch):
    name, content, sentence, learned, kind = case
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name, content)
    source = f"{name.rpartition('.')[2]}:{name}?target=y{TIMES.get(name, '')}"
    code, out, errors = checked(run, source)
    assert (code, out) == (2, "")
    assert sentence in errors[-1]
    assert "; --on-bad skip" in errors[-1]
    code, out, errors = checked(run, source, "--on-bad", "skip", "--task", "classification")
    report = json.loads(out)
    assert (code, report["n_samples"], report["skipped"]) == (0, learned, {kind: 1})
    assert any(
        f"WARNING not used: 1 row left out (1 {kind}); the last error: " in line for line in errors
    )


@pytest.mark.parametrize(("run", "case"), runs(WHOLE, [f"{case[2]} {case[3]}" for case in WHOLE]))
def test_an_invalid_input_is_refused_in_a_sentence(run, case, tmp_path, monkeypatch):
    name, content, source, options, sentence = case
    monkeypatch.chdir(tmp_path)
    if name:
        write(tmp_path / name, content)
    before = sorted(tmp_path.iterdir())
    code, out, errors = checked(run, source, *options.split())
    assert (code, out) == (2, "")
    assert any(part in errors[-1] for part in sentence.split("|")), errors
    assert sorted(tmp_path.iterdir()) == before


def test_a_run_that_waits_for_its_first_rows_has_locked_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "ok.csv", GOOD)
    run = ("run", "csv:ok.csv?target=y", "--checkpoint", "state")
    refused = []

    def waits(*reader, **options):
        if not refused:
            refused.append(None)
            refused[0] = in_process(*run)
        return "classification"

    monkeypatch.setattr("loco_stream.engine._task.find_task", waits)
    assert in_process(*run)[0] == 0
    code, _, errors = refused[0]
    assert (code, "the checkpoint folder state is in use by another engine" in errors) == (2, True)


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("option", ["source", "http"])
def test_a_refused_service_leaves_no_new_folder(option, is_there, tmp_path):
    folder = tmp_path / "new" / "state"
    if is_there:
        folder.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        value = {"source": "rivr:X", "http": taken.getsockname()[1]}[option]
        code, _, errors = in_process("serve", f"--{option}={value}", f"--checkpoint={folder}")
    assert (code, errors.count("\n")) == (2, 1), errors
    assert [folder.exists(), folder.parent.exists()] == [is_there] * 2


BAD_LINES = {
    "csv": {
        "too few fields": "1.0,2\n",
        "too many fields": "1.0,2,3.5,4,5\n",
        "open quote": '1.0,"2,3.5,4\n',
        "unreadable": f'1.0,"{"x" * 140_000}",3.5,4\n',
        "encoding": "1.0,\udcff,3.5,4\n",
        "time": "1.0,2,3.5,noon\n",
        "value out of range": "1e31,2,3.5,4\n",
        "label of another type": "1.0,2,three,4\n",
        "label out of range": "1.0,2,1e31,4\n",
    },
    "jsonl": {
        "no JSON": '{"a":1.0,"b":\n',
        "no object": "[1.0,2]\n",
        "nested value": '{"a":[1.0],"b":2,"y":3.5,"t":4}\n',
        "encoding": '{"a":1.0,"b":"\udcff","y":3.5,"t":4}\n',
        "time": '{"a":1.0,"b":2,"y":3.5,"t":"noon"}\n',
        "value out of range": '{"a":1e31,"b":2,"y":3.5,"t":4}\n',
        "label of another type": '{"a":1.0,"b":2,"y":"three","t":4}\n',
        "label out of range": '{"a":1.0,"b":2,"y":1e31,"t":4}\n',
    },
}


def recording(kind, path, n_bad, rng, n):
    """Write n rows and bad rows of every kind among them; return the count of each kind."""
    counts = dict.fromkeys(BAD_LINES[kind], 0)
    places = set(rng.sample(range(2, n), n_bad))
    lines = ["a,b,y,t\n"] if kind == "csv" else []
    for i in range(n):
        a = i % 7 / 7
        b = i % 5
        y = i % 7 / 7 + i % 5
        t = float(i)
        lines.append(
            f"{a},{b},{y},{t}\n"
            if kind == "csv"
            else json.dumps({"a": a, "b": b, "y": y, "t": t}) + "\n"
        )
        if i in places:
            name = list(counts)[len(lines) % len(counts)]
            counts[name] += 1
            lines.append(BAD_LINES[kind][name])
    path.write_text("".join(lines), encoding="utf-8", errors="surrogateescape")
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_every_good_row_is_learned_and_every_bad_row_is_counted(kind, tmp_path):
    n = 10_000
    counts = recording(kind, tmp_path / f"dirty.{kind}", n // 100, random.Random(1), n)
    recording(kind, tmp_path / f"clean.{kind}", 0, random.Random(1), n)
    assert sum(counts.values()) == 100
    assert len({name for lines in BAD_LINES.values() for name in lines}) == 12
    states = []
    for name in ("dirty", "clean"):
        code, out, errors = in_own_process(
            "run",
            f"{kind}:{tmp_path / name}.{kind}?target=y&time=t",
            "--task",
            "regression",
            "--on-bad",
            "skip",
            "--set",
            "hidden_sizes=8",
            "--checkpoint",
            str(tmp_path / name),
            "--json",
        )
        assert code == 0, errors
        report = json.loads(out)
        assert report["n_samples"] == n
        assert report["skipped"] == (
            {kind: c for kind, c in counts.items() if c} if name == "dirty" else {}
        )
        _, out, _ = in_own_process("inspect", str(tmp_path / name), "--json")
        states.append(json.loads(out)["state_sha256"])
    assert states[0] == states[1]
