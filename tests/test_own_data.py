"""Notebooks 00 to 05 and 11 run on a reader's own folder."""

import csv
import shutil

import pytest
from notebook_runs import find_notebook, run_notebook

from clipnb import RECIPES, load_or_train, scenes
from clipnb.datasets import dataset_folder

PREFIXES = ("00", "01", "02", "03", "04", "05", "11")
N_IMAGES = 150
# These notebooks compare trainings, and assert nothing of who wins on a reader's own folder. Fewer
# steps run the same cells.
FEWER_STEPS = {
    "03": [("steps=400", "steps=100")],
    "04": [
        ("batch_size=128, epochs=3", "batch_size=128, epochs=1"),
        ("math.ceil(40 /", "math.ceil(10 /"),
        ("RECIPE.epochs // 2", "2"),
    ],
    "11": [("epochs=20", "epochs=5")],
}


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


@pytest.fixture(scope="module")
def own_environment(tmp_path_factory):
    """The environment of a reader who has a folder of 150 images, and has run notebook 00.

    Notebook 05 needs the scenes and their model too. To make both anew would test nothing new.
    """
    root = tmp_path_factory.mktemp("own")
    write_folder(root / "data" / "my_folder")
    drawn, run = dataset_folder("scenes"), load_or_train(RECIPES["quick"])
    shutil.copytree(drawn, root / "cache" / drawn.name)
    shutil.copytree(run.folder, root / "cache" / "runs" / run.folder.name)
    return {"CLIPNB_DATA": str(root / "data"), "CLIPNB_CACHE": str(root / "cache")}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_notebook_runs_on_a_folder_of_150_images(prefix, own_environment):
    changes = FEWER_STEPS.get(prefix, [])
    cells = run_notebook(find_notebook(prefix), "my_folder", own_environment, changes)
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")
