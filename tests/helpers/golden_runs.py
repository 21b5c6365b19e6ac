"""Fixed runs that golden files are made from.

Models of every kind on streams that depend on nothing but numpy.

The parameters are spelled as in release 0.2, where the constructor took all of them;
`split_parameters` sorts them into the constructor's own and those of `AdvancedOptions`.
"""

from __future__ import annotations

import numpy as np

SAVED_AFTER = 300  # rows learned when a model is saved
CONTINUED = 100  # rows of the expected predictions after that

CLASSIFIERS = {
    "default": {"seed": 1},
    "small": {"hidden_sizes": (24,), "seed": 2},
    "frozen": {"hidden_sizes": (24,), "rule": "frozen", "seed": 3},
    "deep_last": {
        "hidden_sizes": (16, 12, 8),
        "readout_layers": "last",
        "credit": "learned",
        "seed": 4,
    },
    "deep_all": {
        "hidden_sizes": (12, 10),
        "readout_layers": "all",
        "learning_rate": 200.0,
        "seed": 5,
    },
    "paper_credit": {
        "hidden_sizes": (16, 8),
        "credit": "perturbation",
        "readout_layers": "last",
        "seed": 6,
    },
    "plain_perturbation": {
        "hidden_sizes": (16,),
        "rule": "np",
        "credit": "perturbation",
        "seed": 7,
    },
    "clusters": {
        "hidden_sizes": (16, 8),
        "n_input_clusters": 4,
        "rank": 2,
        "orthogonality": 0.9,
        "seed": 8,
    },
    "delta": {"hidden_sizes": (16,), "readout": "delta", "seed": 9},
    "memory": {"hidden_sizes": (20,), "memory": (0.3, 50.0), "seed": 10},
    "delays": {"hidden_sizes": (20,), "max_delay": 3, "seed": 11},
    "memory_and_delays": {"hidden_sizes": (20,), "memory": (0.3, 20.0), "max_delay": 2, "seed": 12},
    "neighbors": {"hidden_sizes": (12,), "neighbors": 60, "centroids": 20, "seed": 13},
    "alif": {"hidden_sizes": (12,), "neuron": "alif", "seed": 14},
    "izhikevich": {"hidden_sizes": (6,), "neuron": "izhikevich", "seed": 15},
    "grid": {
        "hidden_sizes": (12,),
        "dt": 1.0,
        "reset": "zero",
        "tau": 15.0,
        "tau_trace": 10.0,
        "seed": 16,
    },
    "blocks": {
        "hidden_sizes": (16,),
        "cluster_size": 7,
        "orthogonality": 0.5,
        "plastic": 0.5,
        "seed": 17,
    },
    "balanced": {"hidden_sizes": (12,), "class_weight": "balanced", "seed": 18},
    "weighted": {"hidden_sizes": (12,), "class_weight": {"a": 2.0, "c": 0.5}, "seed": 19},
    "adaptive": {"hidden_sizes": (12,), "retention": 0.0, "leaks": (0.0, 1e-3), "seed": 20},
    "retentive": {"hidden_sizes": (16,), "retention": 0.95, "seed": 21},
    "wide": {"hidden_sizes": (20,), "seed": 22},
    "texts": {"hidden_sizes": (12,), "categories": 3, "seed": 23},
    "tickets": {"hidden_sizes": (16,), "memory": (0.3, 20.0), "seed": 24},
    "tickets_and_delays": {"hidden_sizes": (12,), "max_delay": 2, "neighbors": 30, "seed": 25},
}
REGRESSORS = {
    "values": {"hidden_sizes": (24,), "seed": 31},
    "values_memory": {"hidden_sizes": (20,), "memory": (0.3, 50.0), "seed": 32},
    "values_neighbors": {"hidden_sizes": (12,), "neighbors": 60, "seed": 33},
    "values_delays": {"hidden_sizes": (16,), "max_delay": 3, "seed": 34},
    "values_late": {"hidden_sizes": (16,), "seed": 35},
    "values_late_memory": {"hidden_sizes": (12,), "memory": (0.3, 20.0), "seed": 36},
}
# rows until the label
LATE = {"tickets": 5, "tickets_and_delays": 9, "values_late": 7, "values_late_memory": 7}


