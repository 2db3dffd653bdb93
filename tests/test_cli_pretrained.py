"""A published model on the command line: search, export, evaluation and records."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from published_file import FILE, NAME, RUN

from clipnb import RECIPES, ImageIndex, train
from clipnb.bench.approximate import load_everything
from clipnb.bench.search import measure_keystrokes
from clipnb.commands import training
from clipnb.pretrained import Pretrained
from clipnb.records import read_json
from clipnb.report import format_training
from clipnb.search import packing
from clipnb.search.bank import load_bank

pytestmark = pytest.mark.usefixtures("here")


# ---- search and what belongs to it -----------------------------------------------------------


def test_a_folder_is_searched(clipnb, wide_photos):
    status, printed, said = clipnb(f"search Pictures 'a red dog' {RUN} --json -k 2")
    assert status == 0
    answer = json.loads(printed)
    assert answer["has_match"] is None
    assert answer["searched"] == 6 and len(answer["hits"]) == 2
    assert answer["run"] == f"{NAME}-{FILE}"
    assert (
        "Whether anything matches cannot be told: the pictures that "
        f"{NAME}/{FILE} was trained on are not here."
    ) in said
    status, printed, _ = clipnb(f"search Pictures Pictures/3.jpg {RUN} -k 1")
    assert printed.startswith("1.000\tPictures/3.jpg")
    status, printed, said = clipnb(f"index Pictures {RUN}")
    assert (status, printed) == (0, "")
    assert "6 images" in said


def test_a_dataset_is_searched_and_a_place_is_needed(clipnb):
    answer = json.loads(clipnb(f"search small a red dog {RUN} --json")[1])
    assert answer["searched"] == 20
    assert answer["hits"][0]["caption"]
    answer = json.loads(clipnb(f"search small a red dog {RUN} --json --split all")[1])
    assert answer["searched"] == 88
    status, printed, said = clipnb(f"search a red dog {RUN}")
    assert (status, printed) == (2, "")
    assert said.startswith(
        f"clipnb: {NAME}/{FILE} was trained on no dataset that is here; say what to search:"
    )


def test_a_page_is_written_or_refused_before_anything_is_indexed(clipnb, wide_photos, monkeypatch):
    status, printed, _ = clipnb(f"page Pictures page.html {RUN}")
    assert status == 0
    assert f"The published model {NAME}/{FILE}." in Path("page.html").read_text(encoding="utf-8")
    monkeypatch.setattr(packing, "MOST_NUMBERS", 1_000_000)
    monkeypatch.setattr(ImageIndex, "build", None)  # nothing may be encoded
    status, printed, said = clipnb(f"page Pictures other.html {RUN}")
    assert (status, printed) == (2, "")
    assert said.splitlines()[-1] == (
        "clipnb: the text encoder of this model has 2 million numbers, and a page can hold and run "
        "at most 1 million. Use `clipnb search`, or make the page with a smaller model: clipnb "
        "train --recipe quick"
    )


@pytest.mark.parametrize("option", ["open-clip", "hugging-face"])
def test_a_model_is_exported(option, clipnb):
    pytest.importorskip({"open-clip": "open_clip", "hugging-face": "transformers"}[option])
    status, printed, _ = clipnb(f"export --{option} towers {RUN}")
    assert status == 0
    assert all(Path(line).is_file() for line in printed.splitlines())
    assert len(printed.splitlines()) >= 2
    Path("towers/notes.txt").write_text("mine")
    status, printed, said = clipnb(f"export --{option} towers {RUN}")
    assert (status, printed) == (2, "")
    assert said.startswith("clipnb: ") and len(said.splitlines()) == 1


def test_an_export_needs_one_format(clipnb, recipe, monkeypatch):
    assert "one of the arguments --onnx --open-clip --hugging-face" in clipnb(f"export {RUN}")[2]
    assert "not allowed with" in clipnb(f"export --onnx a --open-clip b {RUN}")[2]
    assert "--int8 belongs to --onnx" in clipnb(f"export --open-clip a --int8 {RUN}")[2]
    monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(recipe, epochs=1))
    train(RECIPES["tiny"])
    for option in ("open-clip", "hugging-face"):
        status, printed, said = clipnb(f"export --{option} towers --run tiny")
        assert (status, printed) == (2, "")
        assert "TinyCNN" in said and len(said.splitlines()) == 1
        assert not Path("towers").exists()


def test_a_wrong_name_is_refused_in_a_line(clipnb, wide_photos):
    for name, message in {
        "ViT-tiny-9/openai": "open_clip has no model 'ViT-tiny-9'",
        f"{NAME}/none.safetensors": "none.safetensors",
        NAME: f"{NAME}/openai",
        f"ViT-B-16/{FILE}": "does not fit ViT-B-16",
    }.items():
        status, printed, said = clipnb(f"search Pictures dog --run {name}")
        assert (status, printed) == (2, "")
        assert message in said and len(said.splitlines()) == 1, said


# ---- evaluation and records ------------------------------------------------------------------


def test_a_published_model_is_evaluated_on_any_dataset(clipnb, monkeypatch):
    status, printed, said = clipnb(f"evaluate {RUN} --dataset small --split test")
    assert status == 0
    assert printed.startswith(f"Pretrained({NAME}/{FILE}) on ")
    assert "mean recall" in printed
    monkeypatch.setattr(training, "FIRST_DATASET", "small")
    status, printed, said = clipnb(f"evaluate {RUN}")
    assert "is evaluated on small; --dataset names another." in said
    assert "only 20 images" in printed
    assert "leave the options of the recipe out" in clipnb(f"evaluate {RUN} --seed 1")[2]


def test_its_record_has_no_training_and_no_slash_in_its_name(clipnb, here):
    status, printed, said = clipnb(f"evaluate {RUN} --dataset small --record")
    assert status == 0, said
    record = read_json(here / "results" / "runs" / f"small-{NAME}-{FILE}-0.json")
    assert record["dataset"] == "small"
    assert record["recipe"]["name"] == f"{NAME}/{FILE}"
    assert record["train_seconds"] is record["best_epoch"] is None
    assert record["n_images"] == 20 and record["metrics"]["test"]["mean_recall"] >= 0
    assert format_training([record]).endswith("M parameters, trained elsewhere")
    assert (here / "results" / "errors" / f"small-{NAME}-{FILE}.json").exists()


def test_a_trained_run_is_evaluated_elsewhere_but_not_on_record(
    clipnb, published_root, recipe, monkeypatch, tmp_path
):
    shutil.copytree(published_root / "data", tmp_path / "data")
    shutil.copytree(tmp_path / "data" / "small", tmp_path / "data" / "other")
    monkeypatch.setenv("CLIPNB_DATA", str(tmp_path / "data"))
    monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(recipe, epochs=1))
    train(RECIPES["tiny"])
    status, own, _ = clipnb("evaluate --run small")
    assert status == 0
    status, printed, _ = clipnb("evaluate --run small --dataset other")
    assert status == 0
    assert printed.splitlines()[1:] == own.splitlines()[1:], "the same images"
    said = clipnb("evaluate --run small --dataset other --record")[2]
    assert "which is small; leave --record or --dataset out." in said
    assert clipnb("evaluate --run small --dataset small --record")[0] == 0


def test_there_is_no_bank(pretrained):
    assert isinstance(pretrained, Pretrained)
    with pytest.raises(ValueError, match="was trained on are not here"):
        load_bank(pretrained)


def test_the_search_benchmark_takes_a_published_model(pretrained):
    pretrained.recipe = dataclasses.replace(pretrained.recipe, dataset="small")
    dataset = load_everything(pretrained)
    assert dataset.images.shape == (88, 3, 32, 32)
    assert measure_keystrokes(pretrained, dataset)["images"] == 88
