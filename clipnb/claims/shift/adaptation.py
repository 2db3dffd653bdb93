"""C10b on scenes: what adapting to one style gains there, and what it does elsewhere.

The first sitting had one way of adapting, without a control, and one training set for all seeds.
Now each seed has scenes and examples of its own, the probe's regularisation is chosen on painted
images, the model is also fine-tuned, and a probe that learns from many styles shows what is due to
the one style. In its second version that probe is the control of the trial: what it too gains on
painted images beyond other styles is not counted.
"""

import copy
import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from clipnb.claims.experiment import Effect, Experiment, Gate, Outcomes, Protocol
from clipnb.claims.shift.adaptation_photos import (
    ADAPTATION_FLICKR8K,
    ADAPTING_QUOTE,
    ADAPTING_SOURCE,
)
from clipnb.claims.shift.styled import (
    CHANCE,
    SHIFTED_STYLES,
    STYLED_RECIPE,
    TRAINING_STYLES,
    Words,
    draw_styled_set,
    find_robustness,
    fit_words,
    make_styled_recipe,
    mean_accuracy,
    render_test_sets,
    score_line,
    score_words,
)
from clipnb.datasets import CaptionDataset
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.fitting import load_or_fit, make_clip_objective
from clipnb.experiments.probes import (
    Split,
    check_probe,
    choose_C,
    encode_for_probes,
    sample_shots,
)

Compute = Callable[[dict[str, Any]], float]

MANY = "many styles"  # the probe that is the control
N_CHECK = 400  # painted images on which the probes' regularisation is chosen
FINE_TUNING_RATE = 0.1  # of the rate that the model was trained with


class Budget(NamedTuple):
    """What the models of a run learn from: training scenes of the line's models, and epochs."""

    sizes: Sequence[int]
    epochs: int


def measure_adaptation(
    seed: int,
    sizes: Sequence[int],
    epochs: int,
    n_images: int,
    shots: Sequence[int],
    tuning_epochs: int,
) -> tuple[Outcomes, dict]:
    """Measure who names the kinds in five styles: CLIP of many styles, before and after adapting.

    It is adapted by probes on k painted images of each kind, for every k in `shots`, and by
    fine-tuning on captioned painted scenes. "many styles" is a probe on as many images in four
    styles. sizes: the scenes of the supervised models that draw the line.
    """
    test_sets = render_test_sets(n_images)
    outcomes = score_line(seed, sizes, epochs, test_sets)
    words = fit_words(seed, True, max(sizes), epochs)
    outcomes |= score_words("zero-shot", words, test_sets)
    outcomes |= score_probes(words, seed, shots, test_sets)
    tuned = fine_tune(words, seed, Budget(sizes, epochs), tuning_epochs)
    outcomes |= score_words("fine-tuned", tuned, test_sets)
    return outcomes, {"shots": list(shots), "sizes": list(sizes)}


def score_probes(
    words: Words, seed: int, shots: Sequence[int], test_sets: dict[str, CaptionDataset]
) -> Outcomes:
    """Tell for each test image whether probes name its kind, as "<k> shots: <style>"."""
    size = STYLED_RECIPE.image_size
    # A seed has examples of its own. One scene in twelve shows a given kind.
    pool_scenes = sample_scenes(24 * max(shots), f"adapting-{seed}", keep=has_one_thing)
    rng = random.Random(f"adapting-{seed}")
    some_styles = [rng.choice(TRAINING_STYLES) for _ in pool_scenes]
    check_scenes = sample_scenes(N_CHECK, "adapting_check", keep=has_one_thing)
    sets = [
        render_dataset(pool_scenes, size),
        render_dataset(pool_scenes, size, some_styles),
        render_dataset(check_scenes, size),
        *test_sets.values(),
    ]
    features = encode_for_probes(words.model, sets)
    labels = [read_classes(own, "kind")[1] for own in sets]
    pool, varied, check, *tests = map(Split, features, labels)
    probes = {f"{k} shots": (pool, k) for k in shots}
    probes[MANY] = (varied, max(shots))
    outcomes = {}
    for name, (source, k) in probes.items():
        rows = sample_shots(pool.labels, k, np.random.default_rng(seed))
        train = source.subset(rows)
        C = choose_C(train, check)
        for style, test in zip(test_sets, tests, strict=True):
            outcomes[f"{name}: {style}"] = check_probe(train, C, test)
    return outcomes


