"""Tables as Markdown text."""

import pytest

from clipnb.markdown import markdown_table


def test_a_table_has_a_header_a_ruler_and_its_rows():
    table = markdown_table(["", "ours"], [["C1", "59.1"], ["C2", ""]])
    assert table.splitlines() == ["| | ours |", "|---|---|", "| C1 | 59.1 |", "| C2 | |"]


def test_a_row_with_another_number_of_cells_is_refused():
    with pytest.raises(ValueError, match="2 columns, but a row has 1"):
        markdown_table(["a", "b"], [["1"]])
