"""The experiments on limits and on word order: wrong captions by rule, exams in pairs, effects."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb.claims.words import (
    hard_negatives,
    labelled_facts,
    limits,
    photo_swaps,
    sentence_exams,
    word_order,
    word_swaps,
)
from clipnb.claims.words.hard_negatives import PLAIN, TAUGHT
from clipnb.datasets import CaptionDataset
from clipnb.experiments import exams
from clipnb.experiments.small_clip import SMALL_RECIPE
from clipnb.features import encode_texts
from clipnb.loop import make_tokenizer
from clipnb.losses import clip_loss
from clipnb.model import create_model
from clipnb.recipes import RECIPES
from clipnb.records import read_json
from clipnb.runtime import ROOT

# ---- wrong captions --------------------------------------------------------------------------


def test_two_colours_are_exchanged_and_nothing_else():
    text = "A small red dog is near two azure cars ."
    swapped = hard_negatives.swap_words(text, hard_negatives.SCENE_COLOURS)
    assert swapped == "A small azure dog is near two red cars ."
    assert hard_negatives.swap_words("a red dog", hard_negatives.SCENE_COLOURS) is None
    assert hard_negatives.swap_words("a red dog, red cars", hard_negatives.SCENE_COLOURS) is None


def test_a_list_of_nouns_is_no_order():
    nouns = hard_negatives.PHOTO_NOUNS
    assert hard_negatives.swap_words("a man and a woman", nouns, skip_lists=True) is None
    told = hard_negatives.swap_words("a man throws a ball", nouns, skip_lists=True)
    assert told == "a ball throws a man"


def test_relations_are_reversed_but_places_stay():
    reverse = hard_negatives.reverse_relation
    assert reverse("a dog on the left and a cat on the right") == (
        "a dog on the right and a cat on the left"
    )
    assert reverse("a kite higher than a house") == "a kite below a house"
    assert reverse("a dog under the stars") is None
    assert reverse("a dog in a field") is None


def test_a_number_is_exchanged_for_another_one():
    replace = hard_negatives.replace_words
    assert replace("Two dogs and three cats", hard_negatives.OTHER_COUNTS, only_first=True) == (
        "three dogs and three cats"
    )


def test_wrong_captions_of_scenes_differ_from_the_right_ones():
    some_scenes = exams.sample_scenes(20)
    captions = [text for scene in some_scenes for text in exams.scenes.captions(scene)]
    wrong = [hard_negatives.list_scene_negatives(text) for text in captions]
    assert sum(map(bool, wrong)) > len(captions) / 3
    assert all(text not in own for text, own in zip(captions, wrong, strict=True))


def test_a_caption_is_made_wrong_in_each_way_that_it_allows():
    text = "two red dogs to the left of a blue car"
    assert hard_negatives.list_scene_negatives(text) == [
        "two blue dogs to the left of a red car",
        "two red dogs to the right of a blue car",
        "three red dogs to the left of a blue car",
    ]
    assert hard_negatives.list_scene_negatives("a dog") == []
    assert hard_negatives.list_photo_negatives("a man in a red shirt throws a blue ball") == [
        "a shirt in a red man throws a blue ball",
        "a man in a blue shirt throws a red ball",
    ]


# ---- the loss --------------------------------------------------------------------------------


def test_without_wrong_captions_the_loss_is_that_of_clip():
    images, texts = (F.normalize(torch.randn(6, 4), dim=1) for _ in range(2))
    none = torch.empty(0, dtype=torch.long)
    ours = hard_negatives.negative_loss(images, texts, torch.tensor(5.0), none)
    assert torch.allclose(ours, clip_loss(images, texts, 5.0))


def test_a_wrong_caption_counts_among_the_texts_and_in_its_pair():
    image, text = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    owner = torch.tensor([0])
    loss = hard_negatives.negative_loss(image, text, torch.tensor(1.0), owner)
    # Image to text: -log(e / (e + 1)). Text to image: there is one image, so 0. In the pair: the
    # same as from image to text.
    assert loss.item() == pytest.approx(1.5 * np.log(1 + np.exp(-1)), abs=1e-6)


def test_a_pair_is_of_a_caption_and_what_was_made_from_it():
    images, right = torch.eye(3)[:2], torch.eye(3)[:2]
    scale = torch.tensor(2.0)
    for owner, cosine in ((0, 0.0), (1, 1.0)):  # the wrong caption looks like the second image
        texts = torch.cat([right, torch.tensor([[0.0, 1.0, 0.0]])])
        loss = hard_negatives.negative_loss(images, texts, scale, torch.tensor([owner]))
        logits = scale * images @ texts.T
        labels = torch.arange(2)
        both = F.cross_entropy(logits, labels) + F.cross_entropy(logits[:, :2].T, labels)
        pair = np.log(1 + np.exp(2 * cosine - 2))
        assert loss.item() == pytest.approx(both.item() / 2 + pair, abs=1e-6)


def test_a_caption_with_fewer_wrong_ones_has_padding_there():
    captions = [["two red dogs and a blue car", "a dog"]]
    tokenizer = make_tokenizer(RECIPES["quick"], [["two three red dogs and a blue car", "a dog"]])
    rule = hard_negatives.list_scene_negatives
    tokens = hard_negatives.tokenize_with_negatives(tokenizer, captions, rule)
    assert tokens.shape[:3] == (1, 2, 3)
    texts = [tokenizer.decode(own.tolist()).strip() for own in tokens[0, 0]]
    assert texts == [captions[0][0], *rule(captions[0][0])]
    assert (tokens[0, 1, 1:] == 0).all() and (tokens[0, 1, 0] != 0).any()


@pytest.mark.parametrize("rule", [None, hard_negatives.list_scene_negatives])
def test_both_models_are_trained(rule, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    train_set = exams.render_dataset(exams.sample_scenes(16), 32)
    recipe = dataclasses.replace(
        hard_negatives.ORDER_DRAWN,
        name="toy",
        image_size=32,
        stored_size=32,
        batch_size=8,
        epochs=1,
    )
    model, tokenizer = hard_negatives.fit_order_clip(recipe, 0, train_set, rule)
    assert encode_texts(model, tokenizer(["a red dog", "dog red a"])).shape == (2, 512)


# ---- pairs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("skill", sentence_exams.CHANGES)
def test_a_pair_differs_in_one_fact_and_training_may_show_both(skill):
    change = sentence_exams.CHANGES[skill]
    some_scenes = [scene for scene in exams.sample_scenes(200) if change(scene) is not None]
    assert len(some_scenes) > 20
    for scene in some_scenes:
        twin = change(scene)
        assert twin != scene and twin.place == scene.place and twin.seed == scene.seed
        words = [
            sorted(sentence_exams.describe_scene(each, skill == "relations").split())
            for each in (scene, twin)
        ]
        assert (words[0] == words[1]) == (skill == "binding"), words


def test_a_bag_of_words_cannot_bind_nor_relate():
    model = create_model(SMALL_RECIPE)
    texts = ["a red dog to the left of two blue cars", "two blue cars to the left of a red dog"]
    texts += ["a blue dog to the left of two red cars"]
    tokenizer = make_tokenizer(SMALL_RECIPE, [texts])
    first, *others = encode_texts(model, tokenizer(texts))
    assert all(torch.allclose(first, other, atol=1e-6) for other in others)


def test_pairs_are_scored_as_in_winoground():
    scores = torch.tensor(
        [
            [[2.0, 1.0], [1.0, 2.0]],  # all right
            [[2.0, 1.0], [3.0, 4.0]],  # sentences right, but the second image fits both better
            [[1.0, 1.0], [1.0, 1.0]],  # a tie everywhere
        ]
    )
    own = sentence_exams.score_pairs(scores)
    assert own["choice"].tolist() == [1.0, 1.0, 0.5]
    assert own["text"].tolist() == [True, True, False]
    assert own["image"].tolist() == [True, False, False]
    assert own["group"].tolist() == [True, False, False]


def test_cosines_stand_by_image_and_sentence(monkeypatch):
    monkeypatch.setattr(sentence_exams, "encode_images", lambda model, images: images)
    monkeypatch.setattr(sentence_exams, "encode_texts", lambda model, tokens: tokens)
    eye = torch.eye(3)

    def tokenizer(texts):
        return torch.stack([eye[int(text)] for text in texts])

    images = (eye[[0, 1]], eye[[2, 0]])  # of two rows
    scores = sentence_exams.compare_pairs(None, tokenizer, images, [("0", "2"), ("0", "1")])
    assert scores.tolist() == [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]


# ---- photos ----------------------------------------------------------------------------------


def test_the_exam_on_photos_takes_what_can_be_exchanged():
    captions = [["a man and a woman"] * 2, ["a man throws a ball", "a ball"], ["it rains"] * 2]
    images = np.zeros((3, 3, 8, 8), np.uint8)
    dataset = CaptionDataset("photos", "test", images, captions, ["a", "b", "c"])
    rows, pairs = word_swaps.choose_sentences(dataset)
    assert rows == [1]
    assert pairs["swap"] == [("a man throws a ball", "a ball throws a man")]
    ((right, wrong),) = pairs["noun"]
    assert right == "a man throws a ball" and wrong.endswith("throws a ball")
    assert wrong.split()[1] not in ("man", "ball")


def test_only_what_the_right_photo_adds_counts():
    outcomes = {
        f"{PLAIN}, swap, right photo": np.array([1.0, 0.0]),
        f"{PLAIN}, swap, another photo": np.array([1.0, 0.0]),
        f"{TAUGHT}, swap, right photo": np.array([1.0, 1.0]),
        f"{TAUGHT}, swap, another photo": np.array([1.0, 0.5]),
    }
    assert word_swaps.swap_lead(outcomes) == 25.0


# ---- effects of limits -----------------------------------------------------------------------


def test_leads_are_means_over_skills():
    outcomes = {}
    for skill, gain in zip(sentence_exams.CHANGES, (0.0, 0.25, 0.5, 0.5, 0.5), strict=True):
        outcomes[f"{PLAIN}, {skill}: choice"] = np.array([0.5, 0.5])
        outcomes[f"{limits.LABELLED}, {skill}: choice"] = np.array([0.5 + gain, 0.5 + gain])
    lead = limits.skill_lead(limits.LABELLED, ["binding", "relations"])
    assert lead(outcomes) == pytest.approx(12.5)
    assert limits.above_chance(limits.LABELLED, ["counting"])(outcomes) == pytest.approx(50.0)


# ---- labels ----------------------------------------------------------------------------------


def test_facts_say_who_is_what_and_where():
    truth = {
        "place": "beach",
        "relation": "left of",
        "objects": [
            {"kind": "dog", "colour": "red", "size": "big", "count": 2},
            {"kind": "car", "colour": "blue", "size": "big", "count": 1},
        ],
    }
    alone = {"place": "beach", "relation": None, "objects": truth["objects"][:1]}
    held = labelled_facts.fact_truth([truth, alone])
    facts = [[labelled_facts.FACTS[i] for i in row.nonzero()[0]] for row in held]
    assert set(facts[0]) == {
        ("dog", "red"), ("dog", 2), ("dog", "left of"),
        ("car", "blue"), ("car", 1), ("car", "right of"),
    }  # fmt: skip
    assert set(facts[1]) == {("dog", "red"), ("dog", 2)}


@pytest.mark.parametrize("skill", sentence_exams.CHANGES)
def test_a_model_that_knows_all_facts_passes_every_exam(skill, monkeypatch):
    exam = sentence_exams.draw_exam(skill, 8)
    known = [torch.from_numpy(labelled_facts.find_facts(own)).float() for own in exam.scenes]
    shown = iter(known)
    monkeypatch.setattr(labelled_facts, "apply_in_batches", lambda *_: next(shown))
    scores = sentence_exams.score_pairs(labelled_facts.compare_facts(None, exam))
    assert scores["choice"].mean() == 1.0 and scores["group"].all()


def test_an_encoder_learns_from_facts(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    model = labelled_facts.fit_facts(0, 128, 1, 1e-3)
    scores = labelled_facts.compare_facts(model, sentence_exams.draw_exam("binding", 4))
    assert scores.shape == (4, 2, 2)


# ---- word order ------------------------------------------------------------------------------


def test_shuffled_captions_keep_their_words():
    text = "A small red dog is to the left of two big blue cars on the beach ."
    shuffled = word_order.shuffle_caption(text, "other")
    assert shuffled == word_order.shuffle_caption(text, "other") != text
    assert sorted(shuffled.split()) == sorted(text.rstrip(" .").split())


def test_every_third_word_comes_from_another_caption():
    replaced = word_order.replace_thirds("a b c d e f .", "x y").split()
    assert [replaced[i] for i in (1, 2, 4, 5)] == ["b", "c", "e", "f"]
    assert {replaced[0], replaced[3]} <= {"x", "y"}


def test_a_loss_is_a_share_of_what_stands_above_chance():
    outcomes = {
        f"{PLAIN}, as written": np.array([0.5, 0.7]),
        f"{PLAIN}, shuffled": np.array([0.5, 0.5]),
        "chance": 10.0,
    }
    assert word_order.share_lost(PLAIN, "shuffled")(outcomes) == pytest.approx(20.0)
    outcomes[f"{PLAIN}, as written"] = outcomes[f"{PLAIN}, shuffled"] = np.array([0.0, 0.1])
    assert np.isfinite(word_order.share_lost(PLAIN, "shuffled")(outcomes))


def test_both_families_share_their_models():
    assert word_order.SCENES_FULL["epochs"] == limits.FULL["epochs"]
    assert word_order.SCENES_FULL["n_scenes"] == limits.FULL["n_scenes"]


# ---- tuning ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, rates",
    [
        (
            "limits",
            hard_negatives.DRAWN_RATES
            | {limits.LABELLED: limits.LABEL_RATE, limits.TOLD: limits.TOLD_RATE},
        ),
        ("limits_flickr8k", photo_swaps.SWAP_RATES),
        ("earlier/limits_flickr8k-1", word_swaps.PHOTO_RATES),
    ],
)
def test_rates_are_the_best_of_the_tuning(name, rates):
    scores = read_json(ROOT / "results" / "tuning" / f"{name}.json")["scores"]
    best = {arm: float(max(own, key=own.get)) for arm, own in scores.items()}
    assert rates == best
