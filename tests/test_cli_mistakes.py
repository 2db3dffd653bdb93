"""Mistakes on the command line: each is answered in a line that says what to do."""

import errno
import os

import pytest

from clipnb.cli import describe_error

pytestmark = pytest.mark.usefixtures("trained_run")

LONG = "x" * 300  # no file and no folder can have such a name
DIGITS = "1" * 5000  # Python reads no integer of so many
MISTAKES = {
    "search": 'there is nothing to search for; add a query: clipnb search "a red car".',
    "search Pictures": "add a query: clipnb search Pictures",
    "search ./nowhere dog": "there is no folder and no dataset './nowhere'.",
    "search Pictrues 'a dog'": "If it belongs to the query, put the whole query into quotes.",
    "search Pictures/2023 dog": "there is no folder and no dataset 'Pictures/2023'.",
    "search Pictures dog +": "nothing follows the '+'",
    "search Pictures ./no.jpg": "there is no image file './no.jpg'",
    "search Pictures --like no.jpg": "no.jpg: No such file or directory.",
    "search Pictures --like Pictures/broken.jpg": "cannot be read as an image",
    "search Pictures dog --run nope": "no finished run 'nope'. The finished runs are small-tiny-0",
    "search Pictures dog --run tiny --seed 1": "leave the options of the recipe out",
    "search Pictures dog --split dev": "Pictures is a folder and has no split 'dev'",
    "search dog --split nope": "no split 'nope'",
    "search dog --since 2025": "the images of small have no dates",
    "search Pictures ☃☃": "there is nothing to search for",
    "search empty dog": "holds no image that can be read",
    "index nowhere": "there is no folder nowhere",
    "index Pictures/broken.jpg": "is a file",
    "page Pictures mine.txt": "ends in .html",
    f"search dog --data-dir {LONG}": "its 300 letters are too many",
    "search dog --data-dir Pictures/broken.jpg/x": "Pictures/broken.jpg is a file, not a folder",
    f"search Pictures dog --run {LONG}": f"there is no finished run '{LONG}'",
    f"search Pictures dog --like {LONG}.jpg": "File name too long.",
    f"index {LONG}": "its 300 letters are too many",
    "index Pictures/broken.jpg/x": "broken.jpg is a file, not a folder. Choose another place.",
    f"page Pictures {LONG}.html": "its 305 letters are too many",
    "page Pictures Pictures/broken.jpg/a.html": "broken.jpg is a file, not a folder",
    f"shards small {LONG}": "its 300 letters are too many",
    "shards small Pictures/broken.jpg/x": "broken.jpg is a file, not a folder",
    f"train --dataset {LONG}": "its 300 letters are too many",
    f"train --set name={LONG}": "cannot be part of a folder's name",
    f"train --set dataset={LONG}": "its 300 letters are too many",
    f"train --init {LONG}": f"there is no finished run '{LONG}'",
    f"train --set epochs={DIGITS}": "expected something like 6",
    f"evaluate --run small --dataset {LONG}": "its 300 letters are too many",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_mistakes_are_answered_in_a_line(clipnb, photos, tmp_path, monkeypatch, command):
    monkeypatch.setenv("CLIPNB_DATA", os.environ["CLIPNB_DATA"])  # --data-dir changes it
    (tmp_path / "empty").mkdir()
    status, printed, said = clipnb(command)
    assert (status, printed) == (2, "")
    assert MISTAKES[command] in said.splitlines()[-1]
    assert said.splitlines()[-1].startswith("clipnb: ")


@pytest.mark.parametrize(
    "command, name",
    [
        ("train --dataset ''", "dataset"),
        ("train --recipe ''", "recipe"),
        ("search dog --split ''", "split"),
        ("runs --data-dir ''", "data-dir"),
        ("index ''", "folder"),
    ],
)
def test_an_empty_value_does_not_mean_the_default(clipnb, command, name):
    status, printed, said = clipnb(command)
    assert (status, printed) == (2, "")
    assert f"error: {name} is empty; give it a value, or leave it out" in said


@pytest.mark.parametrize(
    "options, message",
    [
        ("--since tomorrow", "'tomorrow' is no date such as 2025-06-01, 2025-06 or 2025"),
        ("-k 0", "must be at least 1"),
        (f"-k {DIGITS}", "is no whole number of at most 18 digits"),
        (f"--seed {DIGITS}", "is no whole number of at most 18 digits"),
        ("-people", "unrecognized arguments: -people; a - between spaces subtracts"),
    ],
)
def test_options_that_make_no_sense(clipnb, options, message):
    status, _, said = clipnb(f"search dog {options}")
    assert status == 2
    assert message in said.splitlines()[-1]


def test_an_error_of_the_system_is_told_without_its_number():
    full = OSError(errno.ENOSPC, "No space left on device")
    assert describe_error(full) == "No space left on device."
    full.filename = "out.txt"
    assert describe_error(full) == "out.txt: No space left on device."


def test_a_folder_that_was_deleted_is_told(clipnb, monkeypatch):
    def fail():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", fail)
    status, printed, said = clipnb("runs")
    assert (status, printed) == (2, "")
    assert said == (
        "clipnb: the folder that you are in was deleted or moved; go to another one with cd.\n"
    )


def test_too_little_memory_is_told(clipnb, monkeypatch):
    def fail(arguments):
        raise MemoryError

    monkeypatch.setattr("clipnb.commands.runs.handle_runs", fail)
    status, printed, said = clipnb("runs")
    assert (status, printed) == (2, "")
    assert said.startswith("clipnb: there is too little memory; end other programs")


@pytest.mark.parametrize(
    "error", [ImportError("libtorch_cpu.so: failed to map segment"), UserWarning("few images")]
)
def test_a_library_without_memory_and_a_warning_that_is_an_error(clipnb, monkeypatch, error):
    def fail(arguments):
        raise error

    monkeypatch.setattr("clipnb.commands.runs.handle_runs", fail)
    status, printed, said = clipnb("runs")
    assert (status, printed) == (2, "")
    assert said.startswith("clipnb: ") and said.count("\n") == 1 and str(error) in said


def test_a_closed_stdout_is_no_error(clipnb, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)  # so Python finds it after `>&-`
    assert clipnb("runs")[0] == 0


def test_without_a_run_it_says_how_to_train_one(clipnb, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "none"))
    for command in (
        "search Pictures dog",
        "search Pictures dog --run quick",
        "page Pictures a.html",
    ):
        status, printed, said = clipnb(command)
        assert (status, printed) == (2, "")
        assert said.lower().count("no run is finished yet") == 1
        assert said.endswith("Train one in a minute with: clipnb train --recipe quick\n")
    assert clipnb("runs")[1] == ""
