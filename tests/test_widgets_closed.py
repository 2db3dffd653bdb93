"""Closing a widget frees all its parts: none stays known to ipywidgets, none in memory."""

import gc
import weakref
from pathlib import Path

import ipywidgets
import pytest
from widget_parts import NAMES

from clipnb import RECIPES, PromptLab, RetrievalWidget
from clipnb.runs import Run
from clipnb.widgets.closing import WholeWidget
from clipnb.widgets.collection_map import CollectionMap
from clipnb.widgets.game import MatchingGame
from clipnb.widgets.patients import PatientLab, ShortRun
from clipnb.widgets.quiz import QuizWidget
from clipnb.widgets.sentence import SentenceLens


def use_retrieval(index):
    widget = RetrievalWidget(index, "a red dog", k=3)
    widget.cards[1].pick.click()
    widget.cards[0].open.click()
    widget.options.map_it.value = True
    return widget


def use_prompt_lab(index):
    kinds = [name.split()[-1] for name in NAMES]
    widget = PromptLab(index.model, index.tokenizer, index.images, kinds, ["dog", "cat"])
    widget.classes.value = "dog = puppy, cat"
    widget.templates.value = "no place"
    return widget


def use_quiz(index):
    widget = QuizWidget(Run(index.model, index.tokenizer, RECIPES["quick"], 0, Path("none")))
    widget.choices[0].click()
    widget.forget.click()
    return widget


def use_game(index):
    widget = MatchingGame(index, n=3)
    for choice in widget.choices:
        choice.value = "A"
    widget.compare.click()
    widget.deal.click()
    return widget


def use_patients(index):
    widget = PatientLab(lambda rate, warmup: ShortRun([2.0, 1.0], [14.3, 14.5], 10.0), 4.2)
    widget.rate.value = 1e-3
    return widget


def use_sentence(index):
    captions = [own[0] for own in index.captions]
    widget = SentenceLens(index.model, index.tokenizer, index.images, captions, "a red dog")
    widget.image.value = 2
    return widget


def use_map(index):
    widget = CollectionMap(index)
    widget.pick(*next(iter(widget.layout_of_images.cells)))
    return widget


USES = {
    RetrievalWidget: use_retrieval,
    PromptLab: use_prompt_lab,
    QuizWidget: use_quiz,
    MatchingGame: use_game,
    PatientLab: use_patients,
    SentenceLens: use_sentence,
    CollectionMap: use_map,
}


def test_the_table_holds_every_widget():
    assert set(WholeWidget.__subclasses__()) == set(USES)


@pytest.mark.parametrize("kind", USES)
def test_a_closed_widget_leaves_nothing(kind, index, own_cache):
    """Neither it nor a part of it stays in memory, shown, hidden or once shown."""
    known = ipywidgets.widgets.widget._instances
    before = set(known)
    widget = USES[kind](index)
    remembered = weakref.ref(widget)
    assert len(known) > len(before)
    widget.close()
    assert set(known) == before
    del widget
    gc.collect()
    assert remembered() is None


def test_a_closed_widget_says_so(index):
    widget, game = use_retrieval(index), use_game(index)
    hits = widget.hits
    for each in (widget, widget, game):  # closing twice does no harm
        each.close()
    for use in (lambda: widget.search("a red dog"), lambda: widget.open_details(0), game._deal):
        with pytest.raises(RuntimeError, match="this widget is closed; make a new one"):
            use()
    with pytest.raises(RuntimeError, match="this widget is closed"):
        widget.query.value = "a boat"
    assert (widget.hits, repr(widget)) == (hits, "RetrievalWidget(8 images)")
