"""Notebooks 00 to 03 and 05 run on Flickr8k, where it lies at hand."""

import pytest
from notebook_runs import find_notebook, run_notebook

from clipnb.runtime import data_dir

PREFIXES = ("00", "01", "02", "03", "05")  # 04 and 11 train there for many minutes
HAS_FLICKR8K = (data_dir() / "flickr8k").is_dir()


@pytest.mark.skipif(not HAS_FLICKR8K, reason="needs Flickr8k: see data/README.md")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_notebook_runs_on_flickr8k(prefix):
    run_notebook(find_notebook(prefix), "flickr8k", {})
