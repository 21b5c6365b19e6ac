"""Rows with texts and numbers."""

import random


def colours(n, seed=0, names=("red", "green", "blue")):
    """Yield rows whose label is the side of a threshold that depends on the colour.

    No column alone tells it.
    """
    draws = random.Random(seed)
    side = {colour: (draws.choice((-1, 1)), draws.uniform(-0.8, 0.8)) for colour in names}
    for _ in range(n):
        colour = draws.choice(names)
        size = draws.gauss(0.0, 1.0)
        sign, threshold = side[colour]
        yield {"colour": colour, "size": size}, "in" if sign * (size - threshold) > 0 else "out"
