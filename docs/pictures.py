"""Draw the pictures of the guide.

``python docs/pictures.py`` draws those whose code or inputs changed since they were drawn,
``python docs/pictures.py NAME...`` the named ones, and ``python docs/pictures.py all`` all of them,
in about two minutes. Files are docs/images/NAME.svg. `docs/drawn.py` records what drew them.

Every curve is a run of this package, apart from two: `depth` reads benchmarks/RESULTS.md and
`speed` reads docs/results.md. Diagrams are in docs/diagrams.py.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import diagrams
import drawn
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from river import datasets
from river.datasets import synth

from loco_stream import (
    AdvancedOptions,
    LOCOClassifier,
    LOCODetector,
    LOCOForecaster,
    StreamEngine,
    TaskMonitor,
)
from loco_stream.stream import Labels, Sample

BLUE = "#1c3f5f"
LIGHT = "#5b8db8"
ORANGE = "#c8843b"
GREY = "#8c8c8c"
mpl.use("agg")
mpl.rcParams.update(
    {
        "svg.hashsalt": "loco_stream",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.prop_cycle": mpl.cycler(color=(ORANGE, BLUE, LIGHT, GREY)),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
        "figure.facecolor": "white",
    }
)


def draw_path() -> None:
    """Draw how one sample becomes currents, spikes and a prediction."""
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
    axes[0].barh(names, table[0], color=LIGHT)
    axes[0].set(title="1. the row", xlabel="value")
    axes[0].tick_params(axis="y", labelsize=6)
    axes[1].imshow(currents.reshape(len(names), -1), aspect="auto", cmap="Blues")
    axes[1].set(title="2. currents: nine fields per feature", xlabel="field", yticks=[])
    axes[2].plot(times, neurons, ".", markersize=2, color=BLUE)
    axes[2].set(title="3. spikes of 128 neurons", xlabel="ms", ylabel="neuron")
    axes[3].bar([str(label) for label in proba], list(proba.values()), color=ORANGE)
    axes[3].set(title="4. prediction", ylim=(0, 1))


def fruit(n: int) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield rows with two numbers, a truth value, a text and a date."""
    rng = np.random.default_rng(1)
    for _ in range(n):
        colour = ("red", "green", "blue")[rng.integers(3)]
        x = {
            "size": rng.normal(1.5, 0.2),
            "weight": rng.normal(80, 12),
            "washed": bool(rng.integers(2)),
            "colour": colour,
            "picked": datetime(2026, 9, 1),
        }
        yield x, "ripe" if colour == "red" else "raw"


def draw_inputs() -> None:
    """Draw the input currents of two rows with numbers, truth values, texts and missing values."""
    model = LOCOClassifier(seed=1)
    for x, y in fruit(400):
        model.learn_one(x, y)
    names = ["size", "weight", "washed", "picked", "colour"]
    shown: list[tuple[str, list[Any]]] = [
        ("a row", [1.72, 65.0, True, datetime(2026, 9, 1), "red"]),
        ("a row with a missing weight", [1.31, None, False, datetime(2026, 9, 2), "blue"]),
    ]
    table = np.array([values for _, values in shown], object)
    currents = model.encode_array(table, names).reshape(len(shown), -1, 9)
    # inputs in the order of the model: its features, and after them each text that it has learned
    inputs = list(model.features)
    texts = list(dict.fromkeys(x["colour"] for x, _ in fruit(400)))
    order = [inputs.index(name) for name in names[:-1]]
    order += [len(inputs) + k for k in range(len(texts))]
    _, axes = plt.subplots(1, 2, figsize=(7.2, 2.9))
    for axis, (title, values), own in zip(axes, shown, currents, strict=True):
        row = dict(zip(names, values, strict=True))
        ticks = [f"{name} = {row[name]}" for name in ("size", "weight", "washed")]
        ticks.append(f"picked = {row['picked']:%d %b}")
        ticks += [f"colour {text}: {'yes' if text == row['colour'] else 'no'}" for text in texts]
        image = axis.imshow(own[order], aspect="auto", cmap="Blues", vmin=0, vmax=1)
        axis.set(
            title=title,
            xlabel="receptive field, low to high values",
            yticks=range(len(ticks)),
            yticklabels=[text.replace("None", "missing") for text in ticks],
            xticks=range(9),
            xticklabels=range(1, 10),
        )
        axis.hlines(np.arange(len(ticks) - 1) + 0.5, -0.5, 8.5, color="white", linewidth=2)
        axis.tick_params(length=0)
        for k in np.flatnonzero(own[order].max(axis=1) == 0):
            axis.text(4, k, "no current", ha="center", va="center", fontsize=8, color="#555555")
    plt.colorbar(image, ax=axes, label="input current", shrink=0.8)


