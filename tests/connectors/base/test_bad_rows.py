"""Bad rows of recordings are reported by line, do not affect others, and are counted once."""

from __future__ import annotations

import re

import pytest

from loco_stream.connectors import open_source
from loco_stream.errors import ConfigError, SourceError

TABLE = (
    b"\n\nt,a,b,y\n"
    b'1,1,"x, y",1\n2,2,3\n3,3,"open,2\n4,4,ok,2\n5,5,"two\nlines",1\n6,6,\xff,1\n'
    b'7,7,"a"b,x\n8,8,9,y,z\nnoon,8,9,2\n'
    b'9,8,"9"z,2\n10,8,9,2\n'
)
LINES = (
    b'{"t":1,"a":1,"y":2}\n\n{"t":2,"a":1,"y":"x"}\n[1]\n{"a":\n{"t":3,"a":{"b":1},"y":1}\n{"t":4,"a":"\xff","y":1}\n'
    b'{"t":"noon","a":1,"y":1}\n{"t":5,"a":7,"y":3}\n'
)
MESSAGES = {
    "csv": [
        ("too few fields", "line 5 of .* must have 4 fields, as the header has, got 3"),
        ("open quote", "line 6 of .* opens a quote that is not closed properly"),
        ("encoding", "line 10 of .* is not UTF-8"),
        ("label of another type", "line 11 of .*: column 'y': the label must be a number, got 'x'"),
        ("too many fields", "line 12 of .* must have 4 fields, as the header has, got 5"),
        ("time", "line 13 of .*: `time` must be seconds .* got 'noon'"),
    ],
    "jsonl": [
        ("label of another type", "line 3 of .*: column 'y': the label must be a number, got 'x'"),
        ("no object", "line 4 of .* must be a flat JSON object"),
        ("nested value", "line 6 of .* must be a flat JSON object"),
        ("no JSON", "line 5 of .* must be a flat JSON object"),
        ("encoding", "line 7 of .* must be UTF-8"),
        ("time", "line 8 of .*: `time` must be seconds .* got 'noon'"),
    ],
}


@pytest.fixture(params=["csv", "jsonl"])
def recording(request, tmp_path):
    path = tmp_path / f"rows.{request.param}"
    path.write_bytes({"csv": TABLE, "jsonl": LINES}[request.param])
    return request.param, f"{request.param}:{path}?target=y&task=regression&time=t", path


def test_bad_rows_are_skipped_and_counted_by_kind(recording):
    kind, url, _ = recording
    source = open_source(url, on_bad="skip")
    rows = [event.x for event in source if event]
    good = {"csv": [1, 4, 5, 8, 8], "jsonl": [1, 7]}[kind]
    assert [row["a"] for row in rows] == good
    assert set(source.skipped) == {name for name, _ in MESSAGES[kind]}
    assert sum(source.skipped.values()) == {"csv": 6, "jsonl": 6}[kind]
    assert "line" in source.last_error


def test_each_raises_by_default_with_its_line_and_the_option(recording):
    kind, url, path = recording
    sentences = []
    while True:  # repair the file line by line
        try:
            list(open_source(url))
        except SourceError as error:
            sentences.append(str(error))
            lines = path.read_bytes().split(b"\n")
            lines[int(sentences[-1].split()[1]) - 1] = b""
            path.write_bytes(b"\n".join(lines))
        else:
            break
    assert len(sentences) == 6
    assert not any("--" in sentence for sentence in sentences)
    for _, sentence in MESSAGES[kind]:
        assert any(re.match(sentence, text) for text in sentences)


def test_a_resumed_run_counts_each_bad_row_once(recording):
    _, url, _ = recording
    whole = open_source(url, on_bad="skip")
    events = [
        (whole.position["row"], dict(whole.skipped), whole.fingerprint, event) for event in whole
    ]
    for row, before, fingerprint, event in events:
        again = open_source(url, on_bad="skip")
        again.seek({"row": row})
        again.verify(fingerprint)
        assert [e for e in again if e] == [e for r, _, _, e in events if e and r > row]
        total = {kind: before.get(kind, 0) + again.skipped.get(kind, 0) for kind in whole.skipped}
        assert total == whole.skipped, event


def test_an_open_quote_does_not_swallow_the_rest_of_the_file(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('a,y\n1,0\n"2,1\n' + "".join(f"{i},{i % 2}\n" for i in range(20_000)))
    source = open_source(f"csv:{path}?target=y&on_bad=skip")
    assert sum(1 for event in source if event) == 20_001
    assert source.skipped == {"open quote": 1}


def test_an_unknown_on_bad_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n1,0\n")
    with pytest.raises(ConfigError, match="`on_bad` must be 'stop' or 'skip', got 'ignore'"):
        open_source(f"csv:{path}?target=y&on_bad=ignore")


def test_the_error_names_the_option_that_skips_bad_rows(recording):
    with pytest.raises(SourceError) as caught:
        list(open_source(recording[1]))
    assert caught.value.option == "on_bad"
