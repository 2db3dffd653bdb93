"""C12 on scenes: how much must captions tell of a written word before a model learns to read it?

In the first sitting a card named a thing that the scene showed anyway, on three scenes in ten. No
caption needed reading, and the model read no word: the test could not tell what captions teach from
what the model is able to. Now every scene shows a card with a word that has nothing to do with the
scene, and the conditions differ only in how many captions tell that word. The same image encoder,
supervised on the word, shows that the cards are legible.
"""

import dataclasses
import random
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from clipnb.claims.drawn import TUNING_SEED
from clipnb.claims.experiment import Effect, Experiment, Gate, Outcomes, Protocol
from clipnb.datasets import CaptionDataset
from clipnb.encoders import normalize_images
from clipnb.experiments.exams import (
    DRAWN_SIZE,
    has_one_thing,
    read_classes,
    render_dataset,
    sample_scenes,
)
from clipnb.experiments.fitting import load_or_fit
from clipnb.experiments.small_clip import SMALL_RECIPE, load_or_fit_clip
from clipnb.features import apply_in_batches, encode_images, encode_texts
from clipnb.model import CLIP, create_image_encoder
from clipnb.recipes import Recipe
from clipnb.runtime import seed_everything
from clipnb.scenes import KINDS, Scene
from clipnb.tokenizer import Tokenizer
from clipnb.training import make_tokenizer
from clipnb.zero_shot import zero_shot_scores

# Words of shop signs. No caption of a scene holds any of them.
SIGN_WORDS = (
    "bank",
    "bread",
    "exit",
    "hotel",
    "milk",
    "music",
    "open",
    "park",
    "pizza",
    "sale",
    "taxi",
    "zoo",
)
CHANCE = 100 / len(SIGN_WORDS)  # percent; the kinds, of which there are as many, have the same
PROMPT = "a card that says {}"

# The share of the captions that tell the card, by condition; None: they tell nothing else.
DOSES = {
    "no caption": 0.0,
    "one in sixteen": 0.06,
    "one in five": 0.2,
    "every caption": 1.0,
    "the card alone": None,
}
SUPERVISED = "supervised"
RATES = (1e-3, 3e-3, 1e-2)
TUNING_SCENES = 2000
FULL = {"n_scenes": 6000, "n_images": 1000, "epochs": 8}
# The best on dev, with seed 100: results/tuning/reading.json.
BEST_RATES = {
    "no caption": 3e-3,
    "one in sixteen": 3e-3,
    "one in five": 3e-3,
    "every caption": 3e-3,
    "the card alone": 3e-3,
    SUPERVISED: 3e-3,
}


# ---- cards -----------------------------------------------------------------------------------


def choose_word(scene: Scene) -> str:
    """Choose the word of a scene's card. It has nothing to do with what else the scene shows."""
    return random.Random(f"sign-{scene.seed}").choice(SIGN_WORDS)


def choose_kind(scene: Scene) -> str:
    """Choose the kind of thing that a card without a scene names."""
    return random.Random(f"kind-{scene.seed}").choice(KINDS)


def print_card(image: Image.Image, word: str, rng: random.Random) -> Image.Image:
    """Print a word on an image of DRAWN_SIZE, in dark letters on a light card at a random place."""
    font = ImageFont.load_default(rng.randint(28, 32))
    left, top, right, bottom = font.getbbox(word)
    width, height = right - left + 8, bottom - top + 8  # a margin of 4 pixels on each side
    x = rng.randint(0, max(0, DRAWN_SIZE - width))
    y = rng.randint(0, DRAWN_SIZE - height)
    pen = ImageDraw.Draw(image)
    pen.rectangle((x, y, x + width, y + height), fill=(245, 245, 235), outline=(60, 60, 60))
    pen.text((x + 4 - left, y + 4 - top), word, fill=(20, 20, 30), font=font)
    return image