def draw_joins() -> None:
    """Draw when rows of one stream and labels of another one are joined by an id."""
    rows = [
        (2 * k, Sample({"level": float(k % 3)}, None, k, source="press", id=k)) for k in range(12)
    ]
    batches = {7: [0, 2], 13: [1, 7, 5], 21: [3, 4, 8, 9]}  # minute, and the ids of its labels
    labels = [
        (at, Labels(ids, ["ok"] * len(ids), at, "laboratory", by_id=True))
        for at, ids in batches.items()
    ]
    now = 0  # minute of the event that was read last
    found: dict[bool, dict[int, int]] = {False: {}, True: {}}  # minute of each id's records

    def stream() -> Iterator[Sample | Labels]:
        nonlocal now
        for minute, event in sorted([*rows, *labels], key=lambda item: item[0]):
            now = minute
            yield event

    engine = StreamEngine(LOCOClassifier(seed=1), stream(), task="classification")
    engine.on("prediction", lambda record: found["label" in record].update({record["id"]: now}))
    engine.run()
    came = {event.id: at for at, event in rows}
    told = {k: at for at, ids in batches.items() for k in ids}
    _, axes = plt.subplots(2, 1, figsize=(7.2, 3.4), sharex=True, height_ratios=(2, 1))
    for k, at in came.items():
        is_labelled = k in found[True]
        axes[0].plot(at, 1, "o", color=BLUE, mfc=BLUE if is_labelled else "white")
        axes[0].text(at, 1.13, str(k), ha="center", fontsize=8)
        if is_labelled:
            color = ORANGE if told[k] < at else LIGHT
            axes[0].plot([at, told[k]], [1, 0], color=color, linewidth=1)
    axes[0].plot(list(batches), [0] * len(batches), "s", color=BLUE)
    for at, ids in batches.items():
        text = "labels of " + ", ".join(map(str, ids))
        axes[0].text(at, -0.16, text, ha="center", va="top", fontsize=8)
    axes[0].set(yticks=[1, 0], yticklabels=["rows, with their id", "labels"], ylim=(-0.45, 1.3))
    axes[0].spines[["left", "bottom"]].set_visible(False)
    axes[0].tick_params(length=0)
    axes[0].plot([], [], color=LIGHT, label="label after its row")
    axes[0].plot([], [], color=ORANGE, label="label before its row")
    axes[0].plot([], [], "o", color=BLUE, mfc="white", label="no label so far")
    axes[0].legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    minutes = np.arange(0, 24)
    waiting = [
        sum(at <= minute < found[True].get(k, 99) for k, at in found[False].items())
        for minute in minutes
    ]
    axes[1].step(minutes, waiting, where="post", color=BLUE)
    axes[1].set(xlabel="time, minutes", ylabel="rows that wait\nfor a label", yticks=[0, 2, 4, 6])


def results_of_depth() -> dict[str, list[float]]:
    """Read test accuracies at 3, 10 and 15 layers from the tables of results."""
    found = re.findall(
        r"^\| ([\w' ]+) \| ([\d.]+) ±[\d.]+ \| ([\d.]+) ±[\d.]+ \| ([\d.]+) ±[\d.]+ \|$",
        drawn.section(*drawn.INPUTS["depth"]),
        re.M,
    )
    return {name: [float(value) for value in values] for name, *values in found}


