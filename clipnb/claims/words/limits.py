"""C16: it cannot count, nor tell who is red, nor who is on the left.

In the first sitting a model that had learned nothing passed as one with these limits. Now the same
model is trained a second time with captions that are wrong in one fact, made by rule from the
captions alone. What this one knows more was there to be learned, so the exam can be passed. The
claim is judged by how far the plain model stays behind it.

A text encoder that is a bag of words cannot bind or relate by construction, because both sentences
have the same words. So both models have a transformer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clipnb.claims.drawn import N_TRAINING, TUNING_SEED
from clipnb.claims.experiment import Effect, Experiment, Gate, Outcomes, Protocol
from clipnb.claims.words import word_order, word_swaps
from clipnb.claims.words.hard_negatives import (
    DRAWN_EPOCHS,
    DRAWN_RATES,
    PLAIN,
    TAUGHT,
    fit_drawn_arm,
)
from clipnb.claims.words.sentence_exams import (
    CHANGES,
    LIMITS_TEXT,
    NAMING,
    SKILLS,
    compare_pairs,
    draw_exam,
    score_pairs,
)

RATES = (5e-4, 1e-3, 3e-3)
TUNING_SCENES = 2000
FULL = {"n_scenes": N_TRAINING, "n_images": 400, "epochs": DRAWN_EPOCHS}


# ---- measuring -------------------------------------------------------------------------------


def measure_limits(seed: int, n_scenes: int, n_images: int, epochs: int) -> tuple[Outcomes, dict]:
    """Put the same exams to the plain model and to the one with hard negatives."""
    outcomes = {}
    for arm, rate in DRAWN_RATES.items():
        model, tokenizer = fit_drawn_arm(arm, seed, n_scenes, epochs, rate)
        for skill in CHANGES:
            scores = compare_pairs(model, tokenizer, *draw_exam(skill, n_images))
            for name, score in score_pairs(scores).items():
                outcomes[f"{arm}, {skill}: {name}"] = score
    return outcomes, {}


def tune_limits() -> dict[str, dict[str, float]]:
    """Score three learning rates for each model: its mean over all five exams on dev, in percent.

    Training takes a third of the scenes of the record.
    """
    exams = [draw_exam(skill, 150, "limits_dev") for skill in CHANGES]
    scores = {}
    for arm in DRAWN_RATES:
        scores[arm] = {}
        for rate in RATES:
            fitted = fit_drawn_arm(arm, TUNING_SEED, TUNING_SCENES, FULL["epochs"], rate)
            right = [score_pairs(compare_pairs(*fitted, *exam))["choice"].mean() for exam in exams]
            scores[arm][f"{rate:g}"] = round(100 * float(np.mean(right)), 2)
    return scores


# ---- effects ---------------------------------------------------------------------------------


def skill_lead(skill: str) -> Callable[[dict[str, Any]], float]:
    """Make the effect "points by which hard negatives lead in a skill", or in all three."""

    def compute(outcomes: dict[str, Any]) -> float:
        skills = SKILLS if skill == "all" else (skill,)
        return mean_choice(outcomes, TAUGHT, skills) - mean_choice(outcomes, PLAIN, skills)

    return compute


def above_chance(arm: str, skills: Sequence[str]) -> Callable[[dict[str, Any]], float]:
    """Make the effect "points above chance of a model in some exams", as their mean."""

    def compute(outcomes: dict[str, Any]) -> float:
        return mean_choice(outcomes, arm, skills) - 50

    return compute


def group_score(arm: str) -> Callable[[dict[str, Any]], float]:
    """Make the effect "Winoground's group score of a model in binding", in percent."""

    def compute(outcomes: dict[str, Any]) -> float:
        return 100 * float(np.mean(outcomes[f"{arm}, binding: group"]))

    return compute


def mean_choice(outcomes: dict[str, Any], arm: str, skills: Sequence[str]) -> float:
    """Return the mean accuracy of a model's choices in some exams, in percent."""
    return 100 * float(np.mean([outcomes[f"{arm}, {skill}: choice"].mean() for skill in skills]))


