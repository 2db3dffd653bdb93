"""The experiment of notebook 06 on what CLIP cannot do: counting, binding, relations (paper §6)."""

import dataclasses
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from clipnb.datasets import load_dataset
from clipnb.encoders import TextTransformer
from clipnb.experiments.exams import has_one_thing, render_dataset, sample_scenes
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities
from clipnb.experiments.fitting import load_or_fit, load_or_train_timed, make_clip_objective
from clipnb.experiments.quantities import accuracy
from clipnb.features import encode_images, encode_texts
from clipnb.model import CLIP, create_image_encoder
from clipnb.recipes import QUICK
from clipnb.runtime import seed_everything
from clipnb.scenes import KINDS, Scene, Thing
from clipnb.scenes.words import NOUN_FORMS
from clipnb.tokenizer import Tokenizer
from clipnb.training import make_tokenizer

# The recipe `quick` with a text encoder that can tell word orders apart.
QUICK_TRANSFORMER = dataclasses.replace(
    QUICK, name="quick_order", text_encoder="transformer", captions_per_image=2
)
NUMBER_WORDS = {1: "a", 2: "two", 3: "three"}
RELATION_WORDS = {
    "left of": "to the left of",
    "right of": "to the right of",
    "above": "above",
    "below": "below",
}


# ---- sentences to choose from ----------------------------------------------------------------


def describe_thing(thing: Thing, colour: str | None = None, count: int | None = None) -> str:
    """Describe a thing as the captions do: "two red dogs".

    colour, count: say these instead of the true ones.
    """
    colour = colour or thing.colour
    count = count or thing.count
    singular, plural = NOUN_FORMS[thing.kind].plain[0]
    noun = singular if count == 1 else plural
    return f"{NUMBER_WORDS[count]} {colour} {noun}"


def make_choices(scene: Scene, rng: random.Random) -> dict[str, list[str]]:
    """Make the choices of each question about a scene with two things.

    Returns {question: [the right sentence, the wrong one]}.
    """
    first, second = scene.things
    absent_kinds = [kind for kind in KINDS if kind not in (first.kind, second.kind)]
    absent = dataclasses.replace(second, kind=rng.choice(absent_kinds))
    a, b = describe_thing(first), describe_thing(second)
    swapped_a = describe_thing(first, colour=second.colour)
    swapped_b = describe_thing(second, colour=first.colour)
    relation = RELATION_WORDS[scene.relation]
    return {
        "which thing": [f"{a} and {b}", f"{a} and {describe_thing(absent)}"],
        "binding": [f"{a} and {b}", f"{swapped_a} and {swapped_b}"],
        "relation": [f"{a} {relation} {b}", f"{b} {relation} {a}"],
    }


def make_counting_choices(scene: Scene) -> list[str]:
    """Make a sentence with each number for a scene's one thing, the right number first."""
    (thing,) = scene.things
    wrong_counts = [count for count in NUMBER_WORDS if count != thing.count]
    return [describe_thing(thing, count=count) for count in [thing.count, *wrong_counts]]


def score_choices(
    model: CLIP,
    tokenizer: Tokenizer,
    images: Tensor | np.ndarray,
    choices: Sequence[Sequence[str]],
) -> Tensor:
    """Return the cosines (N, M) of each image with its own M sentences.

    images: uint8 (N, 3, S, S). choices: N lists of M sentences.
    """
    image_features = encode_images(model, images)  # (N, D)
    sentences = [sentence for own in choices for sentence in own]
    text_features = encode_texts(model, tokenizer(sentences))  # (N*M, D)
    text_features = text_features.view(len(choices), -1, image_features.shape[1])  # (N, M, D)
    return (image_features[:, None] * text_features).sum(dim=-1)


def score_first(scores: Tensor, margin: float = 1e-4) -> np.ndarray:
    """Score each image's first sentence, as float (N,): 1 if its cosine is the highest, else 0.

    scores: (N, M). Sentences within `margin` of the highest share the 1: a tie of two gives 0.5.
    """
    highest = scores.max(dim=1, keepdim=True).values  # (N, 1)
    wins = scores >= highest - margin  # (N, M)
    return (wins[:, 0] / wins.sum(dim=1)).numpy()


# ---- measuring -------------------------------------------------------------------------------


class ChoiceTest(NamedTuple):
    """A test with several sentences for each image, of which one is right."""

    images: np.ndarray  # uint8 (N, 3, S, S)
    choices: list[list[str]]  # N lists of M sentences, the right one first


def has_two_colours(scene: Scene) -> bool:
    """Tell whether a scene shows two things of different colours."""
    return len(scene.things) == 2 and scene.things[0].colour != scene.things[1].colour


def is_beside(scene: Scene) -> bool:
    """Tell whether a scene shows one thing to the left or the right of another."""
    return scene.relation in ("left of", "right of")


def is_stacked(scene: Scene) -> bool:
    """Tell whether a scene shows one thing above or below another."""
    return scene.relation in ("above", "below")


