"""Draw the pictures of the guide, each from a real run.

``python docs/pictures.py`` writes docs/images/*.svg.

Figures of depth are read from benchmarks/RESULTS.md; everything else is learned here, in about a
minute.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from river import datasets

from loco_stream import AdvancedOptions, LOCOClassifier, StreamEngine, TaskMonitor

HERE = Path(__file__).parent
IMAGES = HERE / "images"
mpl.use("agg")
mpl.rcParams.update(
    {
        "svg.hashsalt": "loco_stream",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
        "figure.facecolor": "white",
    }
)


def keep(name: str) -> None:
    """Write the figure at hand, without the date, so that equal runs give equal files."""
    plt.savefig(IMAGES / f"{name}.svg", metadata={"Date": None})
    plt.close()


def draw_path() -> None:
    """Draw how one sample becomes currents, spikes and an answer."""
    model = LOCOClassifier(seed=1)
    rows = list(datasets.Phishing())
    for x, y in rows[:1000]:
        model.learn_one(x, y)
    x, _ = rows[1001]
    names = sorted(x)
    table = np.array([[x[name] for name in names]])
    currents = model.encode_array(table, names)[0]
    proba = model.predict_proba_one(x)
    model.learn_one(*rows[1001])
    times, neurons = model.last_spikes_
    _, axes = plt.subplots(1, 4, figsize=(10, 2.8), width_ratios=(1.3, 1.6, 2.2, 0.8))
    axes[0].barh(names, table[0], color="#5b8db8")
    axes[0].set(title="1. the row", xlabel="value")
    axes[0].tick_params(axis="y", labelsize=6)
    axes[1].imshow(currents.reshape(len(names), -1), aspect="auto", cmap="Blues")
    axes[1].set(title="2. currents: nine fields a feature", xlabel="field", yticks=[])
    axes[2].plot(times, neurons, ".", markersize=2, color="#1c3f5f")
    axes[2].set(title="3. spikes of 128 neurons", xlabel="ms", ylabel="neuron")
    axes[3].bar([str(label) for label in proba], list(proba.values()), color="#c8843b")
    axes[3].set(title="4. answer", ylim=(0, 1))
    keep("path")


def results_of_depth() -> dict[str, list[float]]:
    """Read test accuracies at 3, 10 and 15 layers from the tables of results."""
    text = (HERE.parent / "benchmarks" / "RESULTS.md").read_text()
    section = text[text.index("## depth") : text.index("## wide")]
    found = re.findall(
        r"^\| ([\w' ]+) \| ([\d.]+) ±[\d.]+ \| ([\d.]+) ±[\d.]+ \| ([\d.]+) ±[\d.]+ \|$",
        section,
        re.M,
    )
    return {name: [float(value) for value in values] for name, *values in found}


def draw_depth() -> None:
    """Draw what LOCO changes: accuracy of deep networks."""
    words = {
        "default": "LOCO, default",
        "paper's credit": "LOCO, the paper's credit",
        "np": "node perturbation",
        "frozen": "frozen layers",
    }
    results = results_of_depth()
    _, axis = plt.subplots(figsize=(5, 3))
    for name, label in words.items():
        axis.plot([3, 10, 15], results[name], "o-", label=label)
    axis.set(xlabel="hidden layers", ylabel="test accuracy, %", xticks=[3, 10, 15], ylim=(0, 100))
    axis.legend(frameon=False)
    keep("depth")


def turns(n: int, n_turns: int, seed: int) -> Iterator[tuple[dict[str, float], str, int]]:
    """Yield rows of two concepts that take turns, n rows each: the same inputs, other labels."""
    rng = np.random.default_rng(seed)
    for turn in range(n_turns):
        for u, v in rng.uniform(-1, 1, (n, 2)):
            yield (
                {"u": u, "v": v},
                "in" if (u * v > 0) != (turn % 2 == 1 and u > 0) else "out",
                turn,
            )


def draw_memories() -> None:
    """Draw who speaks while two concepts take turns."""
    model = LOCOClassifier(seed=1)
    right = []
    says = []
    for x, y, _ in turns(2000, 4, seed=1):
        right.append(model.predict_one(x) == y)
        model.learn_one(x, y)
        says.append([model.mixture_["stack"], float(model.recalled[1] > 0)])
    _, axes = plt.subplots(2, 1, figsize=(7, 3.2), sharex=True)
    axes[0].plot(np.convolve(right, np.ones(100) / 100)[: len(right)], color="#1c3f5f")
    axes[0].set(
        ylabel="right, last 100", ylim=(0.3, 1.02), title="concept A, B, A, B, 2000 rows each"
    )
    axes[1].plot(np.array(says)[:, 1], color="#c8843b")
    axes[1].set(
        ylabel="an old model speaks", yticks=[0, 1], yticklabels=["no", "yes"], xlabel="row"
    )
    for axis in axes:
        for start in (2000, 4000, 6000):
            axis.axvline(start, color="grey", linestyle=":")
    keep("memories")


def classes_by_class() -> Iterator[tuple[dict[str, float], str]]:
    """Yield the rows of river's ImageSegments.

    Two classes, then two others, then the last three.
    """
    rows = list(datasets.ImageSegments())
    labels = sorted({y for _, y in rows})
    for group in (labels[:2], labels[2:4], labels[4:]):
        yield from ((x, y) for x, y in rows if y in group)


def draw_forgetting() -> None:
    """Draw the accuracy matrices of three tasks: the default, and one fast readout alone."""
    advanced = AdvancedOptions(leaks=(1e-2,), readout_layers="hidden")
    fast = {"retention": 0.0, "advanced": advanced}
    _, axes = plt.subplots(1, 2, figsize=(7, 3.2))
    for axis, settings, title in zip(
        axes, ({}, fast), ("default", "one fast readout alone"), strict=True
    ):
        monitor = TaskMonitor(share=0.2)
        facts = (
            StreamEngine(LOCOClassifier(seed=1, **settings), classes_by_class(), monitor=monitor)
            .run()
            .to_dict()
        )
        matrix = np.array(
            [[np.nan if v is None else v for v in row] for row in facts["accuracy_matrix"]], float
        )
        axis.imshow(100 * matrix, cmap="Blues", vmin=0, vmax=130)
        for (i, j), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                axis.text(j, i, f"{100 * value:.0f}", ha="center", va="center")
        ticks = range(len(matrix))
        points = 100 * facts["forgetting"]
        axis.set(
            xlabel="asked about task", ylabel="after learning task", xticks=ticks, yticks=ticks
        )
        axis.set_title(f"{title}: forgetting {points:.0f} points")
    keep("forgetting")


def learned(rows: tuple[NDArray[Any], NDArray[Any]], tail: int = 0, **settings: Any) -> float:
    """Return the accuracy of a run in percent, of the last rows if `tail` is given."""
    X, y = rows
    right = LOCOClassifier(seed=1, **settings).learn_predict_array(X, y) == y
    return 100 * float(right[-tail:].mean())


def wavy(n: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return rows whose border between two classes is bent, with a tenth of the labels wrong."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 6))
    y = (X[:, 1] > 0.7 * np.sin(4 * X[:, 0]) * np.sign(X[:, 2])).astype(int)
    return X, np.where(rng.random(n) < 0.05, 1 - y, y)


def wave(n: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a wave and whether it rises."""
    rng = np.random.default_rng(seed)
    phase = np.cumsum(rng.uniform(0.1, 0.3, n))
    return (np.sin(phase) + rng.normal(0, 0.02, n))[:, None], (np.cos(phase) > 0).astype(int)


