"""A picture of a net's shape for notebooks."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["draw"]

# pixels: between layers, of the picture, of a layer
_STEP = 120
_HEIGHT = 110
_WIDTH = 60
# height of a layer
_LEAST = 16
_MOST = 56


def draw(sizes: Sequence[int], neuron: str) -> str:
    """Return an SVG: the input and each layer as a box, the higher the more neurons, joined by arrows.

    Parameters
    ----------
    sizes
        Neurons of the input and of each layer.
    neuron
        Name of the neuron model.

    Examples
    --------
    >>> draw([3, 5], "lif").count("<rect")
    2
    """
    shape = " to ".join(map(str, sizes))
    parts = []
    middle = _HEIGHT / 2 - 8
    for i, size in enumerate(sizes):
        x = i * _STEP + 10
        height = _LEAST + (_MOST - _LEAST) * size / max(sizes)
        parts.append(
            f'<rect x="{x}" y="{middle - height / 2:.1f}" width="{_WIDTH}" height="{height:.1f}" rx="4" '
            'fill="currentColor" fill-opacity=".15" stroke="currentColor"/>'
        )
        name = "input" if i == 0 else f"layer {i - 1}"
        parts.append(f'<text x="{x + _WIDTH / 2}" y="{middle + 4}">{size}</text>')
        parts.append(f'<text x="{x + _WIDTH / 2}" y="{_HEIGHT - 6}">{name}</text>')
        if i:
            end = x - 4
            parts.append(
                f'<path d="M{x - _STEP + _WIDTH + 4} {middle}H{end}m-6 -4l6 4l-6 4" fill="none" stroke="currentColor"/>'
            )
    width = len(sizes) * _STEP - _STEP + _WIDTH + 20
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12" text-anchor="middle" fill="currentColor">'
        f"<title>{neuron} net of {shape} neurons</title>{''.join(parts)}</svg>"
    )
