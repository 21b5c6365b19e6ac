from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from loco_stream._numbers import LARGEST, is_beyond, require_number, shown, to_number
from loco_stream.connectors._base.values import event_time, parse_cell
from loco_stream.connectors.ls1._messages import read_row
from loco_stream.connectors.ls1._row_encoder import RowEncoder
from loco_stream.errors import InputError, SourceError
from loco_stream.estimators._inputs.slots import FeatureSlots
from loco_stream.metrics import Prequential
from loco_stream.monitor._row_codec import RowCodec

NUMBERS = [
    3,
    True,
    2.5,
    np.float32(3),
    np.int8(3),
    np.bool_(True),
    Decimal(3),
    Fraction(1, 2),
    1e30,
    -1e30,
]
BEYOND = [1.1e30, -1e300, 10**400, 10**5000, Decimal(10) ** 40, np.float64(1e200)]
MISSING = [
    None,
    math.nan,
    math.inf,
    np.float32("-inf"),
    "3",
    "word",
    b"3",
    np.str_("3"),
    object(),
    1j,
]
MISSING += [np.datetime64(3, "s"), np.timedelta64(3, "s"), np.array([3.0]), np.array([[3.0]])]


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_a_number_is_one_for_model_monitor_metrics_and_wire(value):
    assert to_number(value) == float(value)
    assert not is_beyond(value)
    row = np.zeros(1)
    FeatureSlots(["a"]).fill({"a": value}, row)
    assert row[0] == float(value)
    assert RowCodec().encode({"a": value}) == ([float(value)], {})
    Prequential("regression").update(value, value)
    assert RowEncoder(["a"], None, None, "regression").table({"a": value})[0, 0] == np.float32(
        value
    )


@pytest.mark.parametrize("value", [*BEYOND, *MISSING], ids=lambda value: type(value).__name__)
def test_what_is_none_is_none_for_all(value):
    assert math.isnan(to_number(value))
    assert is_beyond(value) == any(value is other for other in BEYOND)
    row = np.zeros(1)
    FeatureSlots(["a"]).fill({"a": value}, row)
    assert not abs(row[0]) <= LARGEST  # the step masks NaN and what is beyond
    numbers, _ = RowCodec().encode({"a": value})
    assert np.isnan(numbers).all()
    with pytest.raises(
        InputError, match=r"`y_true` must be a finite number from -1e\+30 to 1e\+30, got "
    ):
        Prequential("regression").update(value, 1.0)


@pytest.mark.parametrize("y", ["x", None])
def test_an_error_shows_the_value_in_one_line(y):
    with pytest.raises(InputError, match=f"^`size` must be a finite number .*, got {y!r}$"):
        require_number("size", y)
    with pytest.raises(InputError, match=r", got 1000+\.\.\.$"):
        require_number("size", 10**400)
    with pytest.raises(InputError, match=r", got an integer of 16610 bits$"):
        require_number("size", 10**5000)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"x": {"a": 1%s}}' % ("0" * 400), "feature 'a' must be "),
        ('{"x": {"a": 1.5e300}}', "feature 'a' must be .* got 1.5e[+]300"),
        ('{"x": [1, -1e31]}', "feature '1' must be .* got -1e[+]31"),
        ('{"x": {"a": 1}, "y": 1.7e308}', "y must be .* got 1.7e[+]308"),
        ('{"x": {"a": 1}, "y": 1%s}' % ("0" * 400), "y must be "),
        ('{"x": {"a": 1}, "y": "%s"}' % ("long" * 200), "must have at most 255 bytes"),
    ],
)
def test_the_wire_refuses_a_row_that_nobody_can_learn(body, said):
    with pytest.raises(SourceError, match=said):
        read_row(body.encode())


def test_tables_and_times():
    assert [parse_cell(text) for text in ("inf", "-1e400", "nan", "1e30")] == [
        None,
        None,
        None,
        1e30,
    ]
    assert math.isnan(event_time(10**400))
    assert math.isnan(event_time("1" + "0" * 400))


def test_a_value_that_python_does_not_print_is_shown():
    assert shown(10**5000) == "an integer of 16610 bits"
    assert shown({"p": 10**5000}) == "a dict with an integer of more than 4300 digits"