def draw_sizes() -> None:
    """Draw more neurons, and frozen ones beside them."""
    sizes = (8, 16, 32, 64, 128, 256)
    rows = wavy(6000, 1)
    _, axis = plt.subplots(figsize=(5, 3))
    for rule in ("loco", "frozen"):
        scores = [learned(rows, hidden_sizes=size, rule=rule) for size in sizes]
        axis.plot(sizes, scores, "o-", label=f'rule="{rule}"')
    axis.set(
        xscale="log",
        xticks=sizes,
        xticklabels=map(str, sizes),
        xlabel="hidden_sizes",
        ylabel="accuracy, %",
    )
    axis.minorticks_off()
    axis.legend(frameon=False)
    keep("sizes")


def draw_retention() -> None:
    """Draw how fast an old concept is back."""
    values = (0.0, 0.25, 0.5, 0.75, 1.0)
    stream = list(turns(2000, 4, seed=1))
    X = np.array([list(x.values()) for x, _, _ in stream])
    y = np.array([label for _, label, _ in stream])
    _, axis = plt.subplots(figsize=(5, 3))
    back = []
    new = []
    for value in values:
        right = LOCOClassifier(seed=1, retention=value).learn_predict_array(X, y) == y
        new.append(100 * right[2000:2200].mean())
        back.append(100 * np.concatenate([right[4000:4200], right[6000:6200]]).mean())
    axis.plot(values, back, "o-", label="first 200 rows when a concept is back")
    axis.plot(values, new, "o--", label="first 200 rows of a new concept")
    axis.set(xlabel="retention", ylabel="accuracy, %", ylim=(80, 100))
    axis.legend(frameon=False)
    keep("retention")


