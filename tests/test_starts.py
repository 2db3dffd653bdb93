"""Runs that start from trained weights, and learn only a part of them."""

import dataclasses
import json
import shutil
from urllib.error import URLError

import pytest
import safetensors.torch
import torch

import clipnb.training
from clipnb import (
    RECIPES,
    BagOfWords,
    TextTransformer,
    TinyCNN,
    ViT,
    create_model,
    evaluate,
    load_or_train,
    load_run,
    run_folder,
    runs,
    seed_everything,
    starts,
    train,
)
from clipnb.features import digest_weights, encode_images
from clipnb.frozen import encode_frozen
from clipnb.model import IMAGE_ENCODERS, TEXT_ENCODERS
from clipnb.pretrained import Pretrained, open_run
from clipnb.selection import split_published_name
from clipnb.tokenizer import clip_tokenizer
from clipnb.towers.libraries import LIBRARIES, Backbone
from clipnb.training import iterate_batches, tokenize

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 20 dev images")


@pytest.fixture
def base(small, recipe):
    """A recipe of two epochs with batch norm and dropout, whose images stay as they are."""
    return dataclasses.replace(
        recipe,
        name="base",
        image_encoder="residual_cnn",
        image_width=32,
        embed_dim=32,
        stored_size=32,
        epochs=2,
        min_crop_area=1.0,
        flip=False,
        colour=0.0,
    )


@pytest.fixture
def first(base):
    """A finished run to start from."""
    return load_or_train(dataclasses.replace(base, epochs=1))


@pytest.fixture
def tuned(base, first):
    """A function that trains a changed recipe from the weights of `first`."""

    def train_from_first(folder, resume=False, init=first.folder, seed=3, **changes):
        changed = dataclasses.replace(base, name="tuned", **changes)
        return train(changed, seed, folder, resume, init=init)

    return train_from_first


def list_digests(model):
    return {name: digest_weights(part) for name, part in model.named_children()}


def list_kept(run, other):
    """List the parts that two runs have in common, bit for bit."""
    mine, theirs = list_digests(run.model), list_digests(other.model)
    return {name for name in mine if mine[name] == theirs[name]}


# ---- frozen encoders -------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_locked_image_encoder_stays_and_a_new_text_encoder_learns(
    tuned, first, tmp_path, optimizer
):
    run = tuned(
        tmp_path / "run",
        freeze="image",
        init_towers="image",
        optimizer=optimizer,
        ema=0.5,
        text_encoder="bag_of_words",
        vocab_size=280,
    )
    assert list_kept(run, first) == {"image_encoder", "image_projection"}
    assert isinstance(run.model.text_encoder, BagOfWords)
    assert run.tokenizer.vocab_size != first.tokenizer.vocab_size, "a tokenizer of its own"
    learned = sum(p.numel() for p in run.model.text_encoder.parameters())
    learned += run.model.text_projection.weight.numel() + 1
    assert run.metrics["learned_parameters"] == learned
    assert run.metrics["dev"] == evaluate(run.model, run.tokenizer, load_dev(run))


def load_dev(run):
    return clipnb.load_dataset(run.recipe.dataset, "dev", run.recipe.image_size)


