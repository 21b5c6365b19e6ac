"""What a notebook shows of nets and of what they recorded."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

from loco_stream import Network


def test_a_net_and_its_record_show_pictures(monkeypatch):
    net = Network.from_weights([[[1.0, 0.4]], [[1.0], [0.5]]])
    picture = ElementTree.fromstring(net._repr_svg_())
    texts = [node.text for node in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["1", "input", "2", "layer 0", "1", "layer 1"]
    record = net.run([2.0, 3.0], [0, 0], duration=10.0)
    assert record._repr_png_().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert record._repr_png_() is None
