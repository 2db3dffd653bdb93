"""Notebooks 00, 01 and 05 run on Flickr8k, where it lies at hand.

02 and 03 have no line of their own for Flickr8k. tests/test_own_data.py runs them, by the same
switch, on another folder of images. 04 and 11 train on Flickr8k for many minutes.
"""

import pytest
from notebook_runs import find_notebook, run_notebook

from clipnb.runtime import data_dir

PREFIXES = ("00", "01", "05")
HAS_FLICKR8K = (data_dir() / "flickr8k").is_dir()
# 00 trains the recipe `two_minutes`, and 05 finds the run. After two of its eight epochs the model
# is far above guessing, which is all that both assert on photos.
FEWER_EPOCHS = {
    "00": [("load_or_train(recipe)", "load_or_train(replace(recipe, epochs=2))")],
    "05": [('RECIPES["two_minutes"]', 'dataclasses.replace(RECIPES["two_minutes"], epochs=2)')],
}


@pytest.mark.skipif(not HAS_FLICKR8K, reason="needs Flickr8k: see data/README.md")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_notebook_runs_on_flickr8k(prefix):
    run_notebook(find_notebook(prefix), "flickr8k", {}, FEWER_EPOCHS.get(prefix, []))
