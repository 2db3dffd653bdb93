"""Tables, numbers and links as Markdown text."""

import pytest

from clipnb.markdown import format_link, format_number, markdown_table


def test_a_table_has_a_header_a_ruler_and_its_rows():
    table = markdown_table(["", "ours"], [["C1", "59.1"], ["C2", ""]])
    assert table.splitlines() == ["| | ours |", "|---|---|", "| C1 | 59.1 |", "| C2 | |"]


def test_a_row_with_another_number_of_cells_is_refused():
    with pytest.raises(ValueError, match="2 columns, but a row has 1"):
        markdown_table(["a", "b"], [["1"]])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (76.2, "76.2"),
        (81.0, "81.0"),
        (1234.5, "1,234"),
        (-0.4, "−0.40"),
        (0.0123, "0.012"),
        (-0.0001, "0.00"),
        (3, "3"),
        (32768, "32,768"),
        ("none", "none"),
    ],
)
def test_numbers_read_as_people_write_them(value, text):
    assert format_number(value) == text


def test_a_link_shows_the_number_of_its_notebook():
    link = format_link("06_zero_shot_and_prompts", "../notebooks/")
    assert link == "[06](../notebooks/06_zero_shot_and_prompts.ipynb)"
