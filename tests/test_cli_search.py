"""The command `clipnb search`: what it finds, what it prints and what it says."""

import html
import json
import shutil
from pathlib import Path

import pytest

from clipnb import ImageIndex
from clipnb.commands import galleries, sheet
from clipnb.features import encode_images
from clipnb.search import updates

pytestmark = pytest.mark.usefixtures("trained_run")


# ---- the answer ------------------------------------------------------------------------------


def test_a_folder_is_indexed_and_searched(clipnb, photos):
    status, printed, said = clipnb("search Pictures a red dog -k 3")
    assert status == 0
    lines = [line.split("\t") for line in printed.splitlines()]
    assert len(lines) == 3
    assert all(len(line) == 2 and Path(line[1]).is_file() for line in lines)
    assert all(line[1].startswith("Pictures/") for line in lines), "as the reader gave it"
    scores = [float(line[0]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert "small-tiny-0" in said.splitlines()[0]
    assert "12 added, 1 unreadable" in said
    assert said.splitlines()[-1] == (
        "These are the best for “a red dog” of the 12 photos in Pictures:"
    )
    again = clipnb("search Pictures -k 3 'a red dog'")
    assert again[1] == printed, "words may stand behind options"
    assert "added" not in again[2]
    assert clipnb(f"search '{photos}' dog")[1].count(str(photos)) == 5


def test_without_a_match_it_says_so(clipnb, photos, monkeypatch):
    monkeypatch.setattr(ImageIndex, "has_match", lambda self, query: query.text and False)
    status, printed, said = clipnb("search Pictures 'a red dog'")
    assert status == 1, "as grep"
    assert "Nothing here matches “a red dog”. These are the nearest" in said
    assert len(printed.splitlines()) == 5
    answer = json.loads(clipnb("search Pictures 'a red dog' --json -k 2")[1])
    assert answer["has_match"] is False
    assert clipnb("search Pictures a red dog - cat")[0] == 0, "no text alone: it is not known"


def test_without_the_dataset_of_the_run_no_match_is_judged(
    clipnb, photos, trained_root, monkeypatch
):
    for bank in (trained_root / "cache" / "runs").glob("*/bank.*"):
        bank.unlink()
    monkeypatch.setenv("CLIPNB_DATA", "nowhere")
    status, printed, said = clipnb("search Pictures 'a red dog'")
    assert "Whether anything matches cannot be told: dataset 'small' not found" in said
    assert len(printed.splitlines()) == 5


def test_json_is_ascii(clipnb, photos):
    """A console of Windows would write what it does not know in a way that is no JSON."""
    printed = clipnb("search Pictures 'a red dog 🐶' --json -k 1")[1]
    assert printed.isascii() and json.loads(printed)["query"] == "a red dog 🐶"


def test_json_is_one_document(clipnb, photos):
    status, printed, _ = clipnb("search Pictures 'a red dog' --json -k 2")
    answer = json.loads(printed)
    assert list(answer) == ["query", "run", "searched", "has_match", "hits"]
    assert answer["query"] == "a red dog"
    assert answer["run"].startswith("small-tiny-0-")
    assert answer["searched"] == 12
    assert answer["has_match"] is True
    assert len(answer["hits"]) == 2
    for hit in answer["hits"]:
        assert Path(hit["path"]).exists()
        assert hit["caption"] == ""
        assert hit["date"][:4] in ("2023", "2025")


def test_since_leaves_older_photos_out(clipnb, photos):
    answer = json.loads(clipnb("search Pictures dog --since 2025-01 --json -k 99")[1])
    assert answer["searched"] == len(answer["hits"]) == 8
    assert all("2024" not in hit["path"] for hit in answer["hits"])
    assert json.loads(clipnb("search Pictures dog --since 2023 --json")[1])["searched"] == 12
    status, printed, said = clipnb("search Pictures dog --since 2026-01-01")
    assert (status, printed) == (1, "")
    assert "There are 0 of the 12 photos in Pictures that were taken since 2026-01-01." in said


def test_images_and_words_are_added_and_subtracted(clipnb, photos):
    first = "'Pictures/photo 6.jpg'"
    answer = json.loads(clipnb(f"search Pictures {first} --json -k 1")[1])
    assert answer["hits"][0]["path"] == "Pictures/photo 6.jpg"
    assert answer["hits"][0]["score"] == pytest.approx(1, abs=1e-3)
    assert answer["has_match"] is None
    by_option = json.loads(clipnb(f"search Pictures --like {first} --json -k 1")[1])
    assert by_option["hits"] == answer["hits"]
    answer = json.loads(clipnb(f"search Pictures 2:dog -k 1 + {first} --json - people")[1])
    assert answer["query"] == "2:dog + ./Pictures/photo 6.jpg - people"


def test_a_run_searches_its_own_dataset_or_another(clipnb, trained_root):
    answer = json.loads(clipnb("search a red dog --json")[1])
    assert answer["searched"] == 20
    assert answer["hits"][0]["caption"]
    assert answer["hits"][0]["date"] is None
    assert Path(answer["hits"][0]["path"]).is_file()
    assert json.loads(clipnb("search dog --split all --json")[1])["searched"] == 88
    Path("small").mkdir()
    assert json.loads(clipnb("search dog --json")[1])["searched"] == 20, "not the folder here"
    shutil.copytree(
        trained_root / "data" / "small", trained_root / "data" / "other", dirs_exist_ok=True
    )
    said = clipnb("search other dog --run small")[2]
    assert "20 images in the split test of other" in said


def test_an_interrupted_index_goes_on(clipnb, photos, monkeypatch):
    batches = []

    def encode_once(model, images):
        batches.append(len(images))
        if len(batches) > 1:
            raise KeyboardInterrupt
        return encode_images(model, images)

    monkeypatch.setattr(updates, "BATCH_SIZE", 5)
    with monkeypatch.context() as patch:
        patch.setattr(updates, "encode_images", encode_once)
        status, printed, said = clipnb("search Pictures dog")
    assert (status, printed) == (130, "")
    assert "5 of 13 photos are indexed. The same command goes on." in said
    status, _, said = clipnb("search Pictures dog")
    assert status == 0
    assert "12 images (7 added, 1 unreadable)" in said


# ---- what is said ----------------------------------------------------------------------------


def test_unknown_words_and_negations_are_explained(clipnb, photos):
    said = clipnb("search Pictures zzyzx with no people")[2]
    assert "does not know the word “zzyzx”" in said
    assert "zzyzx - people" in said
    said = clipnb("search Pictures zzyzx with no people + 'Pictures/photo 5.jpg'")[2]
    assert "is: zzyzx - people + ./Pictures/photo 5.jpg" in said
    assert "know the word “jpg”" not in said


def test_a_name_does_not_act_on_the_terminal(clipnb, photos):
    (photos / "photo 7.jpg").rename(photos / "red\x1b[31m\n.jpg")
    printed = clipnb("search Pictures dog -k 20")[1]
    assert len(printed.splitlines()) == 12
    assert "red\\x1b[31m\\n.jpg" in printed


def test_nothing_said_acts_on_the_terminal(clipnb, photos):
    photos.rename("red\x1b[31m")
    for command in (
        "search 'red\x1b[31m' 'dog \x1b[7m'",
        "search 'red\x1b[31m' dog --split dev",
        "index 'red\x1b[31m'",
        "page 'red\x1b[31m' 'page\x1b[31m.html'",
        "page 'red\x1b[31m' 'page\x1b[31m.txt'",
    ):
        _, printed, said = clipnb(command)
        assert "\x1b" not in printed + said, command
        assert printed or said


def test_it_is_said_where_a_name_that_is_no_folder_was_searched_for(clipnb):
    said = clipnb("search gone dog")[2].splitlines()[-1]
    assert said == "These are the best for “gone dog” of the 20 images in the split test of small:"


def test_a_bank_that_fails_without_words_is_told(monkeypatch, capsys):
    def fail(run):
        raise OSError

    monkeypatch.setattr("clipnb.load_bank", fail)
    assert galleries.find_bank(None) is None
    assert capsys.readouterr().err == "Whether anything matches cannot be told: OSError\n"


def test_the_place_is_told_from_the_query(trained_root, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert galleries.split_place(["Pictures", "dog"]) == ("Pictures", ["dog"])
    assert galleries.split_place(["small", "dog"]) == ("small", ["dog"])
    assert galleries.split_place(["scenes", "dog"]) == ("scenes", ["dog"])
    assert galleries.split_place(["a", "red", "dog"]) == (None, ["a", "red", "dog"])
    assert galleries.split_place(["x" * 10_000, "dog"])[0] is None
    (trained_root / "data" / "red").mkdir(exist_ok=True)
    assert galleries.split_place(["red", "dog"]) == (None, ["red", "dog"]), "no dataset"
    for words in (["-", "people"], ["-", "many people"], ["dog", "+", "deep snow"]):
        assert galleries.split_place(words) == (None, words)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert galleries.split_place(["~/Pictures"]) == (str(photos), [])


def test_the_help_is_short_and_gives_examples(clipnb):
    status, printed, _ = clipnb("search --help")
    assert status == 0
    assert printed.count("\n  clipnb search ") == 4
    assert len(printed.splitlines()) < 45


# ---- the contact sheet -----------------------------------------------------------------------


def test_a_contact_sheet_opens(clipnb, photos, monkeypatch):
    opened = []
    monkeypatch.setattr(sheet.webbrowser, "open", opened.append)
    monkeypatch.setattr(sheet, "has_display", lambda: True)
    name = "<script>alert(1)<_script>.jpg"
    (photos / "photo 7.jpg").rename(photos / name)
    said = clipnb("search Pictures '<b>dog</b>' --open")[2]
    path = Path(said.splitlines()[-1].removeprefix("The page is "))
    assert opened == [path.as_uri()]
    page = path.read_text(encoding="utf-8")
    assert page.count("<img src=") == 12, "more than in the terminal"
    assert "<script" not in page and "<b>" not in page
    assert html.escape(name) in page
    monkeypatch.setattr(sheet, "has_display", lambda: False)
    clipnb("search Pictures dog --open")
    assert len(opened) == 1


def test_a_contact_sheet_leaves_out_what_is_gone(clipnb, photos, monkeypatch):
    shown = ImageIndex.search

    def lose_two(self, query, k):
        hits = shown(self, query, k)
        for hit in hits[:2]:
            self.paths[self.row[hit.image_id]].unlink()
        return hits

    monkeypatch.setattr(ImageIndex, "search", lose_two)
    monkeypatch.setattr(sheet, "has_display", lambda: False)
    said = clipnb("search Pictures dog --open")[2]
    page = Path(said.splitlines()[-1].removeprefix("The page is ")).read_text(encoding="utf-8")
    assert page.count("<img src=") == 10


def test_the_sheet_of_a_long_query_has_a_short_title(clipnb, photos, monkeypatch):
    monkeypatch.setattr(sheet, "has_display", lambda: False)
    said = clipnb(f"search Pictures --open '{'dog ' * 2500}'")[2]
    page = Path(said.splitlines()[-1].removeprefix("The page is ")).read_text(encoding="utf-8")
    title = page.split("<h1>")[1].split("</h1>")[0]
    assert title.startswith("dog dog") and len(title) <= 60
    assert "dog " * 100 not in page
