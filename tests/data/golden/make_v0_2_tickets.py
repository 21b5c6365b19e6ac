"""Make the golden tickets of format version 2: run in a checkout of commit f667e42, release 0.2.

    PYTHONPATH=. python make_v0_2_tickets.py FOLDER

Each small model learns `LEARNED` rows, observes `OBSERVED` more and is saved with them pending;
`tickets.npz` holds what each ticket said, and the predictions for the rows after the labels came.
"""

import sys
from pathlib import Path

import numpy as np

from loco_stream import LOCOClassifier, LOCORegressor, save

LEARNED = 260
OBSERVED = 6
PREDICTED = 4
COMMON = {"hidden_sizes": (4,), "categories": 0, "centroids": 0, "seed": 7}
CLASSIFIERS = {
    "all": {},
    "hidden": {"readout_layers": "hidden"},
    "last": {"readout_layers": "last", "hidden_sizes": (4, 3)},
    "delta": {"readout": "delta"},
    "context": {"readout_layers": "hidden", "memory": (0.3, 20.0), "max_delay": 2},
    "votes": {"readout_layers": "hidden", "neighbors": 10},
}
REGRESSORS = {
    "values": {},
    "values_hidden": {"readout_layers": "hidden", "memory": (0.3, 20.0)},
}


def rows():
    """Return rows, labels that change their meaning after 210 rows, and values."""
    n = LEARNED + OBSERVED + PREDICTED
    draw = np.random.RandomState(5)
    X = draw.normal(size=(n, 2))
    labels = (X[:, 0] > 0.0).astype(int) ^ (np.arange(n) >= 210)
    labels[X[:, 1] > 1.2] = 2
    return X, labels, X[:, 0] - X[:, 1] ** 2


def make(model, name, X, y, folder, content):
    model.learn_array(X[:LEARNED], y[:LEARNED])
    end = LEARNED + OBSERVED
    tickets = [model.observe_one(dict(enumerate(row))) for row in X[LEARNED:end].tolist()]
    save(model, folder / f"{name}.loco")
    content[f"{name} said"] = np.array([ticket.said for ticket in tickets])
    for ticket, label in zip(tickets, y[LEARNED:end], strict=True):
        model.learn_one(ticket, label.item())
    if name in REGRESSORS:
        content[f"{name} predicted"] = model.predict_array(X[end:])
    else:
        content[f"{name} predicted"] = model.predict_proba_array(X[end:])
        content[f"{name} recalled"] = np.array(model.recalled)


def main(folder):
    folder.mkdir(parents=True)
    X, labels, values = rows()
    content = {}
    for name, options in CLASSIFIERS.items():
        make(LOCOClassifier(**COMMON | options), name, X, labels, folder, content)
    for name, options in REGRESSORS.items():
        make(LOCORegressor(**COMMON | options), name, X, values, folder, content)
    np.savez_compressed(folder / "tickets.npz", **content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
