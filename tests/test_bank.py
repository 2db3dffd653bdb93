"""The bank: the promise of its threshold holds, its numbers are right, and it knows its model."""

import copy
import dataclasses
import json
import math
import random

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from clipnb import RECIPES, Run, create_model, load_bank, load_dataset, train_tokenizer
from clipnb.search import bank as bank_module
from clipnb.search.bank import (
    N_CONTEXTS,
    CaptionBank,
    calibrate,
    conformal_threshold,
    draw_texts,
    fit_bank,
    is_short,
    read_bank,
    save_bank,
    score_texts,
)


@pytest.fixture(scope="module")
def fitted(small_root, tmp_path_factory):
    """A bank of an untrained model, which no test may change."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPNB_DATA", str(small_root))
        patch.setenv("CLIPNB_CACHE", str(tmp_path_factory.mktemp("cache")))
        train_set, dev_set = (load_dataset("small", split, 32) for split in ("train", "dev"))
        captions = [caption for own in train_set.captions for caption in own]
        torch.manual_seed(0)
        model = create_model(dataclasses.replace(RECIPES["quick"], image_encoder="tiny_cnn"))
        return fit_bank(model.eval(), train_tokenizer(captions, 300), train_set, dev_set)


@pytest.fixture
def bank(fitted):
    return dataclasses.replace(fitted, model=copy.deepcopy(fitted.model), directions={})


def make_bank(image_features, directions, words=(), thresholds=None):
    """Make a bank without a model, which knows the directions of its texts."""
    return CaptionBank(
        model=None,
        tokenizer=None,
        captions=[],
        features=torch.zeros(0, image_features.shape[1]),
        image_features=image_features,
        words=set(words),
        thresholds=thresholds or {"short": 0.0, "long": 0.0},
        error_rate=0.1,
        weights="",
        directions=directions,
    )


# ---- the threshold ---------------------------------------------------------------------------


def refused_share(n, shift=0.0, trials=4000):
    """Return how often a new score, shifted by `shift`, lies below the threshold of n scores."""
    generator = torch.Generator().manual_seed(n)
    refused = 0
    for _ in range(trials):
        scores = torch.randn(n + 1, generator=generator)
        refused += scores[n].item() + shift < conformal_threshold(scores[:n], 0.1)
    return refused / trials


@pytest.mark.parametrize("n", [9, 39, 45, 200])
def test_the_threshold_refuses_as_often_as_it_promises(n):
    expected = math.floor((n + 1) / 10) / (n + 1)  # at most 0.1
    three_sigma = 3 * math.sqrt(expected * (1 - expected) / 4000)
    assert refused_share(n) == pytest.approx(expected, abs=three_sigma)


def test_the_promise_fails_for_scores_that_are_not_exchangeable():
    assert refused_share(39, shift=-1.0) > 0.3


def test_the_threshold_is_the_kth_lowest_score():
    scores = torch.arange(19.0).flip(0)
    assert conformal_threshold(scores, 0.1) == 1.0  # k = 0.1 * 20 = 2
    assert conformal_threshold(scores, 0.05) == 0.0
    assert conformal_threshold(scores, 0.3) == 5.0  # 0.3 * 20 is 6, and not 5.999…


def test_without_enough_scores_there_is_no_threshold():
    assert conformal_threshold(torch.arange(8.0), 0.1) is None
    assert conformal_threshold(torch.arange(9.0), 0.1) == 0.0
    for useless in (-math.inf, math.inf, math.nan):
        assert conformal_threshold(torch.tensor([useless] * 19), 0.1) is None
    assert conformal_threshold(torch.tensor([-math.inf] * 3 + [1.0] * 16), 0.1) is None


def test_right_answers_are_refused_in_new_collections_as_rarely_as_promised():
    generator = torch.Generator().manual_seed(0)
    names = [f"word{'abcdefghijklmnop'[i]}" for i in range(16)]
    vectors = F.normalize(torch.randn(16, 12, generator=generator), dim=1)
    drawer = random.Random(0)

    def draw_images(n):
        """Draw n images that resemble the three words of their caption, with noise."""
        chosen = [drawer.sample(range(16), 3) for _ in range(n)]
        sums = torch.stack([vectors[own].sum(dim=0) for own in chosen])
        features = F.normalize(sums + torch.randn(n, 12, generator=generator), dim=1)
        return features, [[" ".join(names[i] for i in own)] for own in chosen]

    refused = {"short": [], "long": []}
    for _ in range(30):
        bank = make_bank(draw_images(150)[0], dict(zip(names, vectors, strict=True)), words=names)
        features, captions = draw_images(150)
        thresholds = calibrate(bank, features, captions, drawer)
        features, captions = draw_images(150)
        for kind, texts in draw_texts(captions, drawer).items():
            scores = score_texts(bank, features, texts)
            refused[kind].append((scores < thresholds[kind]).double().mean().item())
    for shares in refused.values():
        mean, error = torch.tensor(shares).mean(), torch.tensor(shares).std() / 30**0.5
        assert mean <= 0.1 + 2 * error
        assert mean > 0.01  # a threshold that refuses nothing would promise nothing


# ---- the score -------------------------------------------------------------------------------


def test_the_score_of_a_word_worked_by_hand():
    here = torch.tensor([[0.0, 1], [0.6, 0.8], [0.8, 0.6], [1, 0]])
    there = torch.tensor([[0.0, 1], [0.8, -0.6]])
    bank = make_bank(here, {"dog": torch.tensor([1.0, 0])})
    # The best of two images is 0.8. It is half of them, so the better half of the bank counts.
    deviation = math.sqrt((0.6**2 + 0 + 0.2**2 + 0.4**2) / 3)  # the mean of the bank is 0.6
    assert bank.score_words(there, ["dog"]).item() == pytest.approx((0.8 - 0.9) / deviation)


def test_a_collection_equal_to_the_bank_scores_zero():
    here = F.normalize(torch.randn(200, 4), dim=1)
    bank = make_bank(here, {"dog": torch.tensor([1.0, 0, 0, 0])})
    assert bank.score_words(here.flip(0), ["dog"]).item() == pytest.approx(0, abs=1e-6)


def test_the_images_of_a_collapsed_model_are_compared():
    same = torch.tensor([1.0, 0]).expand(20, 2)
    bank = make_bank(same, {"dog": torch.tensor([1.0, 0])}, words=["dog"])
    assert bank.score(same[:5], "dog") == 0


def test_a_collection_without_images_fits_no_word():
    bank = make_bank(torch.eye(2), {"dog": torch.tensor([1.0, 0])}, words=["dog"])
    assert bank.score(torch.zeros(0, 2), "dog") == -math.inf


def test_the_worst_word_decides():
    here = F.normalize(torch.randn(50, 2), dim=1)
    directions = {"red": torch.tensor([1.0, 0]), "dog": torch.tensor([0, 1.0])}
    bank = make_bank(here, directions, words={"red", "dog", "a"})
    red_things = torch.tensor([[1.0, 0], [1, 0]])
    by_word = bank.score_words(red_things, ["red", "dog"])
    assert by_word[1] < by_word[0]
    assert bank.score(red_things, "a red dog") == by_word[1].item()
    assert score_texts(bank, red_things, ["a red dog", "red"]).tolist() == by_word.flip(0).tolist()


def test_unseen_words_refuse_a_short_text_and_not_a_long_one():
    bank = make_bank(torch.eye(2), {}, words={"a", "dog", "on", "the", "wet", "grass"})
    assert bank.choose_words("a dog") == ["dog"]
    assert bank.choose_words("a zebra") == bank.choose_words("quantum chromodynamics") == []
    assert bank.score(torch.eye(2), "a zebra") == -math.inf
    assert bank.choose_words("a dog and a zebra on the wet grass") == ["dog", "wet", "grass"]
    assert bank.choose_words("the") == ["the"]  # all that there is


def test_a_short_text_has_one_or_two_content_words():
    for text in ["dog", "A dog", "red dog", "a dog in the snow", "two"]:
        assert is_short(text)
    for text in ["", "7 !", "a big red dog", "two black dogs run over the wet grass"]:
        assert not is_short(text)


def test_what_has_no_answer_gets_none(bank, small):
    features = bank.image_features
    bank.thresholds = {"short": -math.inf, "long": None}
    assert bank.has_match(features, "dog") is True
    for text in ["", "  ", "12", "🐕", "a black dog on a beach"]:  # the last: no threshold
        assert bank.has_match(features, text) is None
    assert bank.has_match(features[:0], "dog") is None


def test_a_text_of_any_length_is_answered(bank):
    assert bank.has_match(bank.image_features, "dog " * 2500) in (True, False)
    words = " ".join("".join(random.Random(i).sample("abcdefgh", 6)) for i in range(1500))
    assert bank.has_match(bank.image_features, words) is False


# ---- short queries ---------------------------------------------------------------------------


def test_a_short_query_becomes_the_change_that_it_brings_to_captions(bank):
    model, tokenizer = bank.model, bank.tokenizer
    changes = []
    for caption in bank.captions[:N_CONTEXTS]:
        longer, plain = (
            model.encode_text(tokenizer([text]), normalize=True)[0].detach()
            for text in (f"red dog {caption}", caption)
        )
        changes.append(longer - plain)
    expected = F.normalize(torch.stack(changes).mean(dim=0), dim=0)
    torch.testing.assert_close(bank.expand("red dog"), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(bank.expand("red dog"), bank.expand("red dog"))  # it is remembered


def test_long_and_empty_queries_are_not_expanded(bank):
    for text in ["", "🐕", "12 34", "two black dogs run over the wet grass"]:
        assert bank.expand(text) is None


def test_what_is_remembered_has_a_bound(bank, monkeypatch):
    monkeypatch.setattr(bank_module, "MOST_REMEMBERED", 10)
    for i in range(40):
        bank.expand("dog" + "abcdefghij"[i % 10] * (1 + i // 10))
    assert len(bank.directions) <= 11


# ---- fitting, and on disk --------------------------------------------------------------------


def test_fitting_twice_gives_the_same_bank(bank, small):
    again = fit_bank(bank.model, bank.tokenizer, small("train"), small("dev"))
    assert again.captions == bank.captions
    assert again.thresholds == bank.thresholds
    assert torch.equal(again.image_features, bank.image_features)
    assert set(bank.captions) <= {text for own in small("train").captions for text in own}


def test_few_dev_images_give_no_threshold(bank, small):
    both = bank.model, bank.tokenizer
    few = fit_bank(*both, small("train"), small("dev").subset(range(8)))
    assert few.thresholds == {"short": None, "long": None}
    assert few.has_match(few.image_features, "dog") is None
    seen = small("train").captions[:15]
    some = dataclasses.replace(small("dev").subset(range(15)), captions=seen)
    thresholds = fit_bank(*both, small("train"), some).thresholds
    assert all(threshold is not None for threshold in thresholds.values())


def test_a_diverged_model_has_a_bank_without_a_threshold(bank, small, tmp_path):
    with torch.no_grad():
        bank.model.text_projection.weight.fill_(torch.nan)
    diverged = fit_bank(bank.model, bank.tokenizer, small("train"), small("dev"))
    assert diverged.thresholds == {"short": None, "long": None}
    save_bank(diverged, tmp_path / "bank.safetensors")
    read = read_bank(tmp_path / "bank.safetensors", bank.model, bank.tokenizer)
    assert read.has_match(bank.image_features, "dog") is None
    with pytest.raises(ValueError):  # JSON has no NaN
        save_bank(dataclasses.replace(bank, thresholds={"short": math.nan}), tmp_path / "other")


def test_a_stored_bank_gives_the_same_answers(bank, small, tmp_path):
    save_bank(bank, tmp_path / "bank.safetensors")
    read = read_bank(tmp_path / "bank.safetensors", bank.model, bank.tokenizer)
    for text in ["dog", "a red dog", "two black dogs on the beach", "zebra"]:
        expected = bank.score(bank.image_features, text)  # but for rounding
        assert read.score(bank.image_features, text) == pytest.approx(expected, abs=1e-5)
    assert (read.thresholds, read.words) == (bank.thresholds, bank.words)


def change_weights(model):
    with torch.no_grad():
        model.text_projection.weight.mul_(1.1)


def change_settings(path, change):
    """Write a stored bank anew, with the settings that `change` makes of its own."""
    with safetensors.safe_open(path, "pt") as file:
        settings = change(json.loads(file.metadata()["bank"]))
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file(tensors, path, {"bank": json.dumps(settings)})


DAMAGES = {
    "a field is missing": lambda settings: {
        name: value for name, value in settings.items() if name != "weights"
    },
    "words are missing": lambda settings: {
        name: value for name, value in settings.items() if name != "words"
    },
    "a field too many": lambda settings: {**settings, "nope": 1},
    "words are a number": lambda settings: {**settings, "words": 7},
    "a list": lambda settings: [settings],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bank_with_other_settings_is_damaged(damage, bank, tmp_path):
    path = tmp_path / "bank.safetensors"
    save_bank(bank, path)
    change_settings(path, DAMAGES[damage])
    with pytest.raises(ValueError, match="is damaged; load_bank"):
        read_bank(path, bank.model, bank.tokenizer)


def test_a_bank_that_does_not_fit_is_refused(bank, tmp_path):
    path = tmp_path / "bank.safetensors"
    with pytest.raises(FileNotFoundError, match="load_bank"):
        read_bank(path, bank.model, bank.tokenizer)
    save_bank(bank, path)
    whole = path.read_bytes()
    for damaged in (b"", b"junk", whole[:500], whole[:-10]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            read_bank(path, bank.model, bank.tokenizer)
    path.write_bytes(whole)
    change_settings(path, lambda settings: {**settings, "version": 0})
    with pytest.raises(ValueError, match="another version"):
        read_bank(path, bank.model, bank.tokenizer)
    path.write_bytes(whole)
    change_weights(bank.model)
    with pytest.raises(ValueError, match="another model"):
        read_bank(path, bank.model, bank.tokenizer)


def test_a_run_keeps_its_bank_and_replaces_one_of_other_weights(
    bank, small, recipe, tmp_path, monkeypatch
):
    run = Run(bank.model, bank.tokenizer, recipe, seed=0, folder=tmp_path / "run")
    first = load_bank(run)
    with monkeypatch.context() as patch:
        patch.setattr(bank_module, "fit_bank", None)  # not needed any more
        second = load_bank(run)
    assert second.captions == first.captions
    change_weights(run.model)
    third = load_bank(run)
    assert third.weights != first.weights
    assert not torch.equal(third.features, first.features)
    assert [path.name for path in run.folder.iterdir()] == ["bank.safetensors"]


def test_a_bank_is_not_lost_if_it_cannot_be_kept(bank, small, recipe, tmp_path):
    (tmp_path / "file").write_text("")  # no folder can be made in it
    run = Run(bank.model, bank.tokenizer, recipe, seed=0, folder=tmp_path / "file" / "run")
    assert load_bank(run).captions == bank.captions
