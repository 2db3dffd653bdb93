"""C10a and L6 on scenes: who names things in other styles, and is it the words or the data?

The first sitting compared CLIP of many styles with supervised models of one style, as the paper
does, so the training data was part of the difference. Now words and labels learn from the same
scenes, once of one style and once of many, and the labels tell what the captions tell. C10a is
about words against labels; L6 weighs what the styles bring against what the words bring.
"""

from collections.abc import Callable, Sequence
from typing import Any

from clipnb.claims.experiment import Effect, Experiment, Gate, Outcomes, Protocol
from clipnb.claims.shift import robustness_photos
from clipnb.claims.shift.styled import (
    CHANCE,
    DIVERSITY_QUOTE,
    DIVERSITY_SOURCE,
    ROBUSTNESS_QUOTE,
    ROBUSTNESS_SOURCE,
    SHIFTED_STYLES,
    find_robustness,
    fit_labels,
    fit_words,
    mean_accuracy,
    name_styles,
    render_test_sets,
    score_labels,
    score_line,
    score_words,
    tune_styled,
)

Compute = Callable[[dict[str, Any]], float]

WORDS_MANY, LABELS_MANY = name_styles("words", True), name_styles("labels", True)
WORDS_ONE, LABELS_ONE = name_styles("words", False), name_styles("labels", False)


def measure_robustness(
    seed: int, sizes: Sequence[int], epochs: int, n_images: int
) -> tuple[Outcomes, dict]:
    """Measure who names the kinds in five styles: words or labels, trained on one style or many.

    sizes: the training scenes of the models that draw the line. The others see as many as the
    largest.
    """
    largest = max(sizes)
    test_sets = render_test_sets(n_images)
    outcomes = score_line(seed, sizes, epochs, test_sets)
    one_style = fit_labels(seed, False, largest, epochs)  # the last of the line, from disk
    outcomes |= score_labels(LABELS_ONE, one_style, test_sets)
    many_styles = fit_labels(seed, True, largest, epochs)
    outcomes |= score_labels(LABELS_MANY, many_styles, test_sets)
    for many in (False, True):
        words = fit_words(seed, many, largest, epochs)
        outcomes |= score_words(name_styles("words", many), words, test_sets)
    return outcomes, {"sizes": list(sizes)}


# ---- effects ---------------------------------------------------------------------------------


def make_gap(name: str, other: str, styles: Sequence[str] = SHIFTED_STYLES) -> Compute:
    """Make the effect "points of effective robustness by which a model is above another"."""

    def compute(outcomes: dict[str, Any]) -> float:
        return find_robustness(outcomes, name, styles) - find_robustness(outcomes, other, styles)

    return compute


def make_robustness(name: str, styles: Sequence[str] = SHIFTED_STYLES) -> Compute:
    """Make the effect "points by which a model is above the line"."""

    def compute(outcomes: dict[str, Any]) -> float:
        return find_robustness(outcomes, name, styles)

    return compute


def find_kept(outcomes: dict[str, Any], name: str) -> float:
    """Return the percentage of its accuracy above chance that a model keeps on other styles.

    The divisor is at least 1 point, so that a model without any accuracy keeps nothing.
    """
    learned = 100 * mean_accuracy(outcomes, name, ["painted"]) - CHANCE
    on_styles = 100 * mean_accuracy(outcomes, name, SHIFTED_STYLES) - CHANCE
    return 100 * on_styles / max(1.0, learned)


def make_kept_gap(name: str, other: str) -> Compute:
    """Make the effect "percent kept by a model minus percent kept by another"."""

    def compute(outcomes: dict[str, Any]) -> float:
        return find_kept(outcomes, name) - find_kept(outcomes, other)

    return compute


def make_accuracy(name: str, style: str = "painted") -> Compute:
    """Make the effect "percent of kinds that a model names in a style"."""

    def compute(outcomes: dict[str, Any]) -> float:
        return 100 * mean_accuracy(outcomes, name, [style])

    return compute


def make_lead(name: str, other: str, styles: Sequence[str]) -> Compute:
    """Make the effect "points of accuracy by which a model is above another on some styles"."""

    def compute(outcomes: dict[str, Any]) -> float:
        accuracies = [mean_accuracy(outcomes, each, styles) for each in (name, other)]
        return 100 * (accuracies[0] - accuracies[1])

    return compute


def fall_of_labels(outcomes: dict[str, Any]) -> float:
    """Return the points that the one-style supervised model loses on the other styles."""
    shifted = mean_accuracy(outcomes, LABELS_ONE, SHIFTED_STYLES)
    return 100 * (mean_accuracy(outcomes, LABELS_ONE, ["painted"]) - shifted)


def compute_shares(outcomes: dict[str, Any]) -> tuple[float, float]:
    """Return the points above the line that styles bring, and those that words bring.

    Each is a mean over the two values of the other factor.
    """
    labels_one, labels_many = (find_robustness(outcomes, n) for n in (LABELS_ONE, LABELS_MANY))
    words_one, words_many = (find_robustness(outcomes, n) for n in (WORDS_ONE, WORDS_MANY))
    styles = (words_many - words_one + labels_many - labels_one) / 2
    words = (words_many - labels_many + words_one - labels_one) / 2
    return styles, words


