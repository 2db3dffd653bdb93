"""Runs that start from a published model."""

import dataclasses
import json
import shutil

import pytest
from run_parts import list_kept

from clipnb import (
    TextTransformer,
    ViT,
    create_model,
    disk,
    load_or_train,
    load_run,
    run_folder,
    run_folders,
    seed_everything,
    starts,
    train,
)
from clipnb.features import digest_weights
from clipnb.model import IMAGE_ENCODERS, TEXT_ENCODERS
from clipnb.pretrained import Pretrained
from clipnb.tokenizer import clip_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 20 dev images")


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
    monkeypatch.setattr(starts, "open_run", lambda name: run)
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
    monkeypatch.delattr(starts, "open_run")
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
        train(dataclasses.replace(published.recipe, name="mine"), 0, init="tiny/openai")


def test_files_are_told_apart_by_their_content(published, tmp_path):
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "model.pt"
    file.write_bytes(b"one")
    described = run_folders.describe_init(f"tiny/{file}")
    assert described["run"] == "tiny/model.pt", "no path of this machine"
    folder = run_folders.describe_init(f"tiny/{tmp_path / 'a'}")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    moved = run_folders.describe_init(f"tiny/{tmp_path / 'b' / 'model.pt'}")
    assert (moved["run"], moved["weights"]) == (described["run"], described["weights"])
    assert moved["path"] == f"tiny/{tmp_path}/b/model.pt"
    file.write_bytes(b"two")
    assert run_folders.describe_init(f"tiny/{file}") != described
    assert run_folders.describe_init(f"tiny/{tmp_path / 'a'}") != folder
    assert run_folders.describe_init("tiny/openai") != run_folders.describe_init("tiny/laion")


@pytest.mark.parametrize("name", ["w.pth", "w.ckpt", "model.safetensors", "w.bin"])
def test_a_folder_is_told_apart_by_its_weights_whatever_their_ending(published, tmp_path, name):
    (tmp_path / name).write_bytes(b"one")
    described = run_folders.describe_init(f"tiny/{tmp_path}")
    (tmp_path / name).write_bytes(b"two")
    assert run_folders.describe_init(f"tiny/{tmp_path}")["weights"] != described["weights"]
    (tmp_path / name).rename(tmp_path / "weights")
    with pytest.raises(FileNotFoundError, match="holds no weights"):
        run_folders.describe_init(f"tiny/{tmp_path}")


def test_a_large_file_is_read_once(tmp_path, monkeypatch):
    file, counts, digest = tmp_path / "large", [], disk.hashlib.file_digest

    def count(*arguments):
        counts.append(1)
        return digest(*arguments)

    monkeypatch.setattr(disk, "LARGE_FILE", 3)
    monkeypatch.setattr(disk.hashlib, "file_digest", count)
    file.write_bytes(b"once")
    first = disk.digest_file(file)
    assert disk.digest_file(file) == first and len(counts) == 1
    file.write_bytes(b"changed")
    assert disk.digest_file(file) != first and len(counts) == 2
