"""The shape of a net as an SVG picture, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence

# Pixels: distance of layers, height of the picture, width of a layer, least and largest height.
_STEP = 120
_HEIGHT = 110
_WIDTH = 60
_LEAST = 16
_MOST = 56
_MIDDLE = _HEIGHT / 2 - 8


def draw(sizes: Sequence[int], neuron: str) -> str:
    """Return an SVG: input and layers as boxes, higher for more neurons, connected by arrows.

    sizes: neurons of the input and of each layer
    neuron: name of the neuron model

    Examples
    --------
    >>> draw([3, 5], "lif").count("<rect")
    2
    """
    boxes = "".join(_box(i, size, max(sizes)) for i, size in enumerate(sizes))
    arrows = "".join(_arrow(i) for i in range(1, len(sizes)))
    width = len(sizes) * _STEP - _STEP + _WIDTH + 20
    shape = " to ".join(map(str, sizes))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" role="img" '
        'font-family="sans-serif" font-size="12" text-anchor="middle" fill="currentColor">'
        f"<title>{neuron} net of {shape} neurons</title>{boxes}{arrows}</svg>"
    )


def _left(i: int) -> int:
    return i * _STEP + 10


def _box(i: int, size: int, largest: int) -> str:
    """Return the box and the texts of the input (0) or of layer i - 1."""
    x = _left(i)
    height = _LEAST + (_MOST - _LEAST) * size / largest
    name = "input" if i == 0 else f"layer {i - 1}"
    return (
        f'<rect x="{x}" y="{_MIDDLE - height / 2:.1f}" width="{_WIDTH}" height="{height:.1f}" '
        'rx="4" fill="currentColor" fill-opacity=".15" stroke="currentColor"/>'
        f'<text x="{x + _WIDTH / 2}" y="{_MIDDLE + 4}">{size}</text>'
        f'<text x="{x + _WIDTH / 2}" y="{_HEIGHT - 6}">{name}</text>'
    )


def _arrow(i: int) -> str:
    """Return the arrow to box `i` from the one before."""
    end = _left(i) - 4
    start = _left(i - 1) + _WIDTH + 4
    return f'<path d="M{start} {_MIDDLE}H{end}m-6 -4l6 4l-6 4" fill="none" stroke="currentColor"/>'