def styles_over_words(outcomes: dict[str, Any]) -> float:
    """Return the points by which styles bring more than words change, in either direction."""
    styles, words = compute_shares(outcomes)
    return styles - abs(words)


def share_of_styles(outcomes: dict[str, Any]) -> float:
    """Return the points above the line that training on many styles brings."""
    return compute_shares(outcomes)[0]


def share_of_words(outcomes: dict[str, Any]) -> float:
    """Return the points above the line that words bring, compared with labels."""
    return compute_shares(outcomes)[1]


ROBUSTNESS_UNIT = "points of effective robustness"
KEPT = "percent of the accuracy above chance"
COMPETENCE = {  # for the gates of both experiments
    "words, many styles, painted": Effect(compute=make_accuracy(WORDS_MANY), unit="percent"),
    "labels, many styles, painted": Effect(compute=make_accuracy(LABELS_MANY), unit="percent"),
    "labels, one style, painted": Effect(compute=make_accuracy(LABELS_ONE), unit="percent"),
    "fall of labels, one style": Effect(compute=fall_of_labels, unit="points"),
}
GATES = (
    Gate(
        effect="words, many styles, painted",
        above=2 * CHANCE,
        why="a model that names few things has no accuracy to lose",
    ),
    Gate(
        effect="labels, many styles, painted",
        above=2 * CHANCE,
        why="a model that names few things has no accuracy to lose",
    ),
    Gate(
        effect="fall of labels, one style",
        above=10.0,
        why="without a fall of the one-style model there is no robustness to gain",
    ),
)
ROBUSTNESS_EFFECTS = {
    "kept, words minus labels, many styles": Effect(
        compute=make_kept_gap(WORDS_MANY, LABELS_MANY), unit=KEPT
    ),
    "kept, words minus labels, one style": Effect(
        compute=make_kept_gap(WORDS_ONE, LABELS_ONE), unit=KEPT
    ),
    "kept, words, many styles, minus labels, one style": Effect(
        compute=make_kept_gap(WORDS_MANY, LABELS_ONE), unit=KEPT
    ),
    "words minus labels, many styles": Effect(
        compute=make_gap(WORDS_MANY, LABELS_MANY), unit=ROBUSTNESS_UNIT
    ),
    "words minus labels, one style": Effect(
        compute=make_gap(WORDS_ONE, LABELS_ONE), unit=ROBUSTNESS_UNIT
    ),
    "words, many styles, above the line": Effect(
        compute=make_robustness(WORDS_MANY), unit=ROBUSTNESS_UNIT
    ),
    "labels, many styles, above the line": Effect(
        compute=make_robustness(LABELS_MANY), unit=ROBUSTNESS_UNIT
    ),
    "words, many styles, never shown": Effect(
        compute=make_robustness(WORDS_MANY, ["negative"]), unit=ROBUSTNESS_UNIT
    ),
    "accuracy, words minus labels, painted": Effect(
        compute=make_lead(WORDS_MANY, LABELS_MANY, ["painted"]), unit="points"
    ),
    "accuracy, words minus labels, other styles": Effect(
        compute=make_lead(WORDS_MANY, LABELS_MANY, SHIFTED_STYLES), unit="points"
    ),
    **COMPETENCE,
}
DIVERSITY_EFFECTS = {
    "styles over words": Effect(compute=styles_over_words, unit=ROBUSTNESS_UNIT),
    "what styles bring": Effect(compute=share_of_styles, unit=ROBUSTNESS_UNIT),
    "what words bring": Effect(compute=share_of_words, unit=ROBUSTNESS_UNIT),
    **COMPETENCE,
}


def explain_robustness(effects: dict[str, dict]) -> str:
    """Say what words bring with the same data, and what the paper's own contrast gives."""
    fair, paper = (
        effects[name]["mean"]
        for name in (
            "kept, words minus labels, many styles",
            "kept, words, many styles, minus labels, one style",
        )
    )
    return (
        f"Trained on the same scenes of many styles, words keep {fair:+.1f} % more of their "
        f"accuracy above chance than labels. The paper's own contrast, words of many styles "
        f"against labels of one, gives {paper:+.0f} % (the paper: about +54)."
    )


def explain_diversity(effects: dict[str, dict]) -> str:
    """Say what styles bring and what words bring."""
    styles, words = (effects[f"what {name} bring"]["mean"] for name in ("styles", "words"))
    return (
        f"Training on many styles instead of one brings {styles:+.1f} points above the line, and "
        f"words instead of labels bring {words:+.1f}."
    )


# ---- the experiments -------------------------------------------------------------------------

