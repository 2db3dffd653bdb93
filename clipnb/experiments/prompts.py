"""Experiments of notebook 06: what prompts and their ensembles are worth (paper §3.1.4, Fig 4)."""

import numpy as np

from clipnb.datasets import load_dataset
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.nouns import NOUN_CLASSES, noun_truth
from clipnb.experiments.quantities import difference, precision, surplus
from clipnb.features import encode_images
from clipnb.recipes import QUICK, TWO_MINUTES
from clipnb.scenes import COLOURS, PLACES
from clipnb.scenes.words import PLACE_PHRASES
from clipnb.zero_shot import zero_shot_scores

# The simple ways to ask for a class: {condition: its templates}.
PROMPTS = {"the bare name": ["{}"], "a {}": ["a {}"], "a photo of a {}": ["a photo of a {}"]}

# Templates worded like the captions of scenes: with a colour, then with a place.
SCENE_TEMPLATES = [f"a {colour} {{}}" for colour in COLOURS]
SCENE_TEMPLATES += [f"a {{}} {PLACE_PHRASES[place].ground[0]}" for place in PLACES]

# Templates worded like the captions of photos.
PHOTO_TEMPLATES = [
    "a {} in the grass",
    "a {} on the street",
    "a {} in the water",
    "a {} on the beach",
    "a {} in the snow",
    "two people near a {}",
    "a black and white picture of a {}",
    "a {} in front of a building",
    "a small {}",
    "a large {}",
]

PAPER = {"“a photo of a”": 1.3, "ensemble of 80": 3.5}
RULE = (
    "replicated: both “a photo of a” and the ensemble are above the bare name by their intervals; "
    "partly: the ensemble alone; contradicted: the ensemble is below"
)
COMPARISONS = {  # {quantity: (condition, the condition that it is compared with)}
    "ensemble minus bare name": ("like captions, ensemble", "the bare name"),
    "“a photo of a” minus bare name": ("a photo of a {}", "the bare name"),
    "“a” minus bare name": ("a {}", "the bare name"),
    "ensemble minus one template": ("like captions, ensemble", "like a caption, one"),
}
ACCURACY_GAINS = {
    name: difference(condition, other) for name, (condition, other) in COMPARISONS.items()
}
PRECISION_GAINS = {
    name: surplus(precision(condition), precision(other))
    for name, (condition, other) in COMPARISONS.items()
}


def measure_prompts(seed: int, n_images: int) -> tuple[Outcomes, dict]:
    """Measure which kinds are named rightly, with five ways to make a sentence of a class name.

    "like a caption, one" is the mean over the caption-like templates, one at a time.
    """
    run = load_or_train_timed(QUICK, seed)
    test_set = render_dataset(sample_scenes(n_images, "one_thing_seen", keep=has_one_thing))
    features = encode_images(run.model, test_set.images)  # (N, D)
    names, truth = read_classes(test_set, "kind")

    def is_right(templates: list[str]) -> np.ndarray:  # bool (N,)
        scores = zero_shot_scores(run.model, run.tokenizer, features, names, templates)
        return scores.argmax(dim=1).numpy() == truth

    outcomes = {condition: is_right(templates) for condition, templates in PROMPTS.items()}
    one_at_a_time = [is_right([template]) for template in SCENE_TEMPLATES]
    outcomes["like a caption, one"] = np.mean(one_at_a_time, axis=0)
    outcomes["like captions, ensemble"] = is_right(SCENE_TEMPLATES)
    return outcomes, {}


def measure_prompts_flickr8k(seed: int) -> tuple[Outcomes, dict]:
    """Measure scores of 25 nouns in the test photos, with the same five ways."""
    run = load_or_train_timed(TWO_MINUTES, seed)
    test_set = load_dataset("flickr8k", "test", TWO_MINUTES.image_size)
    features = encode_images(run.model, test_set.images)  # (N, D)

    def score(templates: list[str]) -> np.ndarray:  # (N, C)
        return zero_shot_scores(run.model, run.tokenizer, features, NOUN_CLASSES, templates).numpy()

    outcomes = {f"_{condition}": score(templates) for condition, templates in PROMPTS.items()}
    one_at_a_time = [score([template]) for template in PHOTO_TEMPLATES]
    outcomes["_like captions, ensemble"] = score(PHOTO_TEMPLATES)
    outcomes["_like a caption, one"] = np.stack(one_at_a_time, axis=1)  # (N, P, C)
    outcomes["_truth"] = noun_truth(test_set)
    return outcomes, {}


def judge_prompts(quantities: Quantities) -> tuple[str, str]:
    """Judge by the intervals of what “a photo of a” and the ensemble gain over the bare name.

    Replicated: both lie above 0. Partly: the ensemble's alone does. Contradicted: the ensemble's
    lies below 0. Not at this scale: the ensemble's holds 0.
    """
    ensemble = quantities["ensemble minus bare name"]
    photo = quantities["“a photo of a” minus bare name"]
    own_templates = quantities["ensemble minus one template"]
    reason = (
        f"“a photo of a” brings {photo['mean']:+.1f} points, the ensemble {ensemble['mean']:+.1f} "
        f"over the bare name and {own_templates['mean']:+.1f} over its own templates one at a time."
    )
    low, high = ensemble["interval"]
    if low > 0 and photo["interval"][0] > 0:
        return "replicated", reason
    if low > 0:
        return "partly", reason
    if high < 0:
        return "contradicted", reason
    return "not at this scale", reason


EXPERIMENTS = [
    Experiment(
        name="prompts",
        claim="C3",
        title="Prompts and their ensembles help",
        where="§3.1.4, Fig 4",
        paper=PAPER,
        dataset="scenes",
        measure=measure_prompts,
        quantities=ACCURACY_GAINS,
        unit="points",
        rule=RULE,
        judge=judge_prompts,
        notebook="06_zero_shot_and_prompts",
        small={"n_images": 400},
        full={"n_images": 2000},
    ),
    Experiment(
        name="prompts_flickr8k",
        claim="C3",
        title="Prompts and their ensembles help, photos",
        where="§3.1.4, Fig 4",
        paper=PAPER,
        dataset="flickr8k",
        measure=measure_prompts_flickr8k,
        quantities=PRECISION_GAINS,
        unit="points",
        rule=RULE,
        judge=judge_prompts,
        notebook="06_zero_shot_and_prompts",
    ),
]
