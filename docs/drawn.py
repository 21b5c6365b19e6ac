"""Records which code and which inputs drew each picture of the guide and of the README.

docs/images/drawn.json holds two checksums per picture: one of everything that decides how it looks
(the source of its function, the functions and constants that this function uses, and its input
files; for pictures that the package itself draws, the files in `DRAWN_BY_THE_PACKAGE`), and one of
the file. `changed` compares them, without drawing; tests/docs/test_pictures.py fails while a
picture is older than its code.

``python docs/drawn.py NAME...`` records pictures that the package has just drawn; `make pictures`
does all of it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
IMAGES = HERE / "images"
RECORD = IMAGES / "drawn.json"
SCRIPTS = ("pictures.py", "diagrams.py")
# Parts of files that pictures read: the lines from one heading to the next.
INPUTS = {
    "depth": ("../benchmarks/RESULTS.md", "## depth"),
    "speed": ("results.md", "## Twelve streams, one default"),
}

# Picture: its file, and the files of the repository that decide how it looks.
_PAGE = (
    *(
        f"loco_stream/dashboard/static/{name}.js"
        for name in (
            "compare",
            "draw",
            "help",
            "page",
            "panels",
            "tables",
            "view",
            "watch",
            "words",
        )
    ),
    "loco_stream/dashboard/static/index.html",
    "loco_stream/dashboard/static/page.css",
)
DRAWN_BY_THE_PACKAGE = {
    "page": ("docs/images/page.png", (*_PAGE, "demos/machine.py")),
    "page_unlabelled": ("docs/images/page_unlabelled.png", (*_PAGE, "demos/watch.py")),
    "page_phone": ("docs/images/page_phone.png", (*_PAGE, "demos/watch.py")),
    "page_compare": ("docs/images/page_compare.png", (*_PAGE, "docs/screenshots.py")),
    "run": ("demos/images/run.png", ("loco_stream/engine/_report_picture.py",)),
    "events": ("demos/images/events.png", ("demos/events.py",)),
}


def section(file: str, heading: str) -> str:
    """Return the lines of a page from a heading to the next one of the same level."""
    text = (HERE / file).read_text()
    start = text.index(f"\n{heading}\n") + 1
    following = re.search(r"^## ", text[start + 3 :], re.M)
    return text[start:] if following is None else text[start : start + 3 + following.start()]


@cache
def _definitions(script: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return the source of each definition of a script, and the names that occur in it."""
    text = (HERE / script).read_text()
    found = {}
    for node in ast.parse(text).body:
        source = ast.get_source_segment(text, node) or ""
        names = frozenset(part.id for part in ast.walk(node) if isinstance(part, ast.Name))
        if isinstance(node, ast.FunctionDef):
            found[node.name] = (source, names)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = (source, names)
    return found


def names() -> list[str]:
    """Return the pictures that scripts draw: `draw_NAME` draws images/NAME.svg."""
    return [
        name.removeprefix("draw_")
        for script in SCRIPTS
        for name in _definitions(script)
        if name.startswith("draw_")
    ]


def code_digest(picture: str) -> str:
    """Return a checksum of the code and the inputs that draw a picture."""
    if picture in DRAWN_BY_THE_PACKAGE:
        return _digest_of_files(DRAWN_BY_THE_PACKAGE[picture][1])
    script = next(s for s in SCRIPTS if f"draw_{picture}" in _definitions(s))
    definitions = _definitions(script)
    found: set[str] = set()
    left = {f"draw_{picture}"}
    while left:
        name = left.pop()
        found.add(name)
        left |= {used for used in definitions[name][1] if used in definitions} - found
    text = "\n".join(definitions[name][0] for name in sorted(found))
    if picture in INPUTS:
        text += section(*INPUTS[picture])
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_of_files(files: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.encode() + b"\0" + (HERE.parent / file).read_bytes())
    return digest.hexdigest()


def file_digest(picture: str) -> str:
    """Return a checksum of the file of a picture; empty if there is none."""
    own, _ = DRAWN_BY_THE_PACKAGE.get(picture, (f"docs/images/{picture}.svg", ()))
    file = HERE.parent / own
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def recorded() -> dict[str, dict[str, str]]:
    """Return the checksums of the pictures as they were drawn."""
    stored: dict[str, dict[str, str]] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return stored


def current(picture: str) -> dict[str, str]:
    """Return the checksums of a picture as code, inputs and file are now."""
    return {"code": code_digest(picture), "file": file_digest(picture)}


def changed() -> list[str]:
    """Return the pictures whose code, inputs or file differ from what was recorded."""
    stored = recorded()
    known = [*names(), *DRAWN_BY_THE_PACKAGE]
    return [picture for picture in known if stored.get(picture) != current(picture)]


def record(pictures: list[str]) -> None:
    """Record the checksums of pictures that were drawn just now; forget removed pictures."""
    known = {*names(), *DRAWN_BY_THE_PACKAGE}
    kept = {picture: value for picture, value in recorded().items() if picture in known}
    kept |= {picture: current(picture) for picture in pictures}
    RECORD.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    record(sys.argv[1:])