FULL = {"sizes": [1000, 2000, 4000, 6000], "epochs": 8, "n_images": 1000}
SMALL = {"sizes": [750, 1500], "epochs": 5, "n_images": 300}
CONDITIONS = {
    WORDS_ONE: "CLIP, trained on captioned painted scenes",
    WORDS_MANY: "CLIP, trained on the same scenes, each in one of four styles",
    LABELS_ONE: "the same image encoder, trained on labels of the painted scenes",
    LABELS_MANY: "the same image encoder, trained on labels of the scenes in four styles",
    "line <size>": "the supervised model of painted scenes, with 1,000 to 6,000 of them",
}
EQUAL = (
    "the 6,000 scenes of a seed, the image encoder, the optimizer, epochs, batch size and number "
    "of learning rates tried; the labels tell kind, colour, size and count of each thing and the "
    "place, as the captions do; only the relation of two things has no label"
)
TUNING = (
    "five learning rates for each of the four models, on 500 dev scenes with seed 100 and 3,000 "
    "training scenes, judged in the styles that the model is trained on"
)
POWER = (
    "1,000 test scenes in five styles and 5 seeds, each with training scenes of its own: with a "
    "standard deviation of 4 points between seeds and 2 points from the images, the interval "
    "reaches 6 points to either side, so that a measured effect of 16 points is supported"
)
PROXY = (
    "drawn scenes in three other styles stand for ImageNet's natural distribution shifts, and "
    "models of one to two minutes for CLIP and the ImageNet models; the models of many styles have "
    "seen these three styles in training, and a style that none has seen is reported beside them"
)

EXPERIMENTS = [
    Experiment(
        name="robustness",
        claim="C10a",
        title="Words against labels in other styles, both trained on the same scenes",
        dataset="scenes",
        measure=measure_robustness,
        effects=ROBUSTNESS_EFFECTS,
        explain=explain_robustness,
        tune=tune_styled,
        notebook="09_robustness",
        small=SMALL,
        full=FULL,
        protocol=Protocol(
            quote=ROBUSTNESS_QUOTE,
            source=ROBUSTNESS_SOURCE,
            match="proxy",
            match_reason=PROXY
            + "; the paper's models differ in their training data as well, and it leaves open "
            "which of the two is the cause; here both sides learn from the same images, so the "
            "verdict is about words alone, and the paper's own contrast is reported beside it; in "
            "the first sitting words were 10.8 points below labels, and in a trial run with seed "
            "200 they were 4.6 below",
            hypothesis=(
                "Trained on the same scenes of many styles, words keep more of their accuracy "
                "above chance in the other styles than labels do."
            ),
            conditions=CONDITIONS,
            equal=EQUAL,
            tuning=TUNING,
            power=(
                "1,000 test scenes in five styles and 5 seeds, each with training scenes of its "
                "own: with the seeds of version 1 the interval reaches 5 % to either side, so that "
                "a measured effect of 19 % is supported, and one of 8 % or less is told from the "
                "margin"
            ),
            margin=13.5,
            margin_reason=robustness_photos.MARGIN_REASON
            + "; if words bring less, most of it has another cause",
            paper_effect=54.0,
            gates=GATES,
            opposite="labels of the same scenes keep more than words",
            version=2,
            changed=(
                "Version 1 compared how far words and labels stand above a line, and found the "
                "opposite of the claim. A review showed that it could hardly find anything else: "
                "words named 51 % of the painted things and labels 64 %, so even words that lose "
                "nothing in other styles would have stood lower. Version 2 asks what "
                "`robustness_flickr8k` asks: which share of its accuracy above chance does each "
                "keep? With the five seeds of version 1 words keep 2.6 % more (−2.5 to 7.8), so "
                "that was known. Version 2 therefore takes other seeds, 5 to 9. The distance from "
                "the line is still reported."
            ),
        ),
    ),
    Experiment(
        name="diversity",
        claim="L6",
        title="What many styles bring, against what words bring",
        dataset="scenes",
        measure=measure_robustness,
        effects=DIVERSITY_EFFECTS,
        explain=explain_diversity,
        notebook="09_robustness",
        small=SMALL,
        full=FULL,
        protocol=Protocol(
            quote=DIVERSITY_QUOTE,
            source=DIVERSITY_SOURCE,
            match="proxy",
            match_reason=PROXY
            + "; the other factors are words and the contrastive loss together; in a trial run "
            "with seed 200 styles brought 12 points and words took 1",
            hypothesis=(
                "Training on many styles brings more effective robustness than words instead of "
                "labels change it, in either direction."
            ),
            conditions=CONDITIONS,
            equal=EQUAL,
            tuning=TUNING + "; the runs are those of the experiment robustness",
            power=POWER,
            margin=10.0,
            margin_reason=(
                "a quarter of the 41 points of effective robustness in Figure 13 of the CLIP "
                "paper, which are the gains that Fang et al. explain"
            ),
            gates=GATES,
            opposite="words change effective robustness by more than many styles bring",
        ),
    ),
    *robustness_photos.EXPERIMENTS,
]
