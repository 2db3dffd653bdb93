"""Notebooks 00 to 05 and 11 run on a reader's own folder, and on Flickr8k where it lies at hand."""

import csv
import os
import re

import nbformat
import pytest
from execute import make_client

from clipnb import scenes
from clipnb.runtime import ROOT, data_dir

PREFIXES = ("00", "01", "02", "03", "04", "05", "11")
ON_FLICKR8K = ("00", "01", "02", "03", "05")  # 04 and 11 train there for many minutes
N_IMAGES = 150
HAS_FLICKR8K = (data_dir() / "flickr8k").is_dir()


def find_notebook(prefix):
    return next((ROOT / "notebooks").glob(f"{prefix}_*.ipynb"))


def write_folder(folder):
    """Write 150 drawn images of several shapes into a sub-folder, and two captions for each."""
    photos = folder / "holiday 2024"
    photos.mkdir(parents=True)
    rows = [["image", "caption"]]
    for i in range(N_IMAGES):
        scene = scenes.dataset_scene("train", 50_000 + i)
        width, height = [(240, 180), (180, 240), (200, 200)][i % 3]
        image = scenes.render(scene, 240).resize((width, height))
        name = f"holiday 2024/IMG_{i:04d}.JPG"
        image.convert("RGB").save(folder / name, "JPEG", quality=88)
        rows += [[name, caption] for caption in scenes.captions(scene)[:2]]
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def run_notebook(path, dataset, environment):
    """Run a notebook on another dataset, and return its cells. Raises when a cell does."""
    notebook = nbformat.read(path, as_version=4)
    n_changed = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            line = f'DATASET = "{dataset}"'
            cell.source, n = re.subn(r'^DATASET = "\w+"', line, cell.source, flags=re.MULTILINE)
            n_changed += n
    assert n_changed == 1, "one line of the notebook says which dataset it uses"
    make_client(notebook, path.parent).execute(env=os.environ | environment)
    return notebook.cells


@pytest.fixture(scope="module")
def own_environment(tmp_path_factory):
    """The environment of a reader who has a folder of 150 images and an empty cache."""
    root = tmp_path_factory.mktemp("own")
    write_folder(root / "data" / "my_folder")
    return {"CLIPNB_DATA": str(root / "data"), "CLIPNB_CACHE": str(root / "cache")}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_notebook_runs_on_a_folder_of_150_images(prefix, own_environment):
    cells = run_notebook(find_notebook(prefix), "my_folder", own_environment)
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")


@pytest.mark.skipif(not HAS_FLICKR8K, reason="needs Flickr8k: see data/README.md")
@pytest.mark.parametrize("prefix", ON_FLICKR8K)
def test_a_notebook_runs_on_flickr8k(prefix):
    run_notebook(find_notebook(prefix), "flickr8k", {})