def fine_tune(words: Words, seed: int, budget: Budget, tuning_epochs: int) -> Words:
    """Train a copy of CLIP on with captioned painted scenes, or load it. All weights change."""
    n_images = max(budget.sizes)
    recipe = make_styled_recipe("words", True, n_images, budget.epochs)
    recipe = dataclasses.replace(
        recipe,
        name=f"{recipe.name}_{budget.epochs}_then_painted",
        epochs=tuning_epochs,
        learning_rate=FINE_TUNING_RATE * recipe.learning_rate,
    )
    painted = draw_styled_set(seed, n_images, False)
    objective = make_clip_objective(words.tokenizer, painted, recipe)
    model = load_or_fit(copy.deepcopy(words.model), objective, painted, recipe, seed)
    return Words(model, words.tokenizer)


# ---- effects ---------------------------------------------------------------------------------


def find_gain(outcomes: dict[str, Any], name: str, styles: Sequence[str]) -> float:
    """Return the points that an adapted model gains on some styles over the zero-shot one."""
    adapted = mean_accuracy(outcomes, name, styles)
    return 100 * (adapted - mean_accuracy(outcomes, "zero-shot", styles))


def name_probe(outcomes: dict[str, Any], choose: Callable = max) -> str:
    """Return the name of the probe with the most shots, or the fewest (choose=min)."""
    return f"{choose(outcomes['shots'])} shots"


def make_gain(styles: Sequence[str], name: str = "") -> Compute:
    """Make the effect "points gained on some styles". name: by default the probe of most shots."""

    def compute(outcomes: dict[str, Any]) -> float:
        return find_gain(outcomes, name or name_probe(outcomes), styles)

    return compute


def make_cost(name: str = "") -> Compute:
    """Make the effect "points gained on painted images beyond those gained on other styles"."""

    def compute(outcomes: dict[str, Any]) -> float:
        adapted = name or name_probe(outcomes)
        painted = find_gain(outcomes, adapted, ["painted"])
        return painted - find_gain(outcomes, adapted, SHIFTED_STYLES)

    return compute


def compare_with_many(outcomes: dict[str, Any]) -> float:
    """Return how much more a probe of one style gains at home, beyond others, than one of many."""
    return make_cost()(outcomes) - make_cost(MANY)(outcomes)


def make_robustness_lost(choose: Callable) -> Compute:
    """Make the effect "effective robustness of zero-shot minus that of a probe".

    choose: `max` for the probe with the most shots, `min` for that with the fewest.
    """

    def compute(outcomes: dict[str, Any]) -> float:
        before = find_robustness(outcomes, "zero-shot")
        return before - find_robustness(outcomes, name_probe(outcomes, choose))

    return compute


def zero_shot_on_painted(outcomes: dict[str, Any]) -> float:
    """Return the percentage of kinds that zero-shot CLIP names on painted images."""
    return 100 * mean_accuracy(outcomes, "zero-shot", ["painted"])


EFFECTS = {
    "one style minus many styles, painted beyond other styles": Effect(
        compute=compare_with_many, unit="points"
    ),
    "gained on painted beyond other styles": Effect(compute=make_cost(), unit="points"),
    "gained on painted": Effect(compute=make_gain(["painted"]), unit="points"),
    "gained on other styles": Effect(compute=make_gain(SHIFTED_STYLES), unit="points"),
    "gained on a style never shown": Effect(compute=make_gain(["negative"]), unit="points"),
    "fine-tuned, painted beyond other styles": Effect(
        compute=make_cost("fine-tuned"), unit="points"
    ),
    "fine-tuned, gained on other styles": Effect(
        compute=make_gain(SHIFTED_STYLES, "fine-tuned"), unit="points"
    ),
    "probe of many styles, painted beyond other styles": Effect(
        compute=make_cost(MANY), unit="points"
    ),
    "probe of many styles, gained on other styles": Effect(
        compute=make_gain(SHIFTED_STYLES, MANY), unit="points"
    ),
    "effective robustness lost, most shots": Effect(
        compute=make_robustness_lost(max), unit="points"
    ),
    "effective robustness lost, fewest shots": Effect(
        compute=make_robustness_lost(min), unit="points"
    ),
    "zero-shot on painted": Effect(compute=zero_shot_on_painted, unit="percent"),
}


