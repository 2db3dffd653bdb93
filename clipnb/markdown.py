"""Markdown tables, as text."""

from collections.abc import Sequence


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
