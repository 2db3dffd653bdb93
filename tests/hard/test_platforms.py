"""What Windows and macOS do otherwise, as far as it can be imitated here."""

import dataclasses
import os
import shutil
import subprocess
import sys

import pytest
from doomed import list_tree

from clipnb import RECIPES, run_folder
from clipnb.scenes import write_scenes

# As on Windows: no fork, and workers that import the program anew.
WITHOUT_FORK = """
import multiprocessing, os, sys
del os.fork, os.forkpty
multiprocessing.set_start_method("spawn", force=True)
from clipnb.scenes import write_scenes
"""
COUNTS = {"train": 60, "dev": 10, "test": 10}
CALL = f"write_scenes(sys.argv[1], {COUNTS}, size=16, workers=2)\n"
PROGRAMS = {
    "guarded": f'{WITHOUT_FORK}\nif __name__ == "__main__":\n    {CALL}',
    "bare": WITHOUT_FORK + CALL,  # each worker would draw anew, and is refused by Python
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_without_fork_the_same_scenes_are_drawn(name, tmp_path, record_property):
    program, drawn = tmp_path / f"{name}.py", tmp_path / "drawn"
    program.write_text(PROGRAMS[name])
    subprocess.run([sys.executable, str(program), str(drawn)], check=True, capture_output=True)
    write_scenes(tmp_path / "expected", COUNTS, size=16, workers=1)
    assert list_tree(drawn) == list_tree(tmp_path / "expected")
    assert set(os.listdir(tmp_path)) == {"drawn", "expected", f"{name}.py"}
    record_property("equal outcomes", 1)


ODD = ["\u72d7 dog.jpg", "e\u0301te\u0301 \U0001f415.jpg", "C colon.jpg", "CON.jpg", "con.JPG"]


@pytest.mark.parametrize(
    "words",
    [
        ["index", "{folder}"],
        ["index", "{folder}", "--unreadable"],
        ["search", "{folder}", "a dog"],
        ["search", "{folder}", "a dog", "--json"],
        ["search", "{folder}", "\u72d7 caf\u00e9 dog"],
        ["runs"],
    ],
    ids=lambda words: " ".join(words).encode("ascii", "replace").decode(),
)
@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
def test_a_console_without_the_letters(words, encoding, trained_root, tmp_path, record_property):
    folder = tmp_path / "photos \u72d7"
    folder.mkdir()
    images = sorted((trained_root / "data" / "small" / "Images").iterdir())
    for name, path in zip(ODD, images, strict=False):
        shutil.copy(path, folder / name)
    (folder / "broken \u574f.jpg").write_text("no image")
    environment = os.environ | {
        "CLIPNB_DATA": str(trained_root / "data"),
        "CLIPNB_CACHE": str(tmp_path / "cache"),
        "PYTHONIOENCODING": encoding,
    }
    shutil.copytree(trained_root / "cache" / "runs", tmp_path / "cache" / "runs")
    words = [word.format(folder=folder) for word in words]
    command = [sys.executable, "-m", "clipnb", *words]
    done = subprocess.run(command, env=environment, capture_output=True)
    assert b"Traceback" not in done.stderr, done.stderr.decode(encoding)
    assert done.returncode in (0, 1)
    record_property("other consoles", 1)


def test_recipes_that_differ_in_case_have_folders_that_differ_in_more(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    folders = [
        run_folder(dataclasses.replace(RECIPES["quick"], name=name)).name.lower()
        for name in ("Mine", "mine", "MINE")
    ]
    assert len(set(folders)) == 3
