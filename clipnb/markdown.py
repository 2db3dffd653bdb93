"""Tables, numbers and links as Markdown text."""

from collections.abc import Sequence
from typing import Any


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: a header, and rows with as many cells each. Cells may be empty.

    Raises ValueError if a row has more or fewer cells than the header.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(
                f"the table has {len(header)} columns, but a row has {len(row)}: {row}"
            )
    ruler = "|" + len(header) * "---|"
    return "\n".join([_markdown_row(header), ruler, *map(_markdown_row, rows)])


def _markdown_row(cells: Sequence[str]) -> str:
    padded = [f" {cell} |" if cell else " |" for cell in cells]
    return "|" + "".join(padded)


def format_number(value: Any) -> str:
    """Format a float with about three digits and a proper minus, an int with its thousands.

    Anything else is returned as it reads.
    """
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if abs(value) < 5e-4:
        return "0.00"
    decimals = 3
    for smallest, enough in ((100, 0), (10, 1), (0.1, 2)):
        if abs(value) >= smallest:
            decimals = enough
            break
    return f"{value:,.{decimals}f}".replace("-", "−")


def format_link(notebook: str, folder: str) -> str:
    """Format a link to a notebook; its text is the notebook's number."""
    return f"[{notebook[:2]}]({folder}{notebook}.ipynb)"
