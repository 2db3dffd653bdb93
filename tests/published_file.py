"""A published model in a file, and what the tests of the commands and widgets do with it.

The model is tiny and its weights are random, but its parts, its file and its vocabulary are those
of the published ones.
"""

import dataclasses
import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from twins import randomize, tiny_sizes

from clipnb import RECIPES
from clipnb.model import create_model
from clipnb.pretrained import load_pretrained
from clipnb.pretrained.export import to_open_clip
from clipnb.towers import published

NAME = "ViT-tiny-8"
FILE = "weights.safetensors"
RUN = f"--run {NAME}/{FILE}"


def write_published_model(folder):
    """Write a file of weights, and the sizes that belong to it."""
    (folder / f"{NAME}.json").write_text(json.dumps(tiny_sizes(quick_gelu=False)))
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
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / FILE)


@pytest.fixture(scope="module")
def published_root(small_root, tmp_path_factory):
    """A data folder with a small dataset, a file of weights, and the sizes that belong to it."""
    root = tmp_path_factory.mktemp("published")
    shutil.copytree(small_root, root / "data")
    write_published_model(root)
    return root


@pytest.fixture
def here(published_root, tmp_path, monkeypatch):
    """An empty folder with the file of weights in it; data and cache are temporary."""
    files = {**published.find_size_files(), NAME: published_root / f"{NAME}.json"}
    monkeypatch.setattr(published, "find_size_files", lambda: files)
    monkeypatch.setenv("CLIPNB_DATA", str(published_root / "data"))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    shutil.copy(published_root / FILE, tmp_path / FILE)
    return tmp_path


@pytest.fixture
def pretrained(here):
    return load_pretrained(NAME, FILE)


@pytest.fixture
def wide_photos(published_root, here):
    """A folder of six photos, wider than high, so that the crop matters."""
    folder = here / "Pictures"
    folder.mkdir()
    for i, path in enumerate(sorted((published_root / "data" / "small" / "Images").iterdir())[:6]):
        Image.open(path).convert("RGB").resize((96, 48)).save(folder / f"{i}.jpg")
    return folder
