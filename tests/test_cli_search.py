"""The commands that work with a trained run: search, index, page, export and runs."""

import dataclasses
import html
import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from clipnb import RECIPES, ImageIndex, cli, runs, scenes, train
from clipnb.commands import galleries, sheet
from clipnb.features import encode_images
from clipnb.search import updates


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Data, cache and a trained run `small-tiny-0`, made once for this module."""
    root = tmp_path_factory.mktemp("search")
    scenes.write_scenes(
        root / "data" / "small", {"train": 48, "dev": 20, "test": 20}, size=48, workers=1
    )
    recipe = dataclasses.replace(
        RECIPES["quick"],
        name="tiny",
        dataset="small",
        image_encoder="tiny_cnn",
        image_size=32,
        stored_size=32,
        vocab_size=300,
        epochs=1,
        batch_size=16,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPNB_DATA", str(root / "data"))
        patch.setenv("CLIPNB_CACHE", str(root / "cache"))
        patch.setitem(RECIPES, "tiny", recipe)
        train(recipe)
        yield root


@pytest.fixture
def clipnb(root, tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder; return exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ImageIndex, "has_match", lambda self, query: query.text and True)

    def run(command):
        monkeypatch.setattr(sys, "argv", ["clipnb", *shlex.split(command)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def photos(root, tmp_path):
    """A folder `Pictures` with twelve photos, two of them the same, and a broken one."""
    names = sorted((root / "data" / "small" / "Images").iterdir())[:11]
    folder = tmp_path / "Pictures"
    (folder / "2024").mkdir(parents=True)
    for i, path in enumerate(names):
        copy = folder / ("2024" if i < 4 else "") / f"photo {i}.jpg"
        shutil.copy(path, copy)
        os.utime(copy, (1.7e9, 1.7e9) if i < 4 else (1.75e9, 1.75e9))  # 2023, 2025
    shutil.copy2(folder / "photo 5.jpg", folder / "again.jpg")
    (folder / "broken.jpg").write_text("no image")
    return folder


# ---- search ----------------------------------------------------------------------------------


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


def test_without_the_dataset_of_the_run_no_match_is_judged(clipnb, photos, root, monkeypatch):
    for bank in (root / "cache" / "runs").glob("*/bank.*"):
        bank.unlink()
    monkeypatch.setenv("CLIPNB_DATA", "nowhere")
    status, printed, said = clipnb("search Pictures 'a red dog'")
    assert "Whether anything matches cannot be told: dataset 'small' not found" in said
    assert len(printed.splitlines()) == 5


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


def test_a_run_searches_its_own_dataset_or_another(clipnb, root):
    answer = json.loads(clipnb("search a red dog --json")[1])
    assert answer["searched"] == 20
    assert answer["hits"][0]["caption"]
    assert answer["hits"][0]["date"] is None
    assert Path(answer["hits"][0]["path"]).is_file()
    assert json.loads(clipnb("search dog --split all --json")[1])["searched"] == 88
    Path("small").mkdir()
    assert json.loads(clipnb("search dog --json")[1])["searched"] == 20, "not the folder here"
    shutil.copytree(root / "data" / "small", root / "data" / "other", dirs_exist_ok=True)
    said = clipnb("search other dog --run small")[2]
    assert "20 images in the split test of other" in said


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


def test_the_sheet_of_a_long_query_has_a_short_title(clipnb, photos, monkeypatch):
    monkeypatch.setattr(sheet, "has_display", lambda: False)
    said = clipnb(f"search Pictures --open '{'dog ' * 2500}'")[2]
    page = Path(said.splitlines()[-1].removeprefix("The page is ")).read_text(encoding="utf-8")
    title = page.split("<h1>")[1].split("</h1>")[0]
    assert title.startswith("dog dog") and len(title) <= 60
    assert "dog " * 100 not in page


def test_it_is_said_where_a_name_that_is_no_folder_was_searched_for(clipnb):
    said = clipnb("search gone dog")[2].splitlines()[-1]
    assert said == "These are the best for “gone dog” of the 20 images in the split test of small:"


def test_a_bank_that_fails_without_words_is_told(monkeypatch, capsys):
    def fail(run):
        raise OSError

    monkeypatch.setattr("clipnb.load_bank", fail)
    assert galleries.find_bank(None) is None
    assert capsys.readouterr().err == "Whether anything matches cannot be told: OSError\n"


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


# ---- the other commands ----------------------------------------------------------------------


def test_unreadable_files_and_duplicates_are_listed(clipnb, photos):
    printed = clipnb("index Pictures --unreadable")[1]
    assert printed == "Pictures/broken.jpg\tit holds no image\n"
    printed = clipnb("index Pictures --duplicates")[1]
    assert printed.splitlines() == ["Pictures/again.jpg", "Pictures/photo 5.jpg"]


def test_a_page_is_written(clipnb, photos):
    status, printed, _ = clipnb("page Pictures mine.html")
    assert status == 0
    assert "mine.html" in printed
    assert Path("mine.html").stat().st_size > 10_000
    assert "no folder and no dataset 'nowhere'" in clipnb("page nowhere mine.html")[2]
    assert clipnb("page Pictures /dev/null/mine.html")[0] == 2


def test_export_lists_its_files(clipnb, monkeypatch):
    def export(model, tokenizer, folder, int8):
        Path(folder).mkdir()
        (Path(folder) / f"int8-{int8}.onnx").write_text("")
        return Path(folder)

    monkeypatch.setattr("clipnb.search.onnx.export_onnx", export)
    assert clipnb("export --onnx towers --int8")[1] == "towers/int8-True.onnx\n"
    assert "int8 instead of float32" in " ".join(clipnb("export --help")[1].split())


def test_bench_search(clipnb, monkeypatch):
    bench = SimpleNamespace(run_search_benchmark=lambda run: f"results/bench/{run}.json")
    monkeypatch.setitem(sys.modules, "clipnb.bench.search", bench)
    assert clipnb("bench search")[1] == "wrote results/bench/None.json\n"
    assert clipnb("bench search --run ViT-B-32/openai")[1].endswith("ViT-B-32/openai.json\n")
    assert "--run belongs to `clipnb bench search`" in clipnb("bench train --run quick")[2]


@pytest.fixture
def more_runs(root, tmp_path, monkeypatch):
    """A cache with four runs: tiny; of an experiment, and later; unfinished; of another version."""
    (folder,) = (root / "cache" / "runs").iterdir()
    cache = tmp_path / "cache" / "runs"
    for name in (folder.name, "small-trial-0", "small-tiny-1", "old"):
        shutil.copytree(folder, cache / name)
    start = json.loads((folder / "recipe.json").read_text())
    trial = {**start, "recipe": {**start["recipe"], "name": "trial"}}
    (cache / "small-trial-0" / "recipe.json").write_text(json.dumps(trial))
    os.utime(cache / "small-trial-0" / "metrics.json", (4e9, 4e9))
    (cache / "small-tiny-1" / "metrics.json").unlink()
    (cache / "old" / "recipe.json").write_text('{"seed": 0, "recipe": {"name": "old", "nope": 1}}')
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    return folder.name


def test_runs_are_listed(clipnb, more_runs):
    status, printed, said = clipnb("runs")
    assert status == 0
    lines = printed.splitlines()
    assert lines[0].startswith("name ")
    assert len({len(line) for line in lines[1:]}) == 1, "aligned: a date ends each line"
    by_first_word = {line.split()[0]: line for line in lines}
    assert "unfinished" in by_first_word["small-tiny-1"]
    assert "of another version" in by_first_word["old"]
    assert lines[-1].startswith("small-trial-0"), "the latest one is the last one"
    assert f"clipnb search uses {more_runs} unless" in said
    listed = json.loads(clipnb("runs --json")[1])
    by_name = {run["name"]: run for run in listed}
    assert by_name[more_runs]["dev_mean_recall"] > 0
    assert by_name["small-tiny-1"]["state"] == "unfinished"
    for run in listed:
        if run["state"] == "finished":
            assert runs.find_run(run["name"]).name == run["name"]


def test_the_run_of_a_named_recipe_comes_before_a_later_trial(clipnb, more_runs):
    assert json.loads(clipnb("search dog --json")[1])["run"] == more_runs
    assert json.loads(clipnb("search dog --json --run trial")[1])["run"] == "small-trial-0"


def test_a_run_without_a_recipe_stops_no_command(clipnb, more_runs, tmp_path):
    junk = tmp_path / "cache" / "runs" / "junk"
    junk.mkdir()
    for content in ("{}", '{"recipe": null, "seed": 0}', '{"recipe": {"name": "tiny"}}'):
        (junk / "recipe.json").write_text(content)
        for name in ("metrics.json", "model.safetensors"):
            (junk / name).write_text("{}")
        lines = clipnb("runs")[1].splitlines()
        assert any("junk" in line and "of another version" in line for line in lines)
        said = clipnb("search dog --recipe quick --seed 7")[2]
        assert "junk (of another version of clipnb)" in said
        assert json.loads(clipnb("search dog --json")[1])["run"] == more_runs
    (junk / "recipe.json").write_text("{}")
    assert "no finished run 'nope'" in clipnb("search dog --run nope")[2]


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
}


@pytest.mark.parametrize("command", MISTAKES)
def test_mistakes_are_answered_in_a_line(clipnb, photos, tmp_path, command):
    (tmp_path / "empty").mkdir()
    status, printed, said = clipnb(command)
    assert (status, printed) == (2, "")
    assert MISTAKES[command] in said.splitlines()[-1]
    assert said.splitlines()[-1].startswith("clipnb: ")


@pytest.mark.parametrize(
    "options, message",
    [
        ("--since tomorrow", "'tomorrow' is no date such as 2025-06-01, 2025-06 or 2025"),
        ("-k 0", "must be at least 1"),
        ("-people", "unrecognized arguments: -people; a - between spaces subtracts"),
    ],
)
def test_options_that_make_no_sense(clipnb, options, message):
    status, _, said = clipnb(f"search dog {options}")
    assert status == 2
    assert message in said.splitlines()[-1]


def test_a_closed_pipe_is_no_error(clipnb, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)  # as `head` does when it has seen enough
    with os.fdopen(writer, "w") as pipe, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)
        status, _, said = clipnb("runs")
    assert status == 0
    assert "Broken pipe" not in said


def test_the_place_is_told_from_the_query(root, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert galleries.split_place(["Pictures", "dog"]) == ("Pictures", ["dog"])
    assert galleries.split_place(["small", "dog"]) == ("small", ["dog"])
    assert galleries.split_place(["scenes", "dog"]) == ("scenes", ["dog"])
    assert galleries.split_place(["a", "red", "dog"]) == (None, ["a", "red", "dog"])
    assert galleries.split_place(["x" * 10_000, "dog"])[0] is None
    (root / "data" / "red").mkdir(exist_ok=True)
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
