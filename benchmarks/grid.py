"""A table for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.table import Table

__all__ = ["Grid", "percent", "with_deviation"]


@dataclass(slots=True)
class Grid:
    """A titled table of text cells; `mark_best` marks the best cell of a column.

    Examples
    --------
    >>> grid = Grid("accuracy", ["name", "digits"])
    >>> grid.row("ours", "97.0")
    >>> print(grid.markdown())
    **accuracy**
    <BLANKLINE>
    | name | digits |
    |---|---|
    | ours | 97.0 |
    """

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    marked: set[tuple[int, int]] = field(default_factory=set)

    def row(self, *cells: str) -> None:
        """Add a row of as many cells as there are columns."""
        self.rows.append(list(cells))

    def mark_best(self, column: int, values: Sequence[float | None], largest: bool = True) -> None:
        """Mark the rows with the best value in `column`; None is ignored."""
        known = [value for value in values if value is not None]
        if known:
            best = max(known) if largest else min(known)
            self.marked |= {(row, column) for row, value in enumerate(values) if value == best}

    def rich(self, width: int = 80) -> list[Table]:
        """Return the table for a terminal `width` characters wide, marked cells bold.

        A table that is too wide is split into several, each with the first column.
        """
        sizes = [
            3 + max(len(row[c]) for row in [list(self.columns), *self.rows])
            for c in range(len(self.columns))
        ]
        chunks: list[list[int]] = [[]]
        for c in range(1, len(sizes)):
            if chunks[-1] and sizes[0] + sum(sizes[k] for k in chunks[-1]) + sizes[c] >= width:
                chunks.append([])
            chunks[-1].append(c)
        return [
            self._part([0, *chunk], self.title if chunk is chunks[0] else None) for chunk in chunks
        ]

    def _part(self, chosen: Sequence[int], title: str | None) -> Table:
        table = Table(*(self.columns[c] for c in chosen), title=title, title_justify="left")
        for r, row in enumerate(self.rows):
            table.add_row(
                *(f"[bold]{row[c]}[/bold]" if (r, c) in self.marked else row[c] for c in chosen)
            )
        return table

    def markdown(self) -> str:
        """Return the table in Markdown, marked cells bold."""
        lines = [
            f"**{self.title}**",
            "",
            f"| {' | '.join(self.columns)} |",
            "|---" * len(self.columns) + "|",
        ]
        for r, row in enumerate(self.rows):
            cells = (f"**{cell}**" if (r, c) in self.marked else cell for c, cell in enumerate(row))
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)


def percent(value: float | None, deviation: float | None = None) -> str:
    """Return a fraction in percent with one decimal, with its standard deviation if given.

    "-" for None.

    Examples
    --------
    >>> percent(0.9312, 0.004), percent(None)
    ('93.1 ±0.4', '-')
    """
    return with_deviation(
        None if value is None else 100 * value, None if deviation is None else 100 * deviation
    )


def with_deviation(value: float | None, deviation: float | None = None, digits: int = 1) -> str:
    """Return a number, with its standard deviation if given; "-" for None.

    Examples
    --------
    >>> with_deviation(0.0661, 0.008, digits=3), with_deviation(2.0)
    ('0.066 ±0.008', '2.0')
    """
    if value is None:
        return "-"
    return f"{value:.{digits}f}" + ("" if deviation is None else f" ±{deviation:.{digits}f}")