def add_card(image: Image.Image, scene: Scene) -> Image.Image:
    """Print the card of a scene on its image."""
    return print_card(image, choose_word(scene), random.Random(f"card-{scene.seed}"))


def show_kind_alone(image: Image.Image, scene: Scene) -> Image.Image:
    """Print a card that names a kind of thing on a grey image, instead of the given one."""
    empty = Image.new("RGB", image.size, (150, 150, 150))
    return print_card(empty, choose_kind(scene), random.Random(f"card-{scene.seed}"))


def tell_card(caption: str, word: str) -> str:
    """Add to a caption what the card says."""
    return f"{caption.rstrip(' .')} with {PROMPT.format(word)}"


def write_captions(
    some_scenes: list[Scene], captions: list[list[str]], share: float | None
) -> list[list[str]]:
    """Write the captions of a condition. share: of the captions that tell the card; None: alone."""
    rng = random.Random("who tells the card")
    written = []
    for scene, own in zip(some_scenes, captions, strict=True):
        word = choose_word(scene)
        if share is None:
            written.append([PROMPT.format(word)] * len(own))
        else:
            tells = [rng.random() < share for _ in own]
            pairs = zip(own, tells, strict=True)
            written.append([tell_card(text, word) if told else text for text, told in pairs])
    return written


# ---- models ----------------------------------------------------------------------------------


class WordReader(nn.Module):
    """CLIP's image encoder with a linear head on the words of the cards."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.image_encoder = create_image_encoder(recipe)
        self.head = nn.Linear(self.image_encoder.width, len(SIGN_WORDS))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, S, S) to logits (B, 12)."""
        return self.head(self.image_encoder(images))


def draw_cards(seed: int, n_scenes: int) -> tuple[list[Scene], CaptionDataset]:
    """Draw the training scenes of a seed, each with its card."""
    some_scenes = sample_scenes(n_scenes, f"training-{seed}")
    return some_scenes, render_dataset(some_scenes, SMALL_RECIPE.image_size, edit=add_card)


class Budget(NamedTuple):
    """How much a model of a condition learns from, and how fast."""

    n_scenes: int
    epochs: int
    rate: float


def make_recipe(condition: str, budget: Budget) -> Recipe:
    """Make the recipe of a condition. Its name tells the training set."""
    name = f"reading_{budget.n_scenes}_{condition.replace(' ', '_')}"
    return dataclasses.replace(
        SMALL_RECIPE, name=name, epochs=budget.epochs, learning_rate=budget.rate
    )


def fit_clip(condition: str, seed: int, budget: Budget) -> tuple[CLIP, Tokenizer]:
    """Train (or load) the contrastive model of a condition on the scenes of a seed."""
    some_scenes, train_set = draw_cards(seed, budget.n_scenes)
    captions = write_captions(some_scenes, train_set.captions, DOSES[condition])
    train_set = dataclasses.replace(train_set, captions=captions)
    recipe = make_recipe(condition, budget)
    tokenizer = make_tokenizer(recipe, captions)
    return load_or_fit_clip(recipe, seed, train_set, tokenizer), tokenizer


def fit_reader(seed: int, budget: Budget) -> WordReader:
    """Train (or load) the supervised model on the same images, as often."""
    some_scenes, train_set = draw_cards(seed, budget.n_scenes)
    words = torch.tensor([SIGN_WORDS.index(choose_word(scene)) for scene in some_scenes])
    recipe = make_recipe(SUPERVISED, budget)

    def loss(model: WordReader, images: Tensor, rows: Tensor) -> Tensor:
        return F.cross_entropy(model(images), words[rows].to(images.device))

    seed_everything(seed)
    return load_or_fit(WordReader(recipe), loss, train_set, recipe, seed)


# ---- measuring -------------------------------------------------------------------------------


