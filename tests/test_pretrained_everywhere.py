"""A published model wherever a run can stand: on the command line, in records and widgets.

The model is tiny and its weights are random, but its parts, its file and its vocabulary are those
of the published ones.
"""

import dataclasses
import json
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from twins import randomize, tiny_sizes

from clipnb import (
    RECIPES,
    CaptionDataset,
    ImageIndex,
    PhotoFolder,
    PromptLab,
    RetrievalWidget,
    cli,
    scenes,
    train,
)
from clipnb.bench.approximate import load_everything
from clipnb.bench.search import measure_keystrokes
from clipnb.commands import training
from clipnb.model import create_model
from clipnb.pretrained import Pretrained, load_pretrained
from clipnb.pretrained.export import to_open_clip
from clipnb.records import read_json
from clipnb.report import format_training
from clipnb.search import packing
from clipnb.search.bank import load_bank
from clipnb.search.explain import leave_one_out
from clipnb.selection import format_options
from clipnb.towers import published
from clipnb.widgets.collection_map import CollectionMap
from clipnb.widgets.game import MatchingGame
from clipnb.widgets.sentence import SentenceLens

NAME = "ViT-tiny-8"
FILE = "weights.safetensors"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data folder with a small dataset, a file of weights, and the sizes that belong to it."""
    root = tmp_path_factory.mktemp("everywhere")
    counts = {"train": 48, "dev": 20, "test": 20}
    scenes.write_scenes(root / "data" / "small", counts, size=48, workers=1)
    (root / f"{NAME}.json").write_text(json.dumps(tiny_sizes(quick_gelu=False)))
    torch.manual_seed(0)
    architecture = published.parse_architecture(NAME, tiny_sizes(quick_gelu=False))
    recipe = dataclasses.replace(
        RECIPES["baseline"],
        image_encoder="clip_vit",
        text_encoder="clip_transformer",
        image_size=32,
        stored_size=32,
        embed_dim=architecture.embed_dim,
    )
    model = create_model(recipe)
    model.image_encoder = architecture.create_image_encoder()
    model.text_encoder = architecture.create_text_encoder()
    model.image_projection = torch.nn.Linear(64, architecture.embed_dim, bias=False)
    model.text_projection = torch.nn.Linear(32, architecture.embed_dim, bias=False)
    weights = to_open_clip(randomize(model))
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, root / FILE)
    return root


@pytest.fixture
def here(root, tmp_path, monkeypatch):
    """An empty folder with the file of weights in it; data and cache are temporary."""
    files = {**published.find_size_files(), NAME: root / f"{NAME}.json"}
    monkeypatch.setattr(published, "find_size_files", lambda: files)
    monkeypatch.setenv("CLIPNB_DATA", str(root / "data"))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    shutil.copy(root / FILE, tmp_path / FILE)
    return tmp_path


@pytest.fixture
def clipnb(here, monkeypatch, capsys):
    """Run a command line in that folder; return exit status, stdout and stderr."""

    def run(command):
        monkeypatch.setattr(sys, "argv", ["clipnb", *shlex.split(command)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def pretrained(here):
    return load_pretrained(NAME, FILE)


@pytest.fixture
def photos(root, here):
    """A folder of six photos, wider than high, so that the crop matters."""
    folder = here / "Pictures"
    folder.mkdir()
    for i, path in enumerate(sorted((root / "data" / "small" / "Images").iterdir())[:6]):
        Image.open(path).convert("RGB").resize((96, 48)).save(folder / f"{i}.jpg")
    return folder


RUN = f"--run {NAME}/{FILE}"


# ---- the command line: search and what belongs to it -----------------------------------------


def test_a_folder_is_searched(clipnb, photos):
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


def test_a_page_is_written_or_refused_before_anything_is_indexed(clipnb, photos, monkeypatch):
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


def test_a_wrong_name_is_refused_in_a_line(clipnb, photos):
    for name, message in {
        "ViT-tiny-9/openai": "open_clip has no model 'ViT-tiny-9'",
        f"{NAME}/none.safetensors": "none.safetensors",
        NAME: f"{NAME}/openai",
        f"ViT-B-16/{FILE}": "does not fit ViT-B-16",
    }.items():
        status, printed, said = clipnb(f"search Pictures dog --run {name}")
        assert (status, printed) == (2, "")
        assert message in said and len(said.splitlines()) == 1, said


# ---- the command line: evaluation and records ------------------------------------------------


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
    clipnb, root, recipe, monkeypatch, tmp_path
):
    shutil.copytree(root / "data", tmp_path / "data")
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


# ---- the command line: training from it ------------------------------------------------------

FAST = "--dataset small --set epochs=1 --set batch_size=24"


def test_training_starts_from_a_published_model(clipnb):
    init = f"--init {NAME}/{FILE}"
    status, printed, said = clipnb(f"train {init} {FAST}")
    assert status == 0, said
    assert (
        f"The recipe is finetune. For {NAME}/{FILE} it takes the image encoder clip/{NAME}" in said
    )
    assert f"Run(small, finetune, seed 0, 1 epochs, from {NAME}/{FILE})" in printed
    assert clipnb(f"evaluate {init} {FAST}")[1].startswith("Run(small, finetune")
    assert clipnb(f"search small dog {init} {FAST} -k 1")[0] in (0, 1)
    assert clipnb("search small dog --run small-finetune -k 1")[0] in (0, 1)
    assert (
        "no run of --recipe finetune --dataset small"
        in clipnb(f"evaluate {init} {FAST} --seed 7")[2]
    )


def test_a_frozen_image_encoder_gets_a_new_text_encoder(clipnb, here):
    options = f"--init {NAME}/{FILE} --freeze image {FAST}"
    missing = clipnb(f"evaluate {options}")[2]
    wanted = "--recipe locked_image --dataset small --set epochs=1 --set batch_size=24 --seed 0"
    assert f"no run of {wanted} --init {NAME}/{FILE}. Train one with: " in missing
    command = missing.partition("Train one with: clipnb ")[2].splitlines()[0]
    status, printed, said = clipnb(command)  # the command that is told does go on
    assert status == 0, said
    assert "the text encoder bag_of_words" in said
    assert clipnb(f"evaluate {options}")[0] == 0
    told = clipnb(f"evaluate {options} --seed 3")[2].splitlines()
    assert told[-1].strip() == f"{wanted} --init {NAME}/{here / FILE}", "among the finished runs"


def test_what_is_frozen_is_told_in_the_options(clipnb):
    missing = clipnb(f"evaluate --recipe quick --freeze image --init quick {FAST}")[2]
    assert "quick" in missing and len(missing.splitlines()) <= 2
    options = training.read_recipe_options(
        cli.build_parser().parse_args(
            shlex.split(f"train --freeze text --init {NAME}/{FILE} {FAST} --set flip=false")
        ),
        quiet=True,
    )
    assert options.freeze == "text" and options.text_encoder == f"clip/{NAME}"
    told = format_options(options, 2, f"{NAME}/{FILE}")
    assert told == (
        "--recipe finetune --dataset small --set epochs=1 --set batch_size=24 --set flip=False "
        f"--freeze text --seed 2 --init {NAME}/{FILE}"
    )


def test_an_image_encoder_of_a_library_is_adopted(here, monkeypatch):
    parse = cli.build_parser().parse_args
    torchvision = "--init torchvision/resnet18"
    recipe = training.read_recipe_options(parse(shlex.split(f"train {torchvision} {FAST}")), True)
    assert (recipe.name, recipe.image_encoder) == ("locked_image", "torchvision/resnet18")
    assert (recipe.image_size, recipe.stored_size, recipe.init_towers) == (224, 224, "image")
    told = format_options(recipe, 0, "torchvision/resnet18")
    assert training.read_recipe_options(parse(shlex.split(f"train {told}")), True) == recipe
    tuned = f"train {torchvision} {FAST} --recipe quick --set crop_size=0"
    recipe = training.read_recipe_options(parse(shlex.split(tuned)), quiet=True)
    assert (recipe.name, recipe.init_towers, recipe.freeze) == ("quick", "image", "none")


@pytest.mark.parametrize("options", ["--freeze both", "--freeze image --recipe finetune"])
def test_a_frozen_image_encoder_leaves_the_augmentation_out(clipnb, options):
    command = f"train --init {NAME}/{FILE} {options} {FAST}"
    status, _, said = clipnb(command)
    assert status == 0, said
    assert "It leaves the augmentation out, because the image encoder is frozen." in said
    told = clipnb(f"evaluate --init {NAME}/{FILE} {options} {FAST} --seed 3")[2].splitlines()[-1]
    assert "flip" not in told and "min_crop_area" not in told
    assert clipnb(f"evaluate {told}")[0] == 0


def test_only_what_is_loaded_is_taken_over(here):
    parse = cli.build_parser().parse_args
    start = f"{NAME}/{FILE}"
    command = f"train --recipe quick --init {start} {FAST} --set init_towers=image"
    for more in ("", "--set embed_dim=8", "--set stored_size=40 --freeze image"):
        arguments = parse(shlex.split(f"{command} {more}"))
        recipe = training.read_recipe_options(arguments, quiet=True)
        assert (recipe.text_encoder, recipe.image_encoder) == ("bag_of_words", f"clip/{NAME}")
        told = format_options(recipe, 0, start)
        assert training.read_recipe_options(parse(shlex.split(f"train {told}")), True) == recipe
        unnamed = dataclasses.replace(recipe, name="my own")
        told = format_options(unnamed, 0, start)
        assert training.read_recipe_options(parse(shlex.split(f"train {told}")), True) == unnamed


def test_mistakes_with_a_start_are_told_in_a_line(clipnb):
    frozen = f"train --init {NAME}/{FILE} --freeze image"
    for command, message in {
        f"train --init {NAME}/nowhere.pt {FAST}": "nowhere.pt",
        f"{frozen} {FAST} --recipe finetune --set flip=true": "only once",
        f"train --freeze image {FAST}": "needs weights to start from",
        f"train --init {NAME}/{FILE} --freeze all {FAST}": "invalid choice: 'all'",
    }.items():
        status, _, said = clipnb(command)
        assert status == 2
        assert message in said.splitlines()[-1], said


# ---- widgets ---------------------------------------------------------------------------------


@pytest.fixture
def index(pretrained, photos):
    return ImageIndex.build(pretrained.model, pretrained.tokenizer, PhotoFolder(photos))


def make_dataset(n=30):
    """Images with one caption each, of three kinds that the model cannot tell apart."""
    images = np.random.default_rng(0).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    captions = [[f"a {['red dog', 'blue cat', 'green boat'][i % 3]} number {i}"] for i in range(n)]
    return CaptionDataset("toy", "test", images, captions, [f"{i}.png" for i in range(n)])


@pytest.fixture
def captioned(pretrained):
    return ImageIndex.build(pretrained.model, pretrained.tokenizer, make_dataset())


def test_the_search_widget(index, photos):
    widget = RetrievalWidget(index)
    widget.query.value = "a red dog"
    assert len(widget.hits) == 6
    assert "Nothing here matches" not in widget.status.value
    assert "This model does not know" not in widget.status.value
    expected = 1 / index.model.logit_scale.exp().item()
    assert widget.options.temperature.value == pytest.approx(expected, rel=0.05)
    widget.options.bars.value = "softmax"
    assert sum(widget._share_out()) == pytest.approx(1)
    widget.open_details(0)
    assert "loses without each word" in widget.details.text.value
    widget.details.region.value = True
    assert "Orange parts raise" in widget.details.figure.value
    widget.options.template.value = "a photo of a {}"
    assert len(widget.hits) == 6
    widget.options.map_it.value = True
    assert widget.options.map_place.children


def test_an_own_image_goes_through_the_models_preprocessing(index, photos):
    widget = RetrievalWidget(index)
    widget.options.own.receive("4.jpg", (photos / "4.jpg").read_bytes())
    assert widget.hits[0].image_id == "4.jpg"
    assert widget.hits[0].score == pytest.approx(1, abs=2e-3), "cropped as the index was"


def test_a_word_in_pieces_is_not_called_unknown(index):
    widget = RetrievalWidget(index)
    widget.query.value = "a quaggaraptor and a yelow dog "
    told = widget.status.value
    assert "spells the word “quaggaraptor” in pieces; the model may know it." in told
    assert "“yelow” in pieces; the model may know it; did you mean “yellow”?" in told
    assert "does not know" not in told and "means little" not in told


def test_the_prompt_laboratory(pretrained):
    images = make_dataset().images
    truth = ["dog", "cat", "boat"] * 10
    lab = PromptLab(pretrained.model, pretrained.tokenizer, images, truth, ["dog", "cat", "boat"])
    assert 0 <= lab.accuracy <= 100
    lab.templates.value = "a photo of a {}"
    assert lab.accuracy is not None
    lab.classes.value = "quaggaraptor, cat, boat"
    assert "CLIP&#x27;s vocabulary spells “quaggaraptor” in pieces" in lab.status.value
    assert "means nothing" not in lab.status.value


def test_the_game_and_the_map(captioned):
    game = MatchingGame(captioned)
    for choice in game.choices:
        choice.value = "A"
    game.compare.click()
    assert "the model" in game.status.value
    collection = CollectionMap(captioned)
    assert collection.describe()["cells"]
    collection.pick(*next(iter(collection.layout_of_images.cells)))
    assert "Nearest to" in collection.found.value


def test_the_sentence_lens(pretrained):
    dataset = make_dataset()
    captions = [own[0] for own in dataset.captions]
    model = pretrained.model
    lens = SentenceLens(model, pretrained.tokenizer, dataset.images, captions, "a red dog")
    assert lens.tokens == ["[SOS]", "a", "red", "dog", "[EOS]"]
    assert "[EOS] stays, because the text is read there" in lens.results.value
    assert lens.weights[-1] == 0 and lens.weights[:-1].abs().min() > 0
    assert lens.attention.triu(diagonal=1).abs().max() == 0, "no token sees those after it"
    torch.testing.assert_close(lens.attention.sum(dim=1), torch.ones(5))
    lens.sentence.value = "a red dog " * 20
    assert len(lens.tokens) == 20 and lens.tokens[-1] == "[EOS]"


def test_a_token_left_out_is_left_out_before_the_end(pretrained):
    model, tokenizer = pretrained.model, pretrained.tokenizer
    feature = torch.nn.functional.normalize(torch.randn(24), dim=0)
    tokens = tokenizer(["a red dog"])
    whole, without = (
        model.encode_text(tokenizer([text]), normalize=True)[0] @ feature
        for text in ("a red dog", "a dog")
    )
    with torch.no_grad():
        losses = leave_one_out(model, tokens, feature)
    assert losses[2].item() == pytest.approx((whole - without).item(), abs=1e-5)