def make_choice_tests(n_images: int) -> dict[str, ChoiceTest]:
    """Make all tests, as {name: test}, each with `n_images` images."""
    two_colours = sample_scenes(n_images, "binding", keep=has_two_colours)
    beside = sample_scenes(n_images, "beside", keep=is_beside)
    stacked = sample_scenes(n_images, "stacked", keep=is_stacked)
    single = sample_scenes(n_images, "one_thing_seen", keep=has_one_thing)
    counting_choices = [make_counting_choices(scene) for scene in single]
    return {
        "binding": make_pair_test(two_colours, "binding"),
        "which thing": make_pair_test(two_colours, "which thing"),
        "left or right": make_pair_test(beside, "relation"),
        "above or below": make_pair_test(stacked, "relation"),
        "counting": ChoiceTest(render_dataset(single).images, counting_choices),
    }


def make_pair_test(scenes: Sequence[Scene], question: str) -> ChoiceTest:
    """Make a test that asks one of the questions of `make_choices` about each scene."""
    choices = [make_choices(scene, random.Random(scene.seed))[question] for scene in scenes]
    return ChoiceTest(render_dataset(scenes).images, choices)


def load_or_fit_transformer(seed: int) -> tuple[CLIP, Tokenizer]:
    """Load or train CLIP with a text transformer of two layers, which can tell word orders apart.

    It has the image encoder of `quick` and sees the same images equally often.
    """
    recipe = QUICK_TRANSFORMER
    train_set = load_dataset("scenes", "train", recipe.stored_size)
    tokenizer = make_tokenizer(recipe, train_set.captions)
    seed_everything(seed)
    text_encoder = TextTransformer(recipe.vocab_size, recipe.context_length, layers=2)
    model = CLIP(create_image_encoder(recipe), text_encoder)
    loss = make_clip_objective(tokenizer, train_set, recipe)
    return load_or_fit(model, loss, train_set, recipe, seed), tokenizer


def measure_limits(seed: int, n_images: int) -> tuple[Outcomes, dict]:
    """Measure counting, binding and relations as choices between sentences.

    "which thing" is a question that CLIP should be able to answer. All questions are put to two
    models: one with a bag of words as its text encoder, and one with a transformer.
    """
    run = load_or_train_timed(QUICK, seed)
    models = {
        "bag of words": (run.model, run.tokenizer),
        "transformer": load_or_fit_transformer(seed),
    }
    tests = make_choice_tests(n_images)
    outcomes = {}
    for name, (model, tokenizer) in models.items():
        for test_name, test in tests.items():
            scores = score_choices(model, tokenizer, test.images, test.choices)
            outcomes[f"{name}, {test_name}"] = score_first(scores)
    return outcomes, {}


QUANTITIES = {
    "binding, transformer": accuracy("transformer, binding"),
    "binding, bag of words": accuracy("bag of words, binding"),
    "left or right, transformer": accuracy("transformer, left or right"),
    "left or right, bag of words": accuracy("bag of words, left or right"),
    "above or below, transformer": accuracy("transformer, above or below"),
    "above or below, bag of words": accuracy("bag of words, above or below"),
    "counting, transformer": accuracy("transformer, counting"),
    "counting, bag of words": accuracy("bag of words, counting"),
    "which thing, transformer": accuracy("transformer, which thing"),
    "which thing, bag of words": accuracy("bag of words, which thing"),
}


def judge_limits(quantities: Quantities) -> tuple[str, str]:
    """Judge by whether three skills lie below half of the way from chance to perfect.

    The skills are counting with the bag of words (67 %), and binding and left or right with the
    transformer (75 %). Replicated: all three lie below. Partly: some of them. Contradicted: none.
    """
    binding_bag = quantities["binding, bag of words"]["mean"]
    binding = quantities["binding, transformer"]["mean"]
    left_or_right = quantities["left or right, transformer"]["mean"]
    counting = quantities["counting, bag of words"]["mean"]
    which_thing = quantities["which thing, transformer"]["mean"]
    reason = (
        f"counting stands at {counting:.0f} % (chance 33 %), binding at {binding_bag:.0f} % with a "
        f"bag of words and {binding:.0f} % with a transformer, left or right at "
        f"{left_or_right:.0f} % (chance 50 %), which thing at {which_thing:.0f} %."
    )
    is_weak = [binding < 75, left_or_right < 75, counting < 67]
    if all(is_weak):
        return "replicated", reason
    if any(is_weak):
        return "partly", reason
    return "contradicted", reason


EXPERIMENTS = [
    Experiment(
        name="limits",
        claim="C16",
        title="It cannot count, bind or tell left from right",
        where="§6",
        paper={"CLEVRCounts, against a supervised probe": -18.2},
        dataset="scenes",
        measure=measure_limits,
        quantities=QUANTITIES,
        unit="percent",
        rule=(
            "replicated: counting below 67 % and, with word order, binding and left or right below "
            "75 %, half of the way from chance to perfect; partly: some of them"
        ),
        judge=judge_limits,
        rule_settled="after a first look",
        notebook="06_zero_shot_and_prompts",
        small={"n_images": 300},
        full={"n_images": 1000},
    ),
]