def draw_leaks() -> None:
    """Draw one speed of forgetting against several, while a border turns."""
    rng = np.random.default_rng(3)
    choices = {"(0,)": (0.0,), "(1e-4,)": (1e-4,), "(1e-2,)": (1e-2,), "(0, 1e-4, 1e-1)": None}
    speeds = {"still": 0.0, "turns slowly": 1e-3, "turns fast": 1e-2}
    _, axis = plt.subplots(figsize=(6, 3))
    for k, (label, leaks) in enumerate(choices.items()):
        scores = []
        for speed in speeds.values():
            X = rng.normal(size=(6000, 2))
            angle = speed * np.arange(6000)
            y = (X[:, 0] * np.cos(angle) + X[:, 1] * np.sin(angle) > 0).astype(int)
            advanced = AdvancedOptions(leaks=leaks)
            scores.append(learned((X, y), tail=4000, advanced=advanced))
        axis.bar(np.arange(3) + 0.2 * k, scores, 0.18, label=label)
    axis.set(xticks=np.arange(3) + 0.3, xticklabels=speeds, ylabel="accuracy, %", ylim=(80, 100))
    axis.legend(title="leaks", fontsize=7, loc="upper right")
    keep("leaks")


def draw_memory() -> None:
    """Draw what a memory brings where a row needs the rows before it."""
    choices = {
        "None": None,
        "(0.3, 3)": (0.3, 3.0),
        "(0.3, 50)": (0.3, 50.0),
        "(20, 500)": (20.0, 500.0),
    }
    _bars(
        "memory",
        [learned(wave(6000, 1), tail=2000, memory=value) for value in choices.values()],
        choices,
        "memory",
    )


def draw_weight() -> None:
    """Draw what a weight of a rare class costs and brings."""
    rng = np.random.default_rng(4)
    y = rng.random(10_000) < 0.02
    X = rng.normal(size=(10_000, 3)) + 1.3 * y[:, None]
    weights = (1, 3, 10, 30, 100)
    found = []
    false = []
    for weight in weights:
        model = LOCOClassifier(seed=1, class_weight={True: float(weight)})
        said = np.array([bool(label) for label in model.learn_predict_array(X, y)[5000:]])
        found.append(100 * said[y[5000:]].mean())
        false.append(100 * said[~y[5000:]].mean())
    _, axis = plt.subplots(figsize=(5, 3))
    axis.plot(weights, found, "o-", label="rare rows found")
    axis.plot(weights, false, "o--", label="false alarms among the others")
    axis.set(
        xscale="log",
        xlabel="class_weight of the rare class",
        ylabel="%",
        xticks=weights,
        xticklabels=map(str, weights),
    )
    axis.minorticks_off()
    axis.legend(frameon=False)
    keep("weight")


def _bars(name: str, scores: list[float], labels: Any, what: str) -> None:
    axis: Axes
    _, axis = plt.subplots(figsize=(5, 2.6))
    axis.bar(list(labels), scores, color="#5b8db8")
    axis.set(ylabel="accuracy, %", xlabel=what, ylim=(80, 100))
    keep(name)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for draw in (
        draw_path,
        draw_depth,
        draw_memories,
        draw_forgetting,
        draw_sizes,
        draw_retention,
        draw_leaks,
        draw_memory,
        draw_weight,
    ):
        draw()
        print(draw.__name__, flush=True)