LEAD = "hard negatives above plain"
LIMITS_EFFECTS = {
    LEAD: Effect(compute=skill_lead("all"), unit="points"),
    "plain, naming above chance": Effect(compute=above_chance(PLAIN, NAMING), unit="points"),
    "hard negatives, skills above chance": Effect(
        compute=above_chance(TAUGHT, SKILLS), unit="points"
    ),
    "hard negatives, binding above chance": Effect(
        compute=above_chance(TAUGHT, ["binding"]), unit="points"
    ),
    "plain, skills above chance": Effect(compute=above_chance(PLAIN, SKILLS), unit="points"),
    "plain, binding above chance": Effect(compute=above_chance(PLAIN, ["binding"]), unit="points"),
    "plain, relations above chance": Effect(
        compute=above_chance(PLAIN, ["relations"]), unit="points"
    ),
    "plain, counting above chance": Effect(
        compute=above_chance(PLAIN, ["counting"]), unit="points"
    ),
    "lead in binding": Effect(compute=skill_lead("binding"), unit="points"),
    "lead in relations": Effect(compute=skill_lead("relations"), unit="points"),
    "lead in counting": Effect(compute=skill_lead("counting"), unit="points"),
    "hard negatives, naming above chance": Effect(
        compute=above_chance(TAUGHT, NAMING), unit="points"
    ),
    "plain, group score of binding": Effect(compute=group_score(PLAIN), unit="percent"),
    "hard negatives, group score of binding": Effect(compute=group_score(TAUGHT), unit="percent"),
}


def explain_limits(effects: dict[str, dict]) -> str:
    """Say what the plain model can, and how much more hard negatives teach."""
    means = {name: effect["mean"] for name, effect in effects.items()}
    return (
        "Of two sentences (chance 50 %) the plain model chooses the right one in "
        f"{50 + means['plain, naming above chance']:.0f} % of cases where a kind or colour is "
        f"wrong, {50 + means['plain, counting above chance']:.0f} % where the number is, "
        f"{50 + means['plain, binding above chance']:.0f} % where the colours are exchanged and "
        f"{50 + means['plain, relations above chance']:.0f} % where the relation is reversed; hard "
        f"negatives add {means[LEAD]:+.1f} points in the last three."
    )


# ---- the experiment --------------------------------------------------------------------------

EXPERIMENTS = [
    Experiment(
        name="limits",
        claim="C16",
        title="It struggles to count, to bind and to relate",
        dataset="scenes",
        protocol=Protocol(
            **LIMITS_TEXT,
            match_reason=(
                "The paper compares counting with a probe on supervised features; here the "
                "opponent is the same model, trained on the same captions and on wrong ones made "
                "from them. Binding and relations come from later studies of CLIP's limits "
                "(Thrush et al. 2022, Yuksekgonul et al. 2023)."
            ),
            hypothesis=(
                "In counting, binding and relations the plain model stays behind a model that "
                "learns from the same images and captions with wrong captions beside them. A skill "
                "that neither of them has adds nothing to this mean."
            ),
            conditions={
                PLAIN: "a contrastive model with a transformer for texts",
                TAUGHT: (
                    "the same, in which every caption brings along one that is wrong in a colour, "
                    "the relation or a number, made from it by rule (as in NegCLIP)"
                ),
            },
            equal=(
                "Both models have the same training scenes, captions, encoders, steps and number "
                "of learning rates, and take the same exams. A bag of words is no condition, "
                "because it has the same features for both sentences of binding and of relations."
            ),
            tuning=(
                "Three learning rates for each model, chosen on dev by the mean over all five "
                "exams, with a third of the training scenes. There the model with hard negatives "
                "was at chance in binding (50 %) and near it in relations (54 %). So its gate asks "
                "for the mean of the three skills, as the effect does."
            ),
            power=(
                "5 seeds and 400 pairs of images in each exam: the pairs give a standard error of "
                "1 point for the mean of three skills, seeds are taken to differ by about 2, so "
                "effects of 4 points above the margin are found."
            ),
            gates=(
                Gate(
                    effect="plain, naming above chance",
                    above=20.0,
                    why="the plain model may not even name what it sees",
                ),
                Gate(
                    effect="hard negatives, skills above chance",
                    above=9.0,
                    why=("even a plain model at chance would not stay behind by twice the margin"),
                ),
            ),
            opposite=(
                "The plain model would do better than the one with hard negatives, although that "
                "one is above chance."
            ),
        ),
        measure=measure_limits,
        effects=LIMITS_EFFECTS,
        explain=explain_limits,
        tune=tune_limits,
        notebook="06_zero_shot_and_prompts",
        small={"n_scenes": 1000, "n_images": 50, "epochs": 2},
        full=FULL,
    ),
    *word_swaps.EXPERIMENTS,
    *word_order.EXPERIMENTS,
]
