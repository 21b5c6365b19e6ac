"""Notebooks show the shape of a net."""

from __future__ import annotations

from xml.etree import ElementTree

from loco_stream import Network


def test_the_picture_has_a_box_for_the_input_and_each_layer():
    net = Network.from_weights([[[1.0, 0.4]], [[1.0], [0.5]]])
    picture = ElementTree.fromstring(net._repr_svg_())
    texts = [node.text for node in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["1", "input", "2", "layer 0", "1", "layer 1"]
