"""Paths and names that can be none: each is refused in a sentence, without a number of errno."""

import dataclasses
import os
from argparse import ArgumentTypeError
from pathlib import PureWindowsPath
from types import SimpleNamespace

import pytest

from clipnb import (
    RECIPES,
    ImageIndex,
    PhotoFolder,
    load_dataset,
    load_run,
    places,
    run_folder,
    train,
)
from clipnb.commands.options import parse_field, parse_positive, parse_seeds, parse_whole
from clipnb.datasets.download import download_flickr8k
from clipnb.datasets.shard_files import read_index
from clipnb.datasets.shards import ShardFolder
from clipnb.disk import replace_when_done, write_file
from clipnb.pretrained import export, open_run
from clipnb.pretrained.files import read_weights
from clipnb.records import load_trials, name_record
from clipnb.run_folders import check_name, find_run
from clipnb.run_lock import lock_folder
from clipnb.runtime import cache_dir, data_dir, results_dir
from clipnb.scenes import write_scenes
from clipnb.search import lance, onnx
from clipnb.search.bank import read_bank
from clipnb.search.index_files import refuse_foreign_file
from clipnb.search.page import check_target
from clipnb.tokenizer import load_tokenizer
from clipnb.widgets.quiz_file import answers_file

QUICK = RECIPES["quick"]
LONG = "x" * 300
PATHS = {  # {case: (a path below a folder that holds the file note.txt, words of the message)}
    "a long name": (LONG, "its 300 letters are too many"),
    "a long name below nothing": (f"nothing/{LONG}/x", "its 300 letters are too many"),
    "a long path": ("/".join(["y" * 200] * 30), "letters is too long for this system"),
    "half of a character": ("a\ud800b", "half of a character"),
    "the character 0": ("a\0b", "the character 0"),
    "below a file": ("note.txt/x", "note.txt is a file, not a folder"),
    "far below a file": ("note.txt/x/y/z", "note.txt is a file, not a folder"),
}


def write_somewhere(path):
    with replace_when_done(path) as temporary:
        temporary.mkdir()


def lock(path):
    with lock_folder(path):
        pass


TAKERS = {  # what takes a path from a reader: {what: its call with the path as text}
    "a root of datasets": lambda path: load_dataset("own", "dev", 8, root=path),
    "the name of a dataset": lambda path: load_dataset(path, "dev", 8),
    "shards": ShardFolder,
    "an index of shards": read_index,
    "photos": PhotoFolder,
    "the target of a download": download_flickr8k,
    "the folder of scenes": lambda path: write_scenes(path, {"train": 1}, workers=1),
    "the folder of a run": load_run,
    "the folder of a training": lambda path: train(QUICK, folder=path),
    "a lock": lock,
    "an index": lambda path: ImageIndex.load(path, None, None),
    "an index to write": refuse_foreign_file,
    "a bank": lambda path: read_bank(path, None, None),
    "a tokenizer": load_tokenizer,
    "weights": read_weights,
    "an export as ONNX": onnx.check_folder,
    "an export for LanceDB": lance.check_folder,
    "an export for open_clip": lambda path: export.check_folder(path, set(), ""),
    "a page": lambda path: check_target(f"{path}.html"),
    "a folder to write": write_somewhere,
    "a file to write": lambda path: write_file(path, "x"),
}


def check_words(error, part):
    message = str(error.value)
    assert part in message and "Errno" not in message and "\n" not in message, message
    assert message.endswith(("place.", "name.", "one.")), "it says what to do"


@pytest.mark.parametrize("case", PATHS)
@pytest.mark.parametrize("taker", TAKERS)
def test_a_path_that_cannot_be_is_refused_in_words(taker, case, tmp_path, own_cache):
    path, part = PATHS[case]
    (tmp_path / "note.txt").write_text("a note")
    if taker == "a page" and path == LONG:
        part = part.replace("300", "305")  # with its ending
    with pytest.raises((ValueError, NotADirectoryError)) as error:
        TAKERS[taker](f"{tmp_path}/{path}")
    check_words(error, part)
    assert [each.name for each in tmp_path.iterdir()] == ["note.txt"], "nothing was made"


VARIABLES = {
    "CLIPNB_DATA": data_dir,
    "CLIPNB_CACHE": cache_dir,
    "CLIPNB_RESULTS": results_dir,
}


