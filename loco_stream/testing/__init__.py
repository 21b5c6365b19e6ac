"""Checks of extensions: each runs one through everything that loco_stream requires of it.

A check raises `AssertionError` with a sentence that names what is wrong. The tests of this package
run every detector, expert, neuron model, sink and source through the same checks.
"""

from typing import TYPE_CHECKING

from loco_stream._lazy import lazy_names

if TYPE_CHECKING:
    from loco_stream.testing._detector import check_detector
    from loco_stream.testing._expert import check_expert
    from loco_stream.testing._neuron import check_neuron
    from loco_stream.testing._sink import check_sink
    from loco_stream.testing._source import check_source

__all__ = ["check_detector", "check_expert", "check_neuron", "check_sink", "check_source"]

_MODULES = {
    "check_detector": "_detector",
    "check_expert": "_expert",
    "check_neuron": "_neuron",
    "check_sink": "_sink",
    "check_source": "_source",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