def explain_adaptation(effects: dict[str, dict]) -> str:
    """Say what adapting gains on painted images and elsewhere, by a probe and by fine-tuning."""
    painted, other, beyond, control = (
        effects[name]["mean"]
        for name in (
            "gained on painted",
            "gained on other styles",
            "gained on painted beyond other styles",
            "probe of many styles, painted beyond other styles",
        )
    )
    return (
        f"A probe on painted images gains {painted:+.1f} points there and {other:+.1f} on the "
        f"other styles (the paper: +9.2 and about -1), so {beyond:+.1f} more at home. A probe on "
        f"as many images in four styles gains {control:+.1f} more at home. The difference of the "
        f"two is on trial."
    )


EXPERIMENTS = [
    Experiment(
        name="adaptation",
        claim="C10b",
        title="Adapting to one style gains there and not elsewhere",
        dataset="scenes",
        measure=measure_adaptation,
        effects=EFFECTS,
        explain=explain_adaptation,
        notebook="09_robustness",
        small={
            "sizes": [750, 1500],
            "epochs": 5,
            "n_images": 300,
            "shots": [4, 16],
            "tuning_epochs": 1,
        },
        full={
            "sizes": [1000, 2000, 4000, 6000],
            "epochs": 8,
            "n_images": 1000,
            "shots": [1, 4, 16, 64],
            "tuning_epochs": 2,
        },
        protocol=Protocol(
            quote=ADAPTING_QUOTE,
            source=ADAPTING_SOURCE,
            match="proxy",
            match_reason=(
                "drawn scenes in three other styles stand for ImageNet's natural distribution "
                "shifts, 64 examples of each kind for the ImageNet training set, and a CLIP of "
                "two minutes for the paper's best model; any probe may gain less on the other "
                "styles because they are harder to see, which the paper cannot tell from "
                "adapting, so what a probe of as many images in four styles gains at home beyond "
                "the other styles is taken off"
            ),
            hypothesis=(
                "A probe that learns from painted images gains more on painted images than on the "
                "same scenes in other styles, and this gap is wider than that of a probe that "
                "learns from as many images in four styles. CLIP was trained on all of them."
            ),
            conditions={
                "zero-shot": "CLIP of many styles, asked with words",
                "<k> shots": "a logistic regression on its features of k painted images a kind",
                MANY: "the same on as many images, each in one of four styles",
                "fine-tuned": "CLIP trained on with captioned painted scenes, all weights",
                "line <size>": "supervised models of painted scenes, for effective robustness",
            },
            equal="the model that is adapted, the test scenes, and the scenes of all probes",
            tuning=(
                "the C of each probe is the best of six on 400 painted images that are in no test; "
                "fine-tuning has one setting, a tenth of the rate of training, and is not on trial"
            ),
            power=(
                "1,000 test scenes in each style, paired, and 5 seeds: with a standard deviation "
                "of 3 points between seeds, as in version 1, and 1.2 from the images the interval "
                "reaches 4 points to either side, so that a measured effect of 7 points is "
                "supported"
            ),
            margin=2.5,
            margin_reason=(
                "a quarter of the 10.2 points of Figure 14: 9.2 gained on ImageNet, and 1.0 lost "
                "on average over the seven shifted datasets"
            ),
            paper_effect=10.2,
            gates=(
                Gate(
                    effect="zero-shot on painted",
                    above=2 * CHANCE,
                    why="a model that names few things has no robustness to lose",
                ),
                Gate(
                    effect="gained on painted",
                    above=0.0,
                    why="what gains nothing at home has not adapted",
                ),
            ),
            opposite="the gap of the probe of many styles is the wider one",
            version=2,
            changed=(
                "Version 1 had the first of the two gaps alone on trial, and a review showed that "
                "the control has a gap of its own: any probe gains more on painted images, 1.7 "
                "points with the five seeds of version 1. Their difference is now on trial. It was "
                "6.1 points with these seeds, and that was known. Version 2 therefore takes other "
                "seeds, 5 to 9."
            ),
        ),
    ),
    ADAPTATION_FLICKR8K,
]