@dataclasses.dataclass
class Exam:
    """Scenes of one kind of thing with a card, and cards without a scene."""

    images: np.ndarray  # uint8 (N, 3, S, S), scenes with cards
    words: np.ndarray  # int (N,), the words of their cards
    kinds: np.ndarray  # int (N,), the kinds of their things
    alone: np.ndarray  # uint8 (N, 3, S, S), cards without a scene
    named: np.ndarray  # int (N,), the kinds that these name


def draw_exam(n_images: int, name: str = "one_thing_seen") -> Exam:
    """Draw the test images, the same for every seed."""
    some_scenes = sample_scenes(n_images, name, keep=has_one_thing)
    shown = render_dataset(some_scenes, SMALL_RECIPE.image_size, edit=add_card)
    alone = render_dataset(some_scenes, SMALL_RECIPE.image_size, edit=show_kind_alone)
    return Exam(
        shown.images,
        np.array([SIGN_WORDS.index(choose_word(scene)) for scene in some_scenes]),
        read_classes(shown, "kind")[1],
        alone.images,
        np.array([KINDS.index(choose_kind(scene)) for scene in some_scenes]),
    )


def read_words(
    model: CLIP, tokenizer: Tokenizer, images: np.ndarray, words: tuple[str, ...]
) -> np.ndarray:
    """Return the number of the word that the model reads on each image, int (N,)."""
    texts = encode_texts(model, tokenizer([PROMPT.format(word) for word in words]))  # (C, D)
    return (encode_images(model, images) @ texts.T).argmax(dim=1).numpy()


def measure_clip(condition: str, seed: int, budget: Budget, exam: Exam) -> dict[str, np.ndarray]:
    """Tell for each image whether a model reads its card and names its thing, each bool (N,)."""
    model, tokenizer = fit_clip(condition, seed, budget)
    right = {"reads": read_words(model, tokenizer, exam.images, SIGN_WORDS) == exam.words}
    if DOSES[condition] is None:  # this model has never seen the name of a thing
        return right
    seen = zero_shot_scores(model, tokenizer, exam.images, KINDS).argmax(dim=1).numpy()
    right["names"] = seen == exam.kinds
    read = read_words(model, tokenizer, exam.alone, KINDS)
    right["reads a word never printed"] = read == exam.named
    return right


def measure_reader(seed: int, budget: Budget, exam: Exam) -> np.ndarray:
    """Tell for each image whether the supervised model reads its card, bool (N,)."""
    model = fit_reader(seed, budget)

    def predict(batch: Tensor) -> Tensor:
        return model(normalize_images(batch))

    return apply_in_batches(model, predict, exam.images).argmax(dim=1).numpy() == exam.words


def measure_reading(seed: int, n_scenes: int, n_images: int, epochs: int) -> tuple[Outcomes, dict]:
    """Measure reading in all conditions, by one model each."""
    exam, outcomes = draw_exam(n_images), {}
    budgets = {name: Budget(n_scenes, epochs, rate) for name, rate in BEST_RATES.items()}
    for condition in DOSES:
        for task, right in measure_clip(condition, seed, budgets[condition], exam).items():
            outcomes[f"{condition}: {task}"] = right
    outcomes[f"{SUPERVISED}: reads"] = measure_reader(seed, budgets[SUPERVISED], exam)
    return outcomes, {}


def tune_reading() -> dict[str, dict[str, float]]:
    """Score three learning rates for each condition on dev scenes, in percent.

    The score is how many cards are read. Where no caption tells a card, it is how many things are
    named. The models learn from a third of the scenes of the record.
    """
    exam = draw_exam(300, "reading_dev")
    scores = {}
    for condition in BEST_RATES:
        scores[condition] = {}
        for rate in RATES:
            budget = Budget(TUNING_SCENES, FULL["epochs"], rate)
            if condition == SUPERVISED:
                right = measure_reader(TUNING_SEED, budget, exam)
            else:
                task = "names" if DOSES[condition] == 0 else "reads"
                right = measure_clip(condition, TUNING_SEED, budget, exam)[task]
            scores[condition][f"{rate:g}"] = round(100 * float(right.mean()), 2)
    return scores