def draw_depth() -> None:
    """Draw what LOCO changes: accuracy of deep networks."""
    styles = {  # the first two coincide: the default is drawn wide to show behind the other
        "default": ("LOCO, default", {"color": ORANGE, "linewidth": 5}),
        "paper's credit": ("LOCO, the paper's credit", {"color": BLUE, "linestyle": "--"}),
        "frozen": ("frozen layers", {"color": LIGHT}),
        "np": ("node perturbation", {"color": GREY}),
    }
    results = results_of_depth()
    _, axis = plt.subplots(figsize=(5, 3))
    for name, (label, style) in styles.items():
        axis.plot([3, 10, 15], results[name], marker="o", markersize=4, label=label, **style)
    axis.set(xlabel="hidden layers", ylabel="test accuracy, %", xticks=[3, 10, 15], ylim=(0, 100))
    axis.legend(frameon=False)


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


def draw_snapshots() -> None:
    """Draw when a snapshot of an earlier model predicts, while two concepts take turns."""
    model = LOCOClassifier(seed=1)
    correct = []
    recalled = []
    for x, y, _ in turns(2000, 4, seed=1):
        correct.append(model.predict_one(x) == y)
        model.learn_one(x, y)
        recalled.append(float(model.recalled[1] > 0))
    _, axes = plt.subplots(2, 1, figsize=(7, 3.2), sharex=True)
    axes[0].plot(np.convolve(correct, np.ones(100) / 100)[: len(correct)], color=BLUE)
    axes[0].set(
        ylabel="accuracy,\nlast 100 rows",
        ylim=(0.3, 1.02),
        title="concepts A, B, A, B, 2000 rows each",
    )
    axes[1].plot(recalled, color=ORANGE)
    axes[1].set(
        ylabel="a snapshot\npredicts", yticks=[0, 1], yticklabels=["no", "yes"], xlabel="row"
    )
    for axis in axes:
        for start in (2000, 4000, 6000):
            axis.axvline(start, color="grey", linestyle=":")


def draw_experts() -> None:
    """Draw the weights of the experts in the first rows, and where the labels change."""
    groups = {
        "experts on the features alone": (LIGHT, lambda name: "linear" in name or "Bayes" in name),
        "least squares on the spikes": (BLUE, lambda name: name.startswith("leak")),
        "combinations of all experts": (ORANGE, lambda name: "stack" in name),
    }
    model = LOCOClassifier(seed=1)
    weights = []
    for x, y, _ in turns(2000, 2, seed=1):
        model.learn_one(x, y)
        parts = model.mixture_.items()
        weights.append(
            [sum(v for name, v in parts if belongs(name)) for _, belongs in groups.values()]
        )
    shares = np.array(weights).T
    _, axes = plt.subplots(1, 2, figsize=(7, 2.8), sharey=True)
    colors = [color for color, _ in groups.values()]
    begin = np.unique(np.geomspace(1, 500, 100).astype(int))
    for axis, rows in zip(axes, (begin, np.arange(1900, 2301, 5)), strict=True):
        axis.stackplot(rows, shares[:, rows], colors=colors, labels=list(groups))
        axis.set(xlim=(rows[0], rows[-1]), ylim=(0, 1), xlabel="row")
    axes[0].set(xscale="log", ylabel="weight", title="the first rows")
    axes[0].set_xticks([1, 10, 100], ["1", "10", "100"])
    axes[1].axvline(2000, color="black", linestyle=":")
    axes[1].set(title="the labels change at row 2,000")
    axes[1].legend(*axes[0].get_legend_handles_labels(), fontsize=7, loc="lower right")


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
        axes, ({}, fast), ("default", "one member, leak 1e-2"), strict=True
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
        names = [str(k + 1) for k in ticks]
        points = 100 * facts["forgetting"]
        axis.set(
            xlabel="accuracy on task, %",
            ylabel="at the end of task",
            xticks=ticks,
            yticks=ticks,
            xticklabels=names,
            yticklabels=names,
        )
        axis.set_title(f"{title}: forgetting {points:.0f} points", fontsize=9)


