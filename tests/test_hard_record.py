"""What `make test-hard` writes: its table is that of the record, and a failure is told."""

import sys

from clipnb.runtime import ROOT

sys.path.append(str(ROOT / "tests" / "hard"))
from hard_record import README, count_tried, leave_out_gone, read_record, render

MACHINE = {"cpu": "a CPU", "cores": 2, "system": "Linux x86_64", "python": "3.11.7"}
PART = {
    "version": "1.0", "date": "2026-01-01", "minutes": 1.5, "machine": MACHINE, "passed": 7,
    "skipped": 0, "failed": [], "tried": {"kill points": 7},
}  # fmt: skip


def test_the_table_says_what_the_record_says():
    assert README.read_text(encoding="utf-8") == render(read_record())


def test_a_failure_is_not_written_as_a_success():
    good = render({"test_a": PART, "test_b": PART})
    assert "All 14 tests passed" in good and "Not tried in this record: bad inputs," in good
    assert "| 14 | moments" in good
    bad = render({"test_a": PART, "test_b": PART | {"failed": ["tests/hard/test_b.py::test_x"]}})
    assert "tests passed" not in bad
    assert "**1 of 15 tests failed.**" in bad and "test_b.py::test_x" in bad


def test_a_test_file_that_is_gone_is_told_no_more():
    assert leave_out_gone({"test_hard_record": PART, "test_of_old": PART}) == {
        "test_hard_record": PART
    }


def test_the_record_is_of_whole_runs():
    """A run with fewer tests or rounds, such as one while a test is written, is not committed."""
    least = {
        "kill points": 60,
        "bad inputs": 300,
        "searches": 10_000,
        "loaded runs": 200,
        "closed widgets": 50,
    }
    for what, n in least.items():
        assert count_tried(read_record(), what) >= n, what
