"""Our models in open_clip and in transformers: the same features, and the same weights back."""

import dataclasses
import json
import os
import sys

import numpy as np
import pytest
import torch
from twins import difference, randomize, tiny_sizes

from clipnb.encoders import TextTransformer, ViT
from clipnb.model import CLIP, create_model
from clipnb.preprocess import CLIP_MEAN, CLIP_STD, Preprocess
from clipnb.pretrained import export
from clipnb.pretrained.export import (
    save_hugging_face,
    save_open_clip,
    to_hugging_face,
    to_open_clip,
)
from clipnb.pretrained.names import rename_to_ours
from clipnb.pretrained.open_clip_config import find_ratio
from clipnb.recipes import RECIPES
from clipnb.tokenizer import clip_tokenizer, train_tokenizer
from clipnb.towers.published import parse_architecture
from clipnb.towers.sizes import find_architecture

TEXTS = [
    "a dog in the snow",
    "",
    "  Two\tCATS,   and 12 birds!  ",
    "it's 5 o'clock; they've left... !% #1",
    "naïve Über-café 雪の中の犬 🐶🐶 ½",
    "a very long text " * 30,
]
OWN = dataclasses.replace(
    RECIPES["quick"],
    image_encoder="clip_vit",
    text_encoder="clip_transformer",
    tokenizer="clip",
    vocab_size=49408,
    context_length=40,
)


def create(sizes):
    """A random model with the sizes of an open_clip description."""
    architecture = parse_architecture("tiny", sizes)
    towers = architecture.create_image_encoder(), architecture.create_text_encoder()
    preprocess = Preprocess(architecture.image_size, CLIP_MEAN, CLIP_STD, crop=True)
    return CLIP(*towers, architecture.embed_dim, preprocess)


def make_models():
    torch.manual_seed(0)
    sizes = tiny_sizes()
    sizes["vision_cfg"]["mlp_ratio"] = 3.3  # 211 channels; some published models are so odd
    return {
        "published": randomize(create(sizes)),
        "own": randomize(create_model(OWN)),
        "own_sigmoid": randomize(create_model(dataclasses.replace(OWN, loss="siglip"))),
        "resnet": randomize(create(tiny_sizes(resnet=True))),
    }


MODELS = make_models()


@pytest.fixture
def tokenizer():
    return clip_tokenizer()


@pytest.fixture(scope="module")
def photo():
    """A picture that is no square, with enough detail that a wrong crop shows."""
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((130, 90), Image.Resampling.BICUBIC)


def fit_tokenizer(model):
    """CLIP's tokenizer with the model's own length: the models of `OWN` read 40 tokens."""
    return clip_tokenizer(len(model.text_encoder.positional_embedding))


def run_readme(folder):
    """The names that the program in an export's README.txt makes."""
    lines = (folder / "README.txt").read_text().splitlines()
    program = "\n".join(line[4:] for line in lines if line.startswith("    "))
    names = {}
    exec(program.replace("FOLDER", str(folder)), names)  # noqa: S102 (our own text)
    return names


def assert_same_weights(model, weights):
    ours = model.state_dict()
    found = rename_to_ours(weights, find_architecture(model))
    assert found.keys() == ours.keys()
    for name, tensor in ours.items():
        assert torch.equal(found[name], tensor), name


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_open_clip_loads_the_folder(name, tokenizer, photo, tmp_path):
    model = MODELS[name]
    folder = save_open_clip(model, tokenizer, tmp_path / "out")
    names = run_readme(folder)
    other, preprocess = names["model"].eval(), names["preprocess"]
    assert_same_weights(model, other.state_dict())
    assert_same_weights(model, to_open_clip(model))

    image = preprocess(photo)
    torch.testing.assert_close(image, model.preprocess(photo), rtol=0, atol=1e-5)
    tokens = names["tokenizer"](TEXTS)
    expected = fit_tokenizer(model)(TEXTS)
    assert torch.equal(tokens[:, : expected.shape[1]], expected)
    assert difference(model.encode_image(image[None]), other.encode_image(image[None])) < 1e-5
    assert difference(model.encode_text(expected), other.encode_text(tokens)) < 1e-5
    if name == "own_sigmoid":
        assert other.logit_bias.item() == model.logit_bias.item()


@torch.no_grad()
@pytest.mark.parametrize("name", ["published", "own"])
def test_transformers_loads_the_folder(name, tokenizer, photo, tmp_path):
    pytest.importorskip("transformers")
    model = MODELS[name]
    folder = save_hugging_face(model, tokenizer, tmp_path / "out")
    names = run_readme(folder)
    other, processor = names["model"], names["processor"]
    assert_same_weights(model, other.state_dict())
    assert_same_weights(model, to_hugging_face(model).state_dict())

    inputs = processor(text=TEXTS, images=photo, padding=True, truncation=True, return_tensors="pt")
    expected = fit_tokenizer(model)(TEXTS)
    for row, ids in zip(inputs["input_ids"].tolist(), expected.tolist(), strict=True):
        n = ids.index(tokenizer.eos) + 1
        assert row[:n] == ids[:n]
    # Within two levels of 255: transformers scales the image with torchvision instead of Pillow.
    levels = (inputs["pixel_values"][0] - model.preprocess(photo)).abs() * 255
    assert (levels * torch.tensor(model.preprocess.std)[:, None, None]).max() < 2.01

    # transformers before 5 looks into a file of its own for how an image is scaled.
    description = json.loads((folder / "preprocessor_config.json").read_text())
    assert description["image_mean"] == list(model.preprocess.mean)
    assert description["do_center_crop"] == model.preprocess.crop

    outputs = other(**inputs)
    text_features = model.encode_text(expected, normalize=True)
    image_features = model.encode_image(inputs["pixel_values"], normalize=True)
    assert difference(outputs.text_embeds, text_features) < 1e-5
    assert difference(outputs.image_embeds, image_features) < 1e-5
    logits = model.logit_scale.exp() * image_features @ text_features.T
    assert difference(outputs.logits_per_image, logits) < 1e-5