def learned(rows: tuple[NDArray[Any], NDArray[Any]], tail: int = 0, **settings: Any) -> float:
    """Return the accuracy of a run in percent, of the last rows if `tail` is given."""
    X, y = rows
    right = LOCOClassifier(seed=1, **settings).learn_predict_array(X, y) == y
    return 100 * float(right[-tail:].mean())


def wavy(n: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return rows whose border between two classes is bent, 5 % of the labels wrong."""
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
    axis.plot(values, back, "o-", label="first 200 rows after a concept returns")
    axis.plot(values, new, "o--", label="first 200 rows of a new concept")
    axis.set(xlabel="retention", ylabel="accuracy, %", ylim=(80, 100))
    axis.legend(frameon=False)


def draw_leaks() -> None:
    """Draw one speed of forgetting against several, while a border turns."""
    rng = np.random.default_rng(3)
    choices = {"(0,)": (0.0,), "(1e-4,)": (1e-4,), "(1e-2,)": (1e-2,), "(0, 1e-4, 1e-1)": None}
    speeds = {"no change": 0.0, "slow turn": 1e-3, "fast turn": 1e-2}
    _, axis = plt.subplots(figsize=(6, 3))
    for label, leaks in choices.items():
        scores = []
        for speed in speeds.values():
            X = rng.normal(size=(6000, 2))
            angle = speed * np.arange(6000)
            y = (X[:, 0] * np.cos(angle) + X[:, 1] * np.sin(angle) > 0).astype(int)
            advanced = AdvancedOptions(leaks=leaks)
            scores.append(learned((X, y), tail=4000, advanced=advanced))
        axis.plot(range(3), scores, "o-", label=label)
    axis.set(xticks=range(3), xticklabels=speeds, ylabel="accuracy, %", xlim=(-0.2, 2.2))
    axis.legend(title="leaks", fontsize=8, frameon=False, loc="lower left")


def draw_memory() -> None:
    """Draw what a memory brings where a row needs the rows before it."""
    choices = {
        "None": None,
        "(0.3, 3)": (0.3, 3.0),
        "(0.3, 50)": (0.3, 50.0),
        "(20, 500)": (20.0, 500.0),
    }
    _points(
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
    axis.plot(weights, found, "o-", label="recall of the rare class")
    axis.plot(weights, false, "o--", label="share of other rows predicted as rare")
    axis.set(
        xscale="log",
        xlabel="class_weight of the rare class",
        ylabel="%",
        xticks=weights,
        xticklabels=map(str, weights),
    )
    axis.minorticks_off()
    axis.legend(frameon=False)


def draw_calibration() -> None:
    """Draw how often predictions are right, over the probability that they were given."""
    X, y = wavy(20_000, 1)
    model = LOCOClassifier(seed=1)
    proba = model.learn_predict_proba_array(X, y)[1000:]
    right = np.array(model.classes)[proba.argmax(axis=1)] == y[1000:]
    stated = proba.max(axis=1)
    edges = np.linspace(0.5, 1.0, 11)
    bins = np.digitize(stated, edges[1:-1])
    used = [k for k in range(10) if np.sum(bins == k) >= 100]
    means = [100 * stated[bins == k].mean() for k in used]
    _, axis = plt.subplots(figsize=(4.2, 3))
    axis.plot((50, 100), (50, 100), ":", color="grey", label="perfect")
    axis.plot(means, [100 * right[bins == k].mean() for k in used], "o-", color=ORANGE)
    axis.set(
        xlabel="probability of the predicted class, %",
        ylabel="share of correct predictions, %",
        xlim=(49, 101),
        ylim=(49, 101),
    )
    axis.legend(frameon=False)


def draw_speed() -> None:
    """Draw accuracy over speed of the learners on twelve streams."""
    labels = {  # in the table: in the picture, and where the text stands
        "**loco_stream, default**": ("loco_stream", (-52, 5)),
        "64 neurons (fast preset)": ("loco_stream, fast preset", (5, 3)),
        "ReLU net of 64, backprop, .03": ("backpropagation", (5, 3)),
        "256 random features + least squares": ("random features", (-30, 7)),
        "KNN": ("nearest neighbors", (5, 3)),
        "HAT": ("Hoeffding adaptive tree", (6, -8)),
        "LogReg": ("logistic regression", (5, 3)),
        "SLDA": ("linear discriminant", (5, 3)),
    }
    _, axis = plt.subplots(figsize=(6, 3.4))
    for row in drawn.section(*drawn.INPUTS["speed"]).splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if cells[0] in labels:
            speed, mean = float(cells[-1].replace(",", "")), float(cells[-2])
            text, offset = labels[cells[0]]
            axis.plot(speed, mean, "o", color=ORANGE if "loco" in text else BLUE)
            axis.annotate(text, (speed, mean), offset, textcoords="offset points", fontsize=7)
    axis.set(
        xscale="log",
        xlim=(2e3, 3e6),
        xlabel="rows per second of CPU time",
        ylabel="mean accuracy, %",
        ylim=(70, 94),
    )


def draw_modes() -> None:
    """Draw the accuracy on all classes so far in both prediction modes; classes come in groups."""
    rows = list(classes_by_class())
    names = sorted(rows[0][0])
    X = np.array([[x[name] for name in names] for x, _ in rows])
    y = np.array([label for _, label in rows])
    is_held = np.arange(len(rows)) % 5 == 4
    model = LOCOClassifier(seed=1)
    seen: list[int] = []
    scores: dict[bool, list[float]] = {True: [], False: []}
    known: set[str] = set()
    step = 60
    for start in range(0, len(rows), step):
        part = np.arange(start, min(start + step, len(rows)))
        part = part[~is_held[part]]
        model.learn_array(X[part], y[part])
        known |= set(y[part])
        asked = is_held & np.isin(y, list(known))
        seen.append(int(part[-1]))
        for mode, values in scores.items():
            correct = model.predict_array(X[asked], in_stream=mode) == y[asked]
            values.append(100 * float(np.mean(correct)))
    _, axis = plt.subplots(figsize=(7, 3))
    axis.plot(seen, scores[False], "o-", markersize=3, color=ORANGE, label="in_stream=False")
    axis.plot(seen, scores[True], "o-", markersize=3, color=BLUE, label="in_stream=True")
    for start in np.flatnonzero(np.diff([_group(label, y) for label in y])) + 1:
        axis.axvline(start, color="grey", linestyle=":")
    axis.set(
        xlabel="row; dotted: the stream goes on to other classes",
        ylabel="accuracy on held-out rows\nof all classes so far, %",
        ylim=(0, 102),
    )
    axis.legend(frameon=False, loc="lower left")


def _group(label: str, labels: NDArray[Any]) -> int:
    return min(sorted(set(labels)).index(label) // 2, 2)


def draw_delays() -> None:
    """Draw labels that depend on two rows: the bit of now, and the bit three rows before."""
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2, 4000)
    X = bits[:, None] + 0.1 * rng.normal(size=(4000, 1))
    y = bits ^ np.roll(bits, 3)
    choices: dict[str, dict[str, Any]] = {
        "neither": {},
        "memory=(0.3, 50)": {"memory": (0.3, 50.0)},
        "max_delay=5": {"max_delay": 5},
    }
    _, axis = plt.subplots(figsize=(6, 2.8))
    for (label, settings), color in zip(choices.items(), ("grey", LIGHT, ORANGE), strict=True):
        correct = LOCOClassifier(seed=1, **settings).learn_predict_array(X, y) == y
        mean = np.convolve(correct, np.ones(300) / 300, "valid")
        axis.plot(np.arange(300, 4001)[::10], 100 * mean[::10], color=color, label=label)
    axis.set(xlabel="row", ylabel="accuracy, last 300 rows, %", ylim=(40, 102))
    axis.legend(frameon=False, fontsize=8, loc="center right", bbox_to_anchor=(1.0, 0.75))


def draw_centroids() -> None:
    """Draw how many centroids moving blobs need."""
    values = (0, 30, 100, 300, 1000)
    stream = synth.RandomRBFDrift(
        seed_model=1, seed_sample=1, n_classes=3, n_features=4, n_centroids=30, change_speed=1e-4
    )
    rows = [(list(x.values()), label) for x, label in stream.take(8000)]
    X = np.array([x for x, _ in rows])
    y = np.array([label for _, label in rows])
    scores = [learned((X, y), tail=4000, centroids=value) for value in values]
    _, axis = plt.subplots(figsize=(5, 2.6))
    axis.plot(range(len(values)), scores, "o-", color=BLUE)
    axis.set(
        xticks=range(len(values)), xticklabels=values, xlabel="centroids", ylabel="accuracy, %"
    )


def draw_onset() -> None:
    """Draw both scores of the anomaly detector around a fault."""
    rng = np.random.default_rng(1)
    X = np.column_stack([4 + rng.normal(0, 0.1, 2000), 12 + rng.normal(0, 0.2, 2000)])
    X[1500:1560, 1] -= 5
    detector = LOCODetector(seed=1)
    scores = detector.learn_score_array(X)
    shown = slice(1300, 1800)
    rows = np.arange(2000)[shown]
    _, axes = plt.subplots(2, 1, figsize=(7, 3.4), sharex=True)
    axes[0].plot(rows, X[shown, 1], color=BLUE)
    axes[0].set(ylabel="flow")
    axes[1].plot(rows, scores.state[shown], color=LIGHT, label="state")
    axes[1].plot(rows, scores.onset[shown], color=ORANGE, label="onset")
    alarms = rows[scores.alarm[shown]]
    axes[1].plot(alarms, scores.onset[alarms], "v", color="black", label="alarm")
    axes[1].set(ylabel="score", xlabel="row")
    axes[1].legend(frameon=False, fontsize=8)


def draw_forecast() -> None:
    """Draw a forecast of two days with its interval."""
    rng = np.random.default_rng(1)
    hours = np.arange(1048)
    load = 50 + 20 * np.sin(hours * 2 * np.pi / 24) + rng.normal(0, 2, len(hours))
    model = LOCOForecaster(seed=1)
    for value in load[:1000]:
        model.learn_one(float(value))
    bands = np.array(model.forecast_interval(48, coverage=0.9))
    _, axis = plt.subplots(figsize=(7, 2.8))
    axis.plot(hours[930:1000], load[930:1000], color=BLUE, label="learned")
    axis.plot(hours[1000:], load[1000:], ".", color=BLUE, markersize=4, label="what came")
    axis.plot(hours[1000:], model.forecast(48), color=ORANGE, label="forecast")
    axis.fill_between(
        hours[1000:], bands[:, 0], bands[:, 1], color=ORANGE, alpha=0.2, label="90 % interval"
    )
    axis.set(xlabel="hour", ylabel="load")
    axis.legend(frameon=False, fontsize=7, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.18))


def _points(scores: list[float], labels: Any, what: str) -> None:
    axis: Axes
    _, axis = plt.subplots(figsize=(5, 2.6))
    axis.plot(list(labels), scores, "o", color=BLUE)
    axis.set(ylabel="accuracy, %", xlabel=what, ylim=(90, 100))


def main(asked: list[str]) -> None:
    """Draw pictures, and record what drew them."""
    names = drawn.names()
    changed = [name for name in drawn.changed() if name in names]
    chosen = names if asked == ["all"] else asked or changed
    drawn.IMAGES.mkdir(exist_ok=True)
    for name in chosen:
        function = globals().get(f"draw_{name}") or getattr(diagrams, f"draw_{name}")
        function()
        # without the date, so that equal runs give equal files
        plt.savefig(drawn.IMAGES / f"{name}.svg", metadata={"Date": None})
        plt.close()
        drawn.record([name])
        print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
