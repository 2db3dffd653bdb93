"""The same recipe and seed give the same bytes; tests pass in any order."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from doomed import list_tree
from test_kill_points import SMALL_JOBS, TRAIN

from clipnb.runtime import ROOT

DOOMED = Path(__file__).with_name("doomed.py")
TRAIN_SMALL = [word.format(dataset="small") for word in TRAIN]
ORDERS = range(1, 6)
# The fast test files. Five orders of all tests would take hours.
SHUFFLED = """
    augment caption_files details duplicates folders game image_files losses markdown metrics names
    nearest negation optimizers packaging patients photos plan preprocess query recipes run_names
    sentence sentences store_contents store_damage store_updates tokenizer widget_clicks
    widget_options widget_queries words
"""


@pytest.mark.parametrize(
    "words, hash_seeds",
    [(TRAIN_SMALL, ("0", "1", "random")), (["draw"], ("0", "random"))],
    ids=["training", "drawing"],
)
def test_another_hash_seed_gives_the_same_bytes(
    words, hash_seeds, small_root, tmp_path, record_property
):
    counts = {"clipnb.scenes.COUNTS": {"train": 10, "dev": 10, "test": 10}}
    trees = []
    for seed in hash_seeds:
        home = tmp_path / seed
        home.mkdir()
        arguments = {"words": words, "home": str(home), "settings": SMALL_JOBS | counts}
        arguments["environment"] = {"CLIPNB_DATA": str(small_root)}
        command = [sys.executable, str(DOOMED), json.dumps(arguments)]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run(command, env=environment, check=True, start_new_session=True)
        trees.append(list_tree(home))
    assert len(trees[0]) > 5
    assert all(tree == trees[0] for tree in trees)
    record_property("equal outcomes", len(trees))


@pytest.mark.parametrize("order", ORDERS)
def test_the_tests_pass_in_any_order(order, record_property):
    files = [f"tests/test_{name}.py" for name in SHUFFLED.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    environment = os.environ | {"CLIPNB_TEST_ORDER": str(order), "PYTHONHASHSEED": str(order)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    record_property("shuffled tests", int(re.search(r"(\d+) passed", done.stdout)[1]))
