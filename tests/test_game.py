"""The matching game: a round can be played, counts once, and the model's choices are its own."""

import random

import numpy as np
import pytest
import torch

from clipnb.retrieval import ImageIndex
from clipnb.widgets.game import LETTERS, OPEN, MatchingGame, choose_images, deal_round

N, K, D = 10, 2, 16


def make_index(text_features):
    """Make an index of N images of their own colour, whose features are unit vectors."""
    image_features = torch.eye(D)[:N]
    images = np.broadcast_to(np.arange(N, dtype=np.uint8)[:, None, None, None], (N, 3, 8, 8))
    captions = [[f"caption {k} of <image> {i}" for k in range(K)] for i in range(N)]
    ids = [f"{i}.jpg" for i in range(N)]
    return ImageIndex(None, None, image_features, text_features, images, ids, captions)


@pytest.fixture
def index():
    """An index whose captions lie exactly at their images: the model is always right."""
    return make_index(torch.eye(D)[:N, None].expand(N, K, D))


def play(game, letters):
    for widget, letter in zip(game.choices, letters, strict=True):
        widget.value = letter
    game.compare.click()


def find_truths(game):
    return [LETTERS[place] for place in game.round.places]


def test_a_perfect_reader_and_a_perfect_model_score_all(index):
    game = MatchingGame(index, n=6)
    for number in (1, 2):
        play(game, find_truths(game))
        assert game.scores == {"you": 6 * number, "model": 6 * number, "of": 6 * number}
        assert "you 6, the model 6 of 6" in game.status.value
        game.deal.click()
        assert all(widget.value == OPEN for widget in game.choices)


def test_a_wrong_choice_is_told_with_the_truth(index):
    game = MatchingGame(index, n=6)
    truths = find_truths(game)
    play(game, [truths[1], truths[0], *truths[2:]])
    assert game.scores["you"] == 4
    assert f"wrong, it is {truths[0]}" in game.sentences[0].value
    assert "you: right" in game.sentences[2].value


def test_a_round_counts_once_and_only_when_it_is_complete(index):
    game = MatchingGame(index, n=6)
    play(game, [OPEN, *find_truths(game)[1:]])
    assert game.scores["of"] == 0
    assert "1 of 6 sentences have no image yet" in game.status.value
    play(game, find_truths(game))
    assert game.compare.disabled


def test_the_models_choices_are_the_nearest_images():
    torch.manual_seed(0)
    index = make_index(torch.randn(N, K, D))
    dealt = deal_round(index, 5, random.Random(1))
    for sentence, choice in enumerate(choose_images(index, dealt)):
        row = dealt.rows[dealt.places[sentence]]
        text = index.text_features[row, dealt.numbers[sentence]]
        scores = [float(text @ index.image_features[other]) for other in dealt.rows]
        assert choice == scores.index(max(scores))


def test_rounds_follow_the_seed_and_captions_are_escaped(index):
    first, second = MatchingGame(index, seed=3), MatchingGame(index, seed=3)
    assert first.round == second.round
    assert MatchingGame(index, seed=4).round != first.round
    assert "&lt;image&gt;" in first.sentences[0].value


def test_a_small_index_gives_a_small_round(index):
    index.image_ids = index.image_ids[:3]
    game = MatchingGame(index, n=6)
    assert len(game.choices) == 3
    assert repr(game) == "MatchingGame(3 of 3 images)"
