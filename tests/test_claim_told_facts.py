"""Labels that tell what a caption tells: captions are read by rule, open facts count nothing."""

import pytest
import torch
import torch.nn.functional as F

from clipnb.claims.words import labelled_facts, sentence_exams, told_facts
from clipnb.experiments import exams
from clipnb.scenes import captions
from clipnb.scenes.words import OPPOSITE

DOG, CAR = ("dog", "left of"), ("car", "right of")


@pytest.mark.parametrize(
    "caption, facts",
    [
        ("A red dog .", {("dog", "red"), ("dog", 1)}),
        ("red dog and two cars on the beach", {("dog", "red"), ("dog", 1), ("car", 2)}),
        (
            "Two small azure pups are to the left of a sedan in town.",
            {("dog", "blue"), ("dog", 2), ("car", 1), DOG, CAR},
        ),
        ("A dog waits left of one car", {("dog", 1), ("car", 1), DOG, CAR}),
        (
            "On the beach, a car on the right and a dog on the left.",
            {("car", 1), ("dog", 1), DOG, CAR},
        ),
        (
            "A kite higher than a pair of rubber balls",
            {("kite", 1), ("ball", 2), ("kite", "above"), ("ball", "below")},
        ),
        ("a dog near a car", {("dog", 1), ("car", 1)}),
        # A place is no relation.
        ("Under the stars, a dog and a car", {("dog", 1), ("car", 1)}),
        ("a cat beside a dog under a starry sky", {("cat", 1), ("dog", 1)}),
        # A vague noun names no kind, and a vague number leaves the number open.
        ("Some animals near a pitch-black cat", {("cat", "black"), ("cat", 1)}),
        ("several red toys in a meadow", set()),
        ("a few red flowers blooming", {("flower", "red")}),
        ("a red toy kite over the sea", {("kite", "red"), ("kite", 1)}),
        # The second word that looks like a noun is a verb.
        ("Two scarlet blooms bloom in a field", {("flower", "red"), ("flower", 2)}),
        ("an orange fish rests", {("fish", "orange"), ("fish", 1)}),
        ("an orange leafy tree grows", {("tree", "orange"), ("tree", 1)}),
        ("a sandy shore", set()),
    ],
)
def test_captions_are_read(caption, facts):
    assert told_facts.read_caption(caption) == facts


def test_what_captions_tell_is_true_and_a_relation_in_one_of_five():
    some_scenes = exams.sample_scenes(300, "told")
    truth = labelled_facts.find_facts(some_scenes)
    with_relation = []
    for scene, row in zip(some_scenes, truth, strict=True):
        held = {labelled_facts.FACTS[i] for i in row.nonzero()[0]}
        for caption in captions(scene):
            told = told_facts.read_caption(caption)
            assert told <= held, caption
            with_relation.append(any(fact in OPPOSITE for _, fact in told))
    assert 0.15 < sum(with_relation) / len(with_relation) < 0.25


def test_a_fact_makes_the_others_of_its_kind_false_and_leaves_the_rest_open():
    marks = told_facts.mark_facts("a red dog above some cars")
    marked = dict(zip(labelled_facts.FACTS, marks.tolist(), strict=True))
    assert marked["dog", "red"] == 1 and marked["dog", "blue"] == -1
    assert marked["dog", 1] == 1 and marked["dog", 3] == -1
    assert marked["dog", "above"] == 1 and marked["dog", "left of"] == -1
    assert marked["car", "below"] == 1 and marked["car", "above"] == -1
    assert {marked["car", fact] for fact in ("red", "blue", 1, 2)} == {0}
    assert not any(marks for (kind, _), marks in marked.items() if kind not in ("dog", "car"))


def test_open_facts_count_nothing():
    logits = torch.tensor([[2.0, -1.0, 5.0], [0.5, 3.0, -4.0]])
    marks = torch.tensor([[1, -1, 0], [0, 0, 0]], dtype=torch.int8)
    told = F.softplus(torch.tensor(-2.0)) + F.softplus(torch.tensor(-1.0))
    assert told_facts.told_loss(logits, marks) == pytest.approx(told.item() / 2)
    assert told_facts.told_loss(logits, torch.zeros_like(marks)) == 0


def test_an_encoder_learns_from_what_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    model = told_facts.fit_told_facts(0, 128, 1, 1e-3)
    scores = labelled_facts.compare_facts(model, sentence_exams.draw_exam("binding", 4))
    assert scores.shape == (4, 2, 2)
