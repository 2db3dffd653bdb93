"""The quiz on invented species: its pictures, CLIP's answers, and a figure of right answers."""

import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from clipnb.features import encode_images
from clipnb.runs import Run
from clipnb.scenes.species import N_SPECIES, Species, draw_animal, invent_species
from clipnb.widgets.checks import check_number
from clipnb.zero_shot import build_zero_shot_classifier

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOTS = (0, 1, 2)  # examples of each species that can be seen
PER_SPECIES = 3  # questions about each species for each number of examples
N_QUESTIONS = N_SPECIES * PER_SPECIES * len(SHOTS)
PROBE_C = 10.0  # scikit-learn's inverse regularisation; there are no images to choose it with
READER = "reader"
EXAMPLES_ALONE = "CLIP, words or examples"  # as in the paper: with examples it sees no words
TOGETHER = "CLIP, words and examples"
NO_IDEA = "I do not know"  # counts as a wrong answer
PEOPLE_IN_PAPER = (53.7, 75.7, 75.7)  # percent, 37 breeds of cats and dogs; Table 2
COLOURS = {READER: "#d55e00", EXAMPLES_ALONE: "#0072b2", TOGETHER: "#009e73"}

Tally = dict[str, dict[int, tuple[int, int]]]  # {who: {examples: (right answers, questions)}}


@dataclass(frozen=True)
class Question:
    """A picture uint8 (3, S, S), how many examples are seen with it, and its species' name."""

    image: np.ndarray
    shots: int
    truth: str


@dataclass(frozen=True)
class Quiz:
    """Six species, examples of them, and questions. examples: {name: pictures}."""

    seed: int
    species: list[Species]
    examples: dict[str, list[np.ndarray]]
    questions: list[Question]


# ---- the pictures ----------------------------------------------------------------------------


def make_quiz(seed: int = 0) -> Quiz:
    """Draw a quiz. No picture occurs twice, and every number of examples has its own questions.

    Raises TypeError for a seed that is no whole number.
    """
    seed = check_number("seed", seed)
    species = invent_species(seed)
    rng = random.Random(f"quiz-{seed}")
    examples = {each.name: [_draw(each, rng) for _ in range(max(SHOTS))] for each in species}
    questions = []
    for shots in SHOTS:
        asked = [Question(_draw(each, rng), shots, each.name) for each in species * PER_SPECIES]
        rng.shuffle(asked)
        questions += asked
    return Quiz(seed, species, examples, questions)


def _draw(species: Species, rng: random.Random) -> np.ndarray:
    return np.asarray(draw_animal(species, rng)).transpose(2, 0, 1)


# ---- CLIP's answers --------------------------------------------------------------------------


def answer_by_clip(run: Run, quiz: Quiz) -> list[dict[str, str]]:
    """Let a run answer all questions of a quiz. Returns {way: name} for each question.

    EXAMPLES_ALONE is what the paper did: without examples the descriptions are the classifier, and
    with examples a logistic regression on their features is. TOGETHER knows all that the reader
    knows: a species is the mean of the features of its description and of its examples.
    """
    names = [each.name for each in quiz.species]
    descriptions = [each.description for each in quiz.species]
    words = build_zero_shot_classifier(run.model, run.tokenizer, descriptions, ["{}"]).T  # (C, D)
    features = _encode(run, [question.image for question in quiz.questions])  # (Q, D)
    shown = [_encode(run, quiz.examples[name]) for name in names]  # C of (2, D)
    choices = {}
    for shots in SHOTS:
        seen = torch.stack([own[:shots] for own in shown])  # (C, K, D)
        means = torch.cat([words[:, None], seen], dim=1).mean(dim=1)  # (C, D)
        together = (features @ F.normalize(means, dim=1).T).argmax(dim=1).tolist()
        alone = _probe(seen.numpy(), features.numpy()) if shots else together
        choices[shots] = {EXAMPLES_ALONE: alone, TOGETHER: together}
    return [
        {way: names[chosen[i]] for way, chosen in choices[question.shots].items()}
        for i, question in enumerate(quiz.questions)
    ]


