"""Thousands of searches, hundreds of loaded runs, many closed widgets: memory is flat."""

import gc
import random
import sys
import warnings
import weakref

import ipywidgets
import pytest
from widget_parts import NAMES

from clipnb import RetrievalWidget, load_run
from clipnb.bench.streaming import read_own_memory
from clipnb.run_folders import list_runs
from clipnb.search.query import parse_query

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells own memory")

MOST_GROWTH = 5_000_000  # bytes, after a warm-up
N_SEARCHES, N_LOADED, N_WIDGETS = 10_000, 200, 50


def read_memory():
    gc.collect()
    return read_own_memory()


def check_flat(repeat, n, n_warm):
    """Call `repeat(i)` n times after a warm-up, and check that memory hardly grows."""
    for i in range(n_warm):
        repeat(i)
    before = read_memory()
    for i in range(n_warm, n_warm + n):
        repeat(i)
    growth = read_memory() - before
    assert growth < MOST_GROWTH, f"{growth / 1e6:.1f} MB more"


def make_query(index, rng, i):
    """Make a text that no other search has, an image, a sum, a difference or a feature."""
    name, other = rng.sample(NAMES, 2)
    image_id = rng.choice(index.image_ids)
    kinds = [
        lambda: f"{name} number {i}",
        lambda: f"a {name} and no {other}",
        lambda: parse_query([f"2:{name}", "+", other, "-", f"the grass {i}"]),
        lambda: index.image(image_id),
        lambda: index.feature(image_id),
        lambda: parse_query([name, "-", other]),
    ]
    return kinds[i % len(kinds)]()


def test_ten_thousand_mixed_searches(index, record_property):
    rng = random.Random(0)

    def search(i):
        k = rng.randint(1, 2 * len(index))
        hits = index.search(make_query(index, rng, i), k)
        scores = [hit.score for hit in hits]
        assert len(hits) == min(k, len(index))
        assert scores == sorted(scores, reverse=True)
        assert len({hit.image_id for hit in hits}) == len(hits)

    expected = index.search("a red dog", len(index))
    check_flat(search, N_SEARCHES, 2000)
    assert index.search("a red dog", len(index)) == expected
    record_property("searches", N_SEARCHES)


def test_two_hundred_runs_are_loaded(trained_root, monkeypatch, record_property):
    monkeypatch.setenv("CLIPNB_CACHE", str(trained_root / "cache"))
    (folder,) = list_runs()
    check_flat(lambda i: load_run(folder), N_LOADED, 30)
    record_property("loaded runs", N_LOADED)


def test_fifty_widgets_leave_nothing(index, record_property):
    known = ipywidgets.widgets.widget._instances  # what a front end could still ask for
    remembered = []

    def open_and_close(i):
        widget = RetrievalWidget(index, f"a {NAMES[i % len(NAMES)]}", k=3)
        widget.query.value = f"the {NAMES[-1 - i % len(NAMES)]}"
        widget.cards[0].pick.click()
        remembered.append(weakref.ref(widget))
        widget.close()

    open_and_close(0)
    gc.collect()
    n_known = len(known)
    with warnings.catch_warnings(action="ignore"):
        check_flat(open_and_close, N_WIDGETS, 10)
    assert all(reference() is None for reference in remembered)
    assert len(known) == n_known
    record_property("closed widgets", N_WIDGETS)
