"""Texts with quotes that pyarrow may parse, found without a regular expression where possible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loco_stream.connectors._base.csv_columns import ColumnParser, characters_of

FIELDS = st.sampled_from(["a", '"b"', '""', '","', '"c\nd"', '"e""f"', 'g"h', '"i"j', '"', ""])


def parser():
    return ColumnParser(["x", "y"], ["x", "y"], [], ",", ".")


def has_plain_quotes(text):
    return parser()._has_plain_quotes(*characters_of(text.encode()))


def test_a_delimiter_that_is_no_byte_is_left_to_the_other_reader():
    assert ColumnParser(["x", "y"], ["x", "y"], [], "§", ".").parse("1§2\n") is None


@given(st.lists(st.tuples(FIELDS, FIELDS, st.sampled_from(["\n", "\r\n"])), max_size=4))
def test_plain_quotes_are_those_that_the_regular_expression_takes_away(rows):
    text = "".join(f"{x},{y}{end}" for x, y, end in rows)
    if has_plain_quotes(text):
        assert '"' not in parser()._quoted.sub("", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2\n3,4\n", True),
        ('"1","2"\r\n3,"4, 5"\n', True),
        ('1,"2"', True),
        ('1,"2""3"\n', False),  # left to the regular expression
        ('1,"2\n3"\n', False),
        ('1,2"\n', False),
        ('"a,"b",c"\n', False),
        ('1,"2"3\n', False),
    ],
)
def test_which_quotes_are_plain(text, expected):
    assert has_plain_quotes(text) == expected