@pytest.mark.parametrize("case", [case for case in PATHS if "\0" not in PATHS[case][0]])
@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_with_such_a_path_is_refused(variable, case, tmp_path, monkeypatch):
    path, part = PATHS[case]
    (tmp_path / "note.txt").write_text("a note")
    if "\ud800" in path:
        path = path.replace("\ud800", "\udcff")  # a byte that is no UTF-8 can be in a name
        monkeypatch.setenv(variable, f"{tmp_path}/{path}")
        assert os.fsencode(VARIABLES[variable]()).endswith(b"a\xffb")
        return
    monkeypatch.setenv(variable, f"{tmp_path}/{path}")
    with pytest.raises((ValueError, NotADirectoryError)) as error:
        VARIABLES[variable]()
    check_words(error, part)


@pytest.mark.parametrize("bad", [3, None, 0.5, b"x", ["x"]])
@pytest.mark.parametrize("taker", ["the folder of a run", "shards", "a tokenizer", "weights"])
def test_what_is_no_path_is_refused_in_words(taker, bad):
    with pytest.raises(TypeError, match=r"(not|by) .* \(.*\)|expected str|returning str"):
        TAKERS[taker](bad)


@pytest.mark.parametrize("bad", [3, 0.5, b"x", ["x"]])
def test_a_run_is_named_by_a_text_or_a_path(bad, own_cache):
    for take in (find_run, open_run, lambda init: train(QUICK, init=init)):
        with pytest.raises(TypeError, match="a run is named by a text or a path, such as"):
            take(bad)


@pytest.mark.parametrize("case", PATHS)
def test_a_run_that_cannot_be_is_not_there(case, tmp_path, own_cache):
    (tmp_path / "note.txt").write_text("a note")
    with pytest.raises(FileNotFoundError, match=r"there is no finished run .* No run is finished"):
        find_run(f"{tmp_path}/{PATHS[case][0]}")


def test_a_folder_without_a_run_is_told_as_such(tmp_path, own_cache):
    (tmp_path / "photos").mkdir()
    for take in (find_run, lambda init: train(QUICK, init=init)):
        with pytest.raises(FileNotFoundError, match=r"photos is a folder without a run: it has no"):
            take(tmp_path / "photos")


# ---- names that become parts of others -------------------------------------------------------


@pytest.mark.parametrize("name", ["x" * 250, "\u72d7" * 80, "x" * 81])
def test_a_dataset_with_a_long_name_is_read_and_trained(name, tmp_path, monkeypatch):
    """The names of cached files are made from it. They are cut, and differ where it differs."""
    write_scenes(tmp_path / "own", {"train": 16, "dev": 4, "test": 4}, size=16, workers=1)
    (tmp_path / "own").rename(tmp_path / name)
    monkeypatch.setenv("CLIPNB_DATA", str(tmp_path))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    recipe = dataclasses.replace(
        QUICK, name="y" * 100, dataset=name, image_encoder="tiny_cnn", image_size=16,
        stored_size=16, vocab_size=200, embed_dim=16, epochs=1, batch_size=16,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="only 4 dev images"):
        run = train(recipe, seed=10**18 - 1)
    assert load_run(run.folder, recipe, 10**18 - 1).history
    other = dataclasses.replace(recipe, dataset=f"{name[:-1]}z")
    assert run_folder(other).name.split("-")[1] != run_folder(recipe).name.split("-")[1]


def test_a_short_name_stays_as_it_is():
    for name in ("own", "x" * 80, "caf\u00e9", "\udcff"):
        assert places.short_name(name) == name
        assert places.short_name(f"/data/{name}") == name
    assert places.short_name("x" * 81) == f"{'x' * 71}-" + places.short_name("x" * 81)[-8:]
    assert len(os.fsencode(places.short_name("\u72d7" * 85))) <= 80


def test_the_record_of_a_dataset_elsewhere_stays_in_its_folder():
    recipe = dataclasses.replace(QUICK, dataset="/somewhere/own")
    assert name_record(recipe) == "own-quick"
    assert load_trials("/somewhere/own") == []


def test_a_name_without_room_for_our_own_letters_is_refused(tmp_path):
    """A temporary name beside a file is longer than the file's own."""
    with pytest.raises(ValueError, match=r"letters too long to be written safely\. Choose"):
        write_file(tmp_path / ("x" * 250), "x")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="cannot be the name of a file or folder"):
        answers_file("x" * 300, 0)


@pytest.mark.parametrize(
    "name", ["CON", "nul", "Aux.txt", "com1", "LPT9.tar.gz", "con .x", "\u72d7" * 40]
)
def test_a_recipe_has_a_name_for_every_system(name):
    with pytest.raises(ValueError, match="cannot be part of a folder's name"):
        check_name(name, 0)
    for good in ("console", "null", "com10", "my con", "\u72d7" * 30):
        check_name(good, 0)


