"""Folders named `loco_stream` that hide the installed package, and how to get rid of them.

Version 0.2 wrote compiled code into the package. Uninstalling it leaves this code behind, in a
folder that Python takes for a namespace package. Installs that work by an import hook, as editable
installs of 0.2 do, come second: `import loco_stream` finds an empty package. The hook still finds
its submodules, so `loco_stream._cli` can explain what happened.
"""

from __future__ import annotations

import sys
from pathlib import Path


def _is_leftover(folder: Path) -> bool:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return all(path.parent.name == "__pycache__" for path in files)


def explain_shadowing() -> str:
    """Return what to do if `loco_stream` was imported from a folder without a package, else ''."""
    package = sys.modules["loco_stream"]
    if getattr(package, "__file__", None) is not None:
        return ""
    folders = [Path(path) for path in package.__path__]
    if all(map(_is_leftover, folders)):
        names = ", ".join(map(str, folders))
        return (
            f"version 0.2 left compiled code in {names}, which hides the installed package: "
            "delete the folder"
        )
    parents = ", ".join(str(folder.parent) for folder in folders)
    return (
        f"a folder named loco_stream in {parents} hides the installed package: rename it, or "
        "reinstall loco-stream"
    )
