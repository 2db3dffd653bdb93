"""What the tests of the quiz share: a run that has learned nothing, and answers."""

import dataclasses
from functools import cache
from pathlib import Path

import pytest
import torch

from clipnb import RECIPES, create_model, train_tokenizer
from clipnb.runs import Run
from clipnb.scenes.world import COLOURS
from clipnb.widgets import quiz
from clipnb.widgets.quiz_answers import make_quiz


@pytest.fixture(scope="module")
def quiz_run():
    """A CLIP that has learned nothing, with the words of the descriptions."""
    words = [f"a round {colour} animal with fins" for colour in COLOURS] * 3
    tokenizer = train_tokenizer(words, vocab_size=200)
    sizes = {"image_encoder": "tiny_cnn", "vocab_size": 200, "embed_dim": 16}
    recipe = dataclasses.replace(RECIPES["quick"], **sizes)
    torch.manual_seed(0)
    return Run(create_model(recipe).eval(), tokenizer, recipe, seed=0, folder=Path("none"))


@pytest.fixture(scope="module")
def drawn_once():
    """Draw each quiz only once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quiz, "make_quiz", cache(make_quiz))
        yield


def finish(widget):
    """Answer all questions that are left rightly."""
    for question in widget.quiz.questions[len(widget.answers) :]:
        widget.answer(question.truth)