def _encode(run: Run, images: Sequence[np.ndarray]) -> torch.Tensor:
    """Encode pictures at the size that the run knows, as features (N, D) of unit length."""
    size = (run.recipe.image_size, run.recipe.image_size)
    small = [
        Image.fromarray(image.transpose(1, 2, 0)).resize(size, Image.Resampling.BICUBIC)
        for image in images
    ]
    batch = np.stack([np.asarray(image).transpose(2, 0, 1) for image in small])
    return encode_images(run.model, batch).cpu()


def _probe(examples: np.ndarray, features: np.ndarray) -> list[int]:
    """Fit a linear probe to examples (C, K, D), and return the classes of features (Q, D)."""
    from sklearn.linear_model import LogisticRegression

    C, K, D = examples.shape
    probe = LogisticRegression(C=PROBE_C, max_iter=1000)
    probe.fit(examples.reshape(C * K, D), np.repeat(np.arange(C), K))
    return probe.predict(features).tolist()


# ---- the right answers, counted ------------------------------------------------------------------


def count_answers(sheets: Iterable[tuple[int, list[dict]]]) -> Tally:
    """Count the right answers of several readers together, and those of CLIP.

    sheets: of each reader the seed of the quiz, and the answers. CLIP's answer to a question counts
    once, however many readers have answered it.
    """
    counted: dict[str, dict[int, list[bool]]] = {}
    asked = set()
    for seed, answers in sheets:
        for number, answer in enumerate(answers):
            question = (seed, number)
            voices = [READER] if question in asked else [READER, EXAMPLES_ALONE, TOGETHER]
            asked.add(question)
            for who in voices:
                by_shots = counted.setdefault(who, {})
                by_shots.setdefault(answer["shots"], []).append(answer[who] == answer["truth"])
    return {
        who: {shots: (sum(right), len(right)) for shots, right in by_shots.items()}
        for who, by_shots in counted.items()
    }


def exact_interval(right: int, n: int) -> tuple[float, float]:
    """Return the exact 95 % interval (Clopper-Pearson) of a share of right answers, in percent."""
    from scipy import stats

    interval = stats.binomtest(right, n).proportion_ci(0.95)
    return 100 * interval.low, 100 * interval.high


def tell_tally(tally: Tally) -> list[str]:
    """Tell a tally in words, a line for each who."""
    lines = []
    for who, by_shots in tally.items():
        told = []
        for shots, (right, n) in sorted(by_shots.items()):
            low, high = exact_interval(right, n)
            told.append(f"{right} of {n} ({low:.0f} to {high:.0f} %) with {count_examples(shots)}")
        lines.append(f"{who}: {', '.join(told)}")
    return lines


def count_examples(shots: int) -> str:
    """Say how many examples: no example, one example, two examples."""
    return ("no example", "one example", "two examples")[shots]


# ---- the figure ------------------------------------------------------------------------------


def plot_quiz(tally: Tally, ax: "Axes | None" = None) -> "Axes":
    """Plot the percent right over the number of examples, with exact 95 % intervals."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(6.4, 4))
    ax.plot(SHOTS, PEOPLE_IN_PAPER, "--", color="#999", label="people in the paper (37 breeds)")
    for i, (who, by_shots) in enumerate(tally.items()):
        shots = sorted(by_shots)
        counts = [by_shots[each] for each in shots]
        percent = np.array([100 * right / n for right, n in counts])
        bounds = np.array([exact_interval(right, n) for right, n in counts]).T  # (2, S)
        ax.errorbar(
            np.array(shots) + 0.04 * (i - 1),
            percent,
            yerr=np.abs(bounds - percent),
            marker="os^"[i],
            color=COLOURS[who],
            capsize=3,
            label=who,
        )
    ax.axhline(100 / 6, color="#999", linewidth=1, linestyle=":", label="guessing")
    ax.set_xticks(SHOTS)
    ax.set_ylim(0, 102)
    ax.set_xlabel("examples of each species")
    ax.set_ylabel("right answers (percent)")
    ax.set_title("Invented species: what one example teaches")
    ax.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    return ax


def draw_answers(tally: Tally) -> str:
    """Return the plot of a tally as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    plot_quiz(tally, figure.subplots())
    file = io.StringIO()
    figure.savefig(file, format="svg")
    return file.getvalue()
