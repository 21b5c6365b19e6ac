"""Write the sections of docs/page.md about the parts of the live page.

``python docs/panels.py`` takes them from the list of which the page makes its titles and help
texts. `tests/docs/test_page_guide.py` fails while both differ.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

PAGE = Path(__file__).with_name("page.md")
PANELS = PAGE.parents[1] / "loco_stream" / "dashboard" / "static" / "panels.js"
_MARKS = re.compile(r"(<!-- generated: python docs/panels.py -->\n).*?(<!-- end -->)", re.S)


def panels() -> list[dict[str, str]]:
    """Return the parts of the page: id, title, help, more, and the page of the guide to see."""
    text = PANELS.read_text()
    listed: list[dict[str, str]] = json.loads(text[text.index("= [") + 2 :].rstrip().rstrip(";"))
    return listed


def sections() -> str:
    """Return a section per part of the page."""
    return "\n".join(
        f"### {panel['title']}\n\n{panel['help']} {panel['more']} [More]({panel['see']})\n"
        if panel["see"] != PAGE.name
        else f"### {panel['title']}\n\n{panel['help']} {panel['more']}\n"
        for panel in panels()
    )


def page() -> str:
    """Return docs/page.md with the sections as they should be."""
    return _MARKS.sub(lambda found: f"{found[1]}\n{sections()}\n{found[2]}", PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(page())