ADVANCED = {
    "credit", "readout", "readout_layers", "cluster_size", "perturbation_std", "orthogonality",
    "receptive_fields", "tau", "tau_trace", "gain", "window", "leaks", "plastic", "reset", "dt",
    "rank",
}  # fmt: skip


def split_parameters(parameters):
    """Return the parameters of 0.2 as those of 0.3 and of `AdvancedOptions`."""
    advanced = {name: value for name, value in parameters.items() if name in ADVANCED}
    own = {name: value for name, value in parameters.items() if name not in ADVANCED}
    if own.pop("n_input_clusters", 0):
        advanced |= {"projection": "clusters", "n_input_clusters": parameters["n_input_clusters"]}
    return own, advanced


def rows_of(name):
    """Return X (n, features), y and t of the stream that the model `name` learns."""
    n, seed = SAVED_AFTER + CONTINUED, (CLASSIFIERS | REGRESSORS)[name]["seed"]
    draw = np.random.RandomState(seed)
    width = 300 if name == "wide" else 5
    if name in REGRESSORS:
        X = draw.normal(size=(n, width))
        y = (
            X[:, 0]
            - 0.5 * X[:, 1] * X[:, 2]
            + 0.1 * np.cumsum(draw.normal(size=n))
            + 0.1 * draw.normal(size=n)
        )
        y[57] = 40.0
        labels = y.tolist()
    else:
        # three classes; one is absent in every other stretch, and two change places
        concept = np.arange(n) // 60
        slots = draw.randint(3, size=n)
        slots[(concept % 2 == 1) & (slots == 2)] = 0
        centres = draw.normal(scale=2.0, size=(3, width))
        X = centres[slots] + draw.normal(size=(n, width))
        swapped = (concept % 4 == 3) & (slots < 2)
        labels = [
            "abc"[1 - slot if swap else slot] for slot, swap in zip(slots, swapped, strict=True)
        ]
    X[draw.uniform(size=X.shape) < 0.02] = np.nan
    t = np.cumsum(draw.exponential(size=n))
    t[[20, 21]] = np.nan, t[10]
    return X, labels, t


def named_rows(name):
    """Return the rows of `rows_of` as dicts; those of the model with texts hold some."""
    X, y, t = rows_of(name)
    rows = [{f"x{j}": value for j, value in enumerate(row)} for row in X.tolist()]
    if name == "texts":
        for i, row in enumerate(rows):
            row["x4"] = ["red", "green", "blue", "grey", "pink"][i * i % 5]
    return rows, y, t


def by_name(name):
    """Return whether a model learns its rows one by one, by name."""
    return (
        name in LATE
        or name == "texts"
        or (CLASSIFIERS | REGRESSORS)[name].get("neuron") is not None
    )


def learn(model, name, begin, end):
    """Let a model predict and learn rows `begin` to `end`.

    Return what it predicted, one row of numbers each.
    """
    if name in LATE:
        return _learn_late(model, name, begin, end)
    if not by_name(name):
        X, y, t = rows_of(name)
        at = {"t": t[begin:end]} if "memory" in name else {}
        if name in REGRESSORS:
            values, intervals = model.learn_predict_interval_array(X[begin:end], y[begin:end], **at)
            return np.column_stack((values, intervals))
        return model.learn_predict_proba_array(X[begin:end], y[begin:end], **at)
    rows, y, _ = named_rows(name)
    predicted = []
    for x, label in zip(rows[begin:end], y[begin:end], strict=True):
        predicted.append([model.predict_proba_one(x).get(c, 0.0) for c in "abc"])
        model.learn_one(x, label)
    return np.array(predicted)


def _learn_late(model, name, begin, end):
    """Learn rows whose labels come some rows later, those of the last rows at the end."""
    rows, y, t = named_rows(name)
    waiting, predicted = [], []
    for i in range(begin, end):
        ticket = model.observe_one(rows[i], t=None if np.isnan(t[i]) else float(t[i]))
        proba = ticket.proba
        predicted.append(
            [ticket.prediction] if proba is None else [proba.get(c, 0.0) for c in "abc"]
        )
        waiting.append((ticket, y[i]))
        if len(waiting) > LATE[name]:
            model.learn_one(*waiting.pop(0))
    for ticket, label in waiting:
        model.learn_one(ticket, label)
    return np.array(predicted)