@pytest.mark.parametrize(
    "changes, kept",
    [
        ({"freeze": "image"}, {"image_encoder", "image_projection"}),
        ({"freeze": "text"}, {"text_encoder", "text_projection"}),
        ({"freeze": "both"}, {"image_encoder", "text_encoder"}),
        ({"freeze": "both", "token_dropout": 0.0}, {"image_encoder", "text_encoder"}),
        ({"freeze": "text", "init_towers": "text"}, {"text_encoder", "text_projection"}),
        ({"freeze": "image", "init_towers": "image", "embed_dim": 16}, {"image_encoder"}),
    ],
)
def test_what_is_frozen_is_kept_and_evaluated_as_the_whole_model_is(
    tuned, first, tmp_path, changes, kept
):
    run = tuned(tmp_path / "run", **changes)
    assert list_kept(run, first) == kept
    expected = evaluate(run.model, run.tokenizer, load_dev(run))
    assert run.metrics["dev"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"freeze": "image", "init_towers": "image"},
        {"freeze": "both", "token_dropout": 0.0},
        {"lora_rank": 2, "ema": 0.5, "flip": True},
        {"lora_rank": 2, "optimizer": "muon", "freeze": "text"},
    ],
    ids=["locked image", "adapter", "lora and an average", "lora beside a frozen encoder"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tuned, tmp_path, monkeypatch, changes):
    whole = tuned(tmp_path / "whole", **changes)
    end_epoch = clipnb.training.end_epoch

    def stop_after_the_first(run, *rest):
        if run.history:
            raise KeyboardInterrupt
        end_epoch(run, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(clipnb.training, "end_epoch", stop_after_the_first)
        with pytest.raises(KeyboardInterrupt):
            tuned(tmp_path / "broken", **changes)
    seed_everything(99)
    resumed = tuned(tmp_path / "broken", resume=True, **changes)
    assert len(whole.history) == len(resumed.history) == 2
    assert digest_weights(whole.model) == digest_weights(resumed.model)
    assert [row["loss"] for row in whole.history] == [row["loss"] for row in resumed.history]
    assert whole.metrics["learned_parameters"] == resumed.metrics["learned_parameters"]


def test_images_are_encoded_once_for_all_epochs(tuned, tmp_path, monkeypatch):
    counts, encode = [], clipnb.ResidualCNN.forward

    def count(self, images):
        counts.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(clipnb.ResidualCNN, "forward", count)
    monkeypatch.setattr(runs, "FEW_DEV_IMAGES", 20)
    tuned(tmp_path / "run", freeze="image", epochs=4)
    assert sorted(counts) == [20, 48]


def test_cached_outputs_give_the_batches_of_the_encoders(first, small):
    recipe = dataclasses.replace(first.recipe, freeze="both", token_dropout=0.0)
    dataset = small("train")
    tokens = tokenize(first.tokenizer, dataset.captions)
    encoded = encode_frozen(first.model, dataset, tokens, recipe)
    expected = encode_images(first.model, dataset.images, projected=False)
    assert torch.allclose(torch.from_numpy(encoded.images), expected, atol=1e-6)
    cpu = torch.device("cpu")
    seed_everything(0)
    images, texts = next(iterate_batches(dataset, tokens, recipe, cpu))
    seed_everything(0)
    outputs, text_outputs = next(iterate_batches(encoded, encoded.texts, recipe, cpu))
    with torch.no_grad():
        assert torch.allclose(outputs, first.model.image_encoder(images), atol=1e-5)
        for one, captions in zip(text_outputs, texts, strict=True):
            assert torch.allclose(one, first.model.text_encoder(captions), atol=1e-5)


# ---- LoRA ------------------------------------------------------------------------------------


def test_a_run_with_lora_holds_plain_merged_weights(tuned, first, tmp_path):
    run = tuned(tmp_path / "run", lora_rank=2)
    fields = dataclasses.asdict(run.recipe) | {"lora_rank": 0}
    plain = create_model(clipnb.Recipe(**fields))
    plain.load_state_dict(safetensors.torch.load_file(run.folder / "model.safetensors"))
    assert digest_weights(plain) == digest_weights(run.model)
    change = run.model.state_dict()["image_encoder.stem.1.0.weight"]
    change = change - first.model.state_dict()["image_encoder.stem.1.0.weight"]
    singular = torch.linalg.svdvals(change.flatten(1))
    assert singular[1] > 1e-5 and singular[2] < 1e-6, "the change has rank 2"
    norms = {name for name, _ in run.model.named_buffers()}
    assert norms and all(
        torch.equal(run.model.state_dict()[name], first.model.state_dict()[name]) for name in norms
    )
    assert run.metrics["learned_parameters"] < sum(p.numel() for p in plain.parameters()) / 4
    assert run.metrics["dev"] == pytest.approx(
        evaluate(run.model, run.tokenizer, load_dev(run)), abs=1e-4
    )


# ---- without weights to start from -----------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{"freeze": "image"}, {"init_towers": "text"}, {"lora_rank": 2}]
)
def test_a_recipe_that_adapts_needs_an_init(base, tmp_path, changes):
    message = "adapts trained encoders .* so it needs weights to start from: .* ViT-B-32/openai"
    with pytest.raises(ValueError, match=message):
        train(dataclasses.replace(base, **changes), 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_does_not_fit_one_encoder_is_named(tuned, tmp_path):
    message = r"image_encoder.*weight is \(4, 3, 3, 3\) there and \(8, 3, 3, 3\) here"
    with pytest.raises(ValueError, match=message):
        tuned(tmp_path / "run", init_towers="image", image_width=64)
    with pytest.raises(ValueError, match="text_encoder.blocks.* is missing here"):
        tuned(tmp_path / "run", init_towers="text", text_encoder="bag_of_words")
    assert not (tmp_path / "run").exists()


# ---- published models ------------------------------------------------------------------------


@pytest.fixture
def published(base, monkeypatch, tmp_path):
    """A published model "tiny" with the tag "openai", and in a file. Returns its run."""

    def make_image_encoder(recipe):
        return ViT(32, patch_size=16, width=16, layers=1, heads=2, pooling="class")

    def make_text_encoder(recipe):
        sizes = {"width": 8, "layers": 1, "heads": 2, "feedforward": 16}
        return TextTransformer(49408, 77, **sizes, causal=True, pooling="eos")

    monkeypatch.setitem(IMAGE_ENCODERS, "clip/tiny", make_image_encoder)
    monkeypatch.setitem(TEXT_ENCODERS, "clip/tiny", make_text_encoder)
    monkeypatch.setattr("clipnb.towers.published.find_size_files", lambda: {"tiny": None})
    recipe = dataclasses.replace(
        base,
        name="tiny/openai",
        image_encoder="clip/tiny",
        text_encoder="clip/tiny",
        tokenizer="clip",
        vocab_size=49408,
        embed_dim=12,
    )
    seed_everything(5)
    run = Pretrained(create_model(recipe).eval(), clip_tokenizer(), recipe, 0, tmp_path / "none")
    monkeypatch.setattr(starts, "open_published", lambda name: run)
    return run


def test_a_published_model_is_trained_on_and_its_run_needs_it_no_more(
    published, base, tmp_path, monkeypatch
):
    recipe = starts.adopt_init(dataclasses.replace(base, name="adopted"), "tiny/openai")
    assert recipe.text_encoder == recipe.image_encoder == "clip/tiny"
    assert (recipe.tokenizer, recipe.embed_dim) == ("clip", 12)
    still = dataclasses.replace(recipe, learning_rate=0.0, epochs=1)
    run = load_or_train(still, init="tiny/openai")
    assert digest_weights(run.model) == digest_weights(published.model), "nothing was learned"
    assert run.init["run"] == "tiny/openai"
    assert repr(run) == "Run(small, adopted, seed 0, 1 epochs, from tiny/openai)"
    assert run.folder == run_folder(still, init="tiny/openai") != run_folder(still)
    assert json.loads((run.folder / "recipe.json").read_text())["init"] == run.init
    monkeypatch.delattr(starts, "open_published")
    assert load_or_train(still, init="tiny/openai").history == run.history
    assert digest_weights(load_run(run.folder).model) == digest_weights(run.model)
    with pytest.raises(ValueError, match="init: .*'tiny/openai'.* there, None asked for"):
        load_run(run.folder, still)


def test_the_image_encoder_of_a_published_model_is_locked(published, base, tmp_path):
    locked = dataclasses.replace(base, name="locked", freeze="image", init_towers="image")
    recipe = starts.adopt_init(locked, "tiny/openai")
    assert (recipe.text_encoder, recipe.tokenizer) == ("transformer", "captions")
    run = train(recipe, 0, tmp_path / "run", init="tiny/openai")
    assert list_kept(run, published) == {"image_encoder", "image_projection"}


def test_the_same_shapes_under_another_name_are_refused(published, base, monkeypatch, tmp_path):
    """Shapes do not tell QuickGELU from GELU, so the names of the encoders have to agree."""
    monkeypatch.setitem(IMAGE_ENCODERS, "clip/other", IMAGE_ENCODERS["clip/tiny"])
    other = dataclasses.replace(published.recipe, image_encoder="clip/other", name="other")
    with pytest.raises(ValueError, match="image encoder clip/tiny, not clip/other; `clipnb.starts"):
        train(other, 0, tmp_path / "run", init="tiny/openai")
    scaled = dataclasses.replace(published.model.preprocess, mean=(0.1, 0.2, 0.3))
    published.model.preprocess = scaled
    with pytest.raises(ValueError, match="tiny/openai takes images scaled otherwise"):
        train(published.recipe, 0, tmp_path / "run", init="tiny/openai")


def test_files_are_told_apart_by_their_content(published, tmp_path):
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "model.pt"
    file.write_bytes(b"one")
    described = runs.describe_init(f"tiny/{file}")
    assert described["run"] == "tiny/model.pt", "no path of this machine"
    folder = runs.describe_init(f"tiny/{tmp_path / 'a'}")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    moved = runs.describe_init(f"tiny/{tmp_path / 'b' / 'model.pt'}")
    assert (moved["run"], moved["weights"]) == (described["run"], described["weights"])
    assert moved["path"] == f"tiny/{tmp_path}/b/model.pt"
    file.write_bytes(b"two")
    assert runs.describe_init(f"tiny/{file}") != described
    assert runs.describe_init(f"tiny/{tmp_path / 'a'}") != folder
    assert runs.describe_init("tiny/openai") != runs.describe_init("tiny/laion")


@pytest.mark.parametrize("name", ["w.pth", "w.ckpt", "model.safetensors", "w.bin"])
def test_a_folder_is_told_apart_by_its_weights_whatever_their_ending(published, tmp_path, name):
    (tmp_path / name).write_bytes(b"one")
    described = runs.describe_init(f"tiny/{tmp_path}")
    (tmp_path / name).write_bytes(b"two")
    assert runs.describe_init(f"tiny/{tmp_path}")["weights"] != described["weights"]
    (tmp_path / name).rename(tmp_path / "weights")
    with pytest.raises(FileNotFoundError, match="holds no weights"):
        runs.describe_init(f"tiny/{tmp_path}")


def test_a_large_file_is_read_once(tmp_path, monkeypatch):
    file, counts, digest = tmp_path / "large", [], runs.hashlib.file_digest

    def count(*arguments):
        counts.append(1)
        return digest(*arguments)

    monkeypatch.setattr(runs, "LARGE_FILE", 3)
    monkeypatch.setattr(runs.hashlib, "file_digest", count)
    file.write_bytes(b"once")
    first = runs.digest_file(file)
    assert runs.digest_file(file) == first and len(counts) == 1
    file.write_bytes(b"changed")
    assert runs.digest_file(file) != first and len(counts) == 2


def test_a_name_means_the_same_to_train_and_to_search(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    assert split_published_name("ViT-B/32/openai") == ("ViT-B-32", "openai")
    assert split_published_name("ViT-B/32//a/b.pt") == ("ViT-B-32", "/a/b.pt")
    described = runs.describe_init("ViT-B-32/openai")
    assert runs.describe_init("ViT-B/32/openai") == described
    (tmp_path / "openai").mkdir()
    assert runs.describe_init("ViT-B-32/openai") == described, "the tag, not the folder"
    for open_one in (open_run, starts.open_start):
        with pytest.raises(ValueError, match="open_clip has no model 'ViT-B-33'.* ViT-B-32"):
            open_one("ViT-B-33/openai")
        for name in ("ViT-B-32", "ViT-B/32"):
            with pytest.raises(FileNotFoundError, match="Name its weights too.*: ViT-B-32/openai"):
                open_one(name)
    with pytest.raises(ValueError, match="is an image encoder alone"):
        open_run("torchvision/resnet18")


def test_the_bias_of_siglip_starts_anew_but_is_not_dropped(tuned, base, tmp_path):
    run = tuned(tmp_path / "run", loss="siglip", learning_rate=0.0, epochs=1)
    expected = create_model(run.recipe).logit_bias.item()
    assert run.model.logit_bias.item() == pytest.approx(expected)
    with pytest.raises(ValueError, match="with the loss 'siglip'.*; set loss='siglip'"):
        tuned(tmp_path / "other", init=run.folder)


# ---- the image encoders of libraries ---------------------------------------------------------


def make_backbone(name, recipe=None, pretrained=False):
    """Stand for a creator of a library: "pretrained" weights are all the same number."""
    encoder = Backbone(TinyCNN(), 128)
    if pretrained:
        for parameter in encoder.parameters():
            torch.nn.init.constant_(parameter, 0.01)
    return encoder


def test_the_image_encoder_of_a_library_is_locked(base, monkeypatch, tmp_path):
    monkeypatch.setitem(LIBRARIES, "torchvision", make_backbone)
    locked = dataclasses.replace(base, name="locked", freeze="image", init_towers="image")
    adopted = starts.adopt_init(locked, "torchvision/resnet18")
    assert adopted.image_encoder == "torchvision/resnet18"
    assert (adopted.image_size, adopted.stored_size) == (224, 224)
    recipe = dataclasses.replace(adopted, image_size=32, stored_size=32)
    run = train(recipe, 0, tmp_path / "run", init="torchvision/resnet18")
    assert all((p == 0.01).all() for p in run.model.image_encoder.parameters())
    learned = run.metrics["learned_parameters"]
    assert learned > run.model.image_projection.weight.numel(), "the projection is new and learns"
    assert run.init["run"] == "torchvision/resnet18"
    with pytest.raises(ValueError, match="has only an image encoder; set init_towers='image'"):
        train(
            dataclasses.replace(recipe, freeze="none", init_towers="both"),
            0,
            tmp_path / "other",
            init="torchvision/resnet18",
        )
    with pytest.raises(ValueError, match="torchvision/resnet18, not residual_cnn"):
        train(locked, 0, tmp_path / "other", init="torchvision/resnet18")


@pytest.mark.parametrize(
    "error, message",
    [
        (URLError("no network"), "cannot be loaded .*no network.* downloads them once"),
        (ImportError("No module named 'timm'"), "needs the package timm: `pip install timm`"),
    ],
)
def test_weights_that_cannot_be_downloaded_are_told_in_one_line(
    base, monkeypatch, tmp_path, error, message
):
    def fail(name, recipe=None, pretrained=False):
        raise error

    monkeypatch.setitem(LIBRARIES, "timm", fail)

    def decode(*arguments):
        raise AssertionError("the images are decoded in vain")

    monkeypatch.setattr(clipnb.training, "load_dataset", decode)
    recipe = dataclasses.replace(base, image_encoder="timm/tiny", init_towers="image")
    with pytest.raises(ValueError, match=message) as caught:
        train(recipe, 0, tmp_path / "run", init="timm/tiny")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["squeezenet1_1", "fcn_resnet50", "googlenet", "no_such_model"])
def test_what_is_no_classifier_cannot_be_an_image_encoder(base, monkeypatch, name):
    pytest.importorskip("torchvision")

    def download(*arguments, **options):
        raise AssertionError("a download")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", download)
    with pytest.raises(ValueError, match="cannot be an image encoder"):
        starts.open_start(f"torchvision/{name}")
    recipe = dataclasses.replace(base, image_encoder=f"torchvision/{name}")
    with torch.device("meta"), pytest.raises(ValueError, match="cannot be an image encoder"):
        create_model(recipe)


def test_an_encoder_of_timm_takes_the_size_of_the_images(base):
    pytest.importorskip("timm")
    recipe = dataclasses.replace(base, image_encoder="timm/vit_tiny_patch16_224")
    with torch.device("meta"):
        model = create_model(recipe)
        features = model.encode_image(torch.zeros(1, 3, 32, 32))
        assert features.shape == (1, base.embed_dim)
        create_model(dataclasses.replace(base, image_encoder="timm/resnet18"))


def test_the_recipes_that_adapt_are_complete():
    locked, finetune = RECIPES["locked_image"], RECIPES["finetune"]
    assert (locked.freeze, locked.init_towers) == ("image", "image")
    assert locked.image_encoder == RECIPES["quick"].image_encoder
    assert finetune.freeze == "none" and finetune.init_towers == "both"