def test_the_model_itself_does_not_change(tokenizer, tmp_path):
    pytest.importorskip("transformers")
    model = MODELS["published"]
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_open_clip(model, tokenizer, tmp_path / "open_clip")
    save_hugging_face(model, tokenizer, tmp_path / "hugging_face")
    with torch.no_grad():
        to_hugging_face(model).logit_scale.fill_(0)
    assert all(module.training for module in model.modules())
    model.eval()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_model_made_by_hand_has_the_size_of_its_encoder(tokenizer, tmp_path):
    pytest.importorskip("transformers")
    image = ViT(32, 16, 128, 2, 2, pooling="class")
    text = TextTransformer(49408, 77, 64, 2, 1, 256, 0.0, causal=True, pooling="eos")
    model = CLIP(image, text, 16).eval()
    folder = save_open_clip(model, tokenizer, tmp_path / "out")
    written = json.loads((folder / "open_clip_config.json").read_text())
    assert written["model_cfg"]["vision_cfg"]["image_size"] == 32
    assert written["model_cfg"]["vision_cfg"]["mlp_ratio"] == 4  # not 4.0039
    assert to_hugging_face(model).config.vision_config.image_size == 32


@pytest.mark.parametrize("feedforward, ratio", [(256, 4.0), (211, 211 / 64), (6144, 96.0)])
def test_the_ratio_is_the_plain_quotient(feedforward, ratio):
    assert find_ratio(feedforward, 64) == ratio


def test_no_ratio_loses_a_channel():
    for width in range(64, 1664, 37):
        for feedforward in range(width, 8 * width, 101):
            assert int(width * find_ratio(feedforward, width)) == feedforward


def test_a_folder_in_the_home(tokenizer, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    for save in (save_open_clip, save_hugging_face):
        assert save(MODELS["published"], tokenizer, f"~/{save.__name__}").parent == tmp_path


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("save", [save_open_clip, save_hugging_face])
def test_models_that_they_cannot_hold_are_refused(save, tokenizer, tmp_path):
    model = create_model(RECIPES["quick"])
    with pytest.raises(ValueError, match="cannot hold this model") as error:
        save(model, tokenizer, tmp_path / "out")
    assert 'image_encoder="clip_vit"' in str(error.value)
    assert not list(tmp_path.iterdir())


def test_hugging_face_has_no_resnet_and_no_bias(tokenizer, tmp_path):
    with pytest.raises(ValueError, match=r"cannot hold a ResNet\. Export this model for open_clip"):
        save_hugging_face(MODELS["resnet"], tokenizer, tmp_path / "out")
    with pytest.raises(ValueError, match="no place for the bias of the sigmoid loss"):
        save_hugging_face(MODELS["own_sigmoid"], tokenizer, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("save", [save_open_clip, save_hugging_face])
def test_another_vocabulary_is_refused(save, tmp_path):
    tokenizer = train_tokenizer(["a red car", "two dogs"], 100)
    if save is save_hugging_face:
        pytest.importorskip("transformers")
    with pytest.raises(ValueError, match='recipe fields tokenizer="clip"'):
        save(MODELS["own"], tokenizer, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_model_with_a_tensor_of_its_own_is_refused():
    model = create(tiny_sizes())
    block = model.text_encoder.blocks[1].attention
    block.lora = torch.nn.Linear(4, 4)
    with pytest.raises(ValueError, match=r"text_encoder.blocks.1.attention.lora.*merge_lora"):
        to_open_clip(model)


@pytest.mark.parametrize("save", [save_open_clip, save_hugging_face])
def test_folders(save, tokenizer, tmp_path):
    """An empty folder and an earlier export are taken, and nothing else."""
    if save is save_hugging_face:
        pytest.importorskip("transformers")
    model = MODELS["published"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".DS_Store").write_text("a view")  # Finder writes it anywhere
    folder = save(model, tokenizer, tmp_path / "out")
    save(model, tokenizer, folder)
    assert (folder / ".DS_Store").read_text() == "a view"
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="out holds other files than such an export"):
        save(model, tokenizer, folder)
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "notes.txt").unlink()
    (folder / "README.txt").write_text("mine")  # the same files, but made by somebody else
    with pytest.raises(FileExistsError, match="name a new folder"):
        save(model, tokenizer, folder)
    with pytest.raises(FileExistsError, match=r"README.txt is a file; name a folder"):
        save(model, tokenizer, folder / "README.txt")


def test_an_export_that_fails_leaves_nothing(tokenizer, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(export, "save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        save_open_clip(MODELS["published"], tokenizer, tmp_path / "out")
    monkeypatch.setattr(export, "create_processor", fail)
    pytest.importorskip("transformers")
    with pytest.raises(OSError, match="No space left"):
        save_hugging_face(MODELS["published"], tokenizer, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_without_transformers_it_says_what_to_install(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'clipnb\[pretrained\]'"):
        save_hugging_face(MODELS["own"], tokenizer, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_as_such(tokenizer, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="export cannot be written: no file may be so large"):
            save_open_clip(make_models()["published"], tokenizer, tmp_path / "export")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not os.listdir(tmp_path)
