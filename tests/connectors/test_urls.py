"""`open_source` and `open_sink`: schemes, addresses, options."""

from __future__ import annotations

from pathlib import Path

import pytest

from loco_stream.connectors import open_sink, open_source
from loco_stream.errors import ConfigError, SourceError


@pytest.mark.parametrize(
    ("url", "error", "text"),
    [
        (
            "rivr:Phishing",
            SourceError,
            r"^there is no source 'rivr:'; did you mean 'river'\? "
            r"\(sources: river, csv, jsonl, .*, lsl\)$",
        ),
        (
            "data.csv?target=y",
            SourceError,
            r"^'data.csv\?target=y' has no scheme; did you mean 'csv:data.csv\?target=y'\?$",
        ),
        ("csv", SourceError, "^'csv' has no address; the form is csv:PATH"),
        ("xyz:a", SourceError, r"^there is no source 'xyz:' \(sources: river:.*, csv:PATH.*\)$"),
        ("csv:", ConfigError, "must have an address after 'csv:', for example csv:PATH"),
        ("", SourceError, "a source must be named as SCHEME:ADDRESS, for example .*, got ''"),
        (
            "csv:a.csv&target=y&drop=b",
            ConfigError,
            r"^csv: options must begin with \?, got &; write 'csv:a.csv\?target=y&drop=b'$",
        ),
    ],
)
def test_bad_urls_are_answered_with_similar_ones(url, error, text):
    with pytest.raises(error, match=text):
        open_source(url)


def test_a_file_may_have_an_ampersand_and_a_word_in_its_name(tmp_path):
    path = tmp_path / "R&time"
    path.write_text("x,y\n1,a\n2,b\n")
    with pytest.raises(SourceError, match="`target` must name the label column"):  # it was read
        open_source(f"csv:{path}")


@pytest.mark.parametrize("url", [Path("rows.csv"), 5, None])
@pytest.mark.parametrize("open_url", [open_source, open_sink])
def test_what_is_no_text_is_no_url(open_url, url):
    with pytest.raises(ConfigError, match=r"^`url` must be a text such as csv:PATH"):
        open_url(url)


def test_a_duration_has_a_unit():
    for text in ("250ms", "0.25s", "0.25"):
        source = open_source(f"zmq+pull://127.0.0.1:*?idle={text}")
        assert source._idle == 0.25
        source.close()
    sink = open_sink("https://example.org/?linger=250ms")
    assert sink._linger == 0.25


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (
            "csv:rows.csv?separator=;&delimiter=,",
            r"'delimiter' \(or as separator\) must be given at most once",
        ),
        (
            "zmq+pull://127.0.0.1:*?bind=1&connect=1",
            r"'bind' \(or as connect\) must be given at most once",
        ),
    ],
)
def test_two_names_of_one_option_exclude_each_other(url, text):
    with pytest.raises(ConfigError, match=text):
        open_source(url)