# ---- Windows ---------------------------------------------------------------------------------

WINDOWS = {
    "own:b": "Windows allows none of",
    "what?": "Windows allows none of",
    "a<b": "Windows allows none of",
    "a\tb": "Windows allows none of",
    "own.": "Windows drops a dot or a space",
    "own ": "Windows drops a dot or a space",
    "...": "Windows drops a dot or a space",
    "CON": "Windows keeps it for a device",
    "nul.txt": "Windows keeps it for a device",
    "Lpt1": "Windows keeps it for a device",
    "x" * 256: "its 256 letters are too many",
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_has_no_such_name(name, tmp_path, monkeypatch, own_cache):
    monkeypatch.setattr(places, "IS_WINDOWS", True)
    takers = (
        lambda: load_dataset(name, "dev", 8, root=tmp_path),
        lambda: train(QUICK, folder=tmp_path / name),
        lambda: write_file(tmp_path / name, "x"),
        lambda: write_somewhere(tmp_path / name / "below"),
    )
    for take in takers:
        with pytest.raises(ValueError, match=WINDOWS[name]) as error:
            take()
        check_words(error, "cannot be the name of a file or folder")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "path",
    ["C:\\photos\\2019", "C:", "c:own", "\\\\server\\share\\own", "..\\own", ".", "\u72d7" * 200],
)
def test_windows_has_these_paths(path):
    for name in PureWindowsPath(path).parts:
        assert places.find_problem_on_windows(name) == ""


@pytest.mark.skipif(places.IS_WINDOWS, reason="they are refused there")
def test_elsewhere_such_names_are_ordinary_ones(tmp_path):
    for name in ("own: b", "what?", "own.", "CON", "nul.txt"):
        write_file(tmp_path / name, "x")
        assert places.check_path(tmp_path, name).read_text() == "x"


# ---- long numbers ----------------------------------------------------------------------------

DIGITS = "1" * 5000  # Python reads and writes no integer of more than 4,300 digits


def check_number(error, *parts):
    message = str(error.value)
    assert "set_int_max_str_digits" not in message and len(message) < 400, message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n_zeros", [18, 400, 5000])
def test_a_seed_has_at_most_18_digits(n_zeros, sign, own_cache):
    number = sign * 10**n_zeros
    for take in (run_folder, train):
        with pytest.raises(ValueError) as error:
            take(QUICK, number)
        check_number(error, "the seed is", "at most 18 digits")


@pytest.mark.parametrize("n_zeros", [400, 5000])
@pytest.mark.parametrize("field", ["epochs", "learning_rate", "name", "loss", "flip"])
def test_a_field_is_no_endless_number(field, n_zeros):
    with pytest.raises(ValueError) as error:
        dataclasses.replace(QUICK, **{field: -(10**n_zeros)})
    check_number(error, "recipe", field)


def test_other_numbers_are_not_endless(tmp_path):
    with pytest.raises(ValueError) as error:
        load_dataset("own", "dev", 10**5000, root=tmp_path)
    check_number(error, "image_size is a number of thousands of digits")
    index = SimpleNamespace()
    with pytest.raises(ValueError) as error:
        ImageIndex.search(index, "a dog", [10**5000])
    check_number(error, "k is")


@pytest.mark.parametrize(
    "text", [DIGITS, f"-{DIGITS}", "1" * 19, "1.5", "x"], ids=["5000", "-5000", "19", "1.5", "x"]
)
def test_the_command_line_reads_whole_numbers_of_18_digits(text):
    for parse in (parse_seeds, lambda text: parse_seeds(f"{text},1")):
        with pytest.raises(ArgumentTypeError, match="are no seeds. Give how many") as error:
            parse(text)
        check_number(error)
    for parse in (parse_whole, parse_positive):
        with pytest.raises(ArgumentTypeError, match="is no whole number of at most 18") as error:
            parse(text)
        check_number(error)
    with pytest.raises(ValueError) as error:
        dataclasses.replace(QUICK, epochs=parse_field(QUICK, "epochs", text))
    check_number(error, "epochs")


def test_a_home_folder_that_is_not_there_is_told_with_the_variable(monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", "~nobody-of-this-name/cache")
    with pytest.raises(ValueError, match=r"^CLIPNB_CACHE=~nobody-of-this-name/cache names a home"):
        cache_dir()
