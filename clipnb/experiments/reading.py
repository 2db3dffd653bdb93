"""The experiment of notebook 06 on reading words in images (paper Table 14)."""

import dataclasses
import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clipnb.experiments.exams import (
    DRAWN_SIZE,
    Edit,
    has_one_thing,
    read_classes,
    render_dataset,
    sample_scenes,
)
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities
from clipnb.experiments.quantities import accuracy
from clipnb.experiments.small_clip import load_or_fit_clip
from clipnb.model import CLIP
from clipnb.recipes import QUICK
from clipnb.scenes import COUNTS, KINDS, Scene, dataset_scene
from clipnb.tokenizer import Tokenizer
from clipnb.training import make_tokenizer
from clipnb.zero_shot import zero_shot_scores

LABELLED_SHARE = 0.3  # of the training images with words


# ---- words in images -------------------------------------------------------------------------


def print_label(image: Image.Image, word: str, rng: random.Random) -> Image.Image:
    """Print a word on an image of DRAWN_SIZE, in dark letters on a light card at a random place."""
    font = ImageFont.load_default(rng.randint(20, 26))
    left, top, right, bottom = font.getbbox(word)
    width, height = right - left + 8, bottom - top + 8  # a margin of 4 pixels on each side
    x = rng.randint(0, max(0, DRAWN_SIZE - width))
    y = rng.randint(0, DRAWN_SIZE - height)
    pen = ImageDraw.Draw(image)
    pen.rectangle((x, y, x + width, y + height), fill=(245, 245, 235), outline=(60, 60, 60))
    pen.text((x + 4 - left, y + 4 - top), word, fill=(20, 20, 30), font=font)
    return image


def label_some(image: Image.Image, scene: Scene) -> Image.Image:
    """Print the name of one of its things on three images in ten; leave the others as they are."""
    rng = random.Random(f"label-{scene.seed}")
    if rng.random() >= LABELLED_SHARE:
        return image
    thing = rng.choice(scene.things)
    return print_label(image, thing.kind, rng)


def choose_wrong_word(scene: Scene) -> str:
    """Choose a kind that is not the scene's first thing."""
    rng = random.Random(f"attack-{scene.seed}")
    return rng.choice([kind for kind in KINDS if kind != scene.things[0].kind])


def label_wrongly(image: Image.Image, scene: Scene) -> Image.Image:
    """Print a label that names another kind than the image shows."""
    return print_label(image, choose_wrong_word(scene), random.Random(f"place-{scene.seed}"))


def show_word_alone(image: Image.Image, scene: Scene) -> Image.Image:
    """Print the name of the scene's thing on an empty grey image instead of the given one."""
    empty = Image.new("RGB", (DRAWN_SIZE, DRAWN_SIZE), (150, 150, 150))
    return print_label(empty, scene.things[0].kind, random.Random(f"place-{scene.seed}"))


# ---- measuring -------------------------------------------------------------------------------


def fit_edited_clip(edit: Edit | None, name: str, seed: int, epochs: int) -> tuple[CLIP, Tokenizer]:
    """Train (or load) the model of `quick` on the training scenes, with an edit of each image."""
    scenes = [dataset_scene("train", i) for i in range(COUNTS["train"])]
    train_set = render_dataset(scenes, edit=edit)
    recipe = dataclasses.replace(QUICK, name=name, epochs=epochs)
    tokenizer = make_tokenizer(recipe, train_set.captions)
    return load_or_fit_clip(recipe, seed, train_set, tokenizer), tokenizer


def classify(
    model: CLIP, tokenizer: Tokenizer, images: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Return the number of the class that each image is given, int (N,)."""
    return zero_shot_scores(model, tokenizer, images, names).argmax(dim=1).numpy()


def measure_reading(seed: int, n_images: int, epochs: int) -> tuple[Outcomes, dict]:
    """Measure whether CLIP reads a word, and whether it believes a wrong one.

    Two models are compared: one trained on plain images, and one on the same images with names
    printed on three in ten.
    """
    single = sample_scenes(n_images, "one_thing_seen", keep=has_one_thing)
    plain = render_dataset(single)
    words_alone = render_dataset(single, edit=show_word_alone)
    wrongly_labelled = render_dataset(single, edit=label_wrongly)
    names, truth = read_classes(plain, "kind")
    written = np.array([names.index(choose_wrong_word(scene)) for scene in single])
    models = {
        "plain": fit_edited_clip(None, "reading_plain", seed, epochs),
        "with words": fit_edited_clip(label_some, "reading_words", seed, epochs),
    }
    outcomes = {}
    for condition, (model, tokenizer) in models.items():
        read = classify(model, tokenizer, words_alone.images, names)
        seen = classify(model, tokenizer, plain.images, names)
        said = classify(model, tokenizer, wrongly_labelled.images, names)
        outcomes[f"{condition}: reads a word alone"] = read == truth
        outcomes[f"{condition}: right without a label"] = seen == truth
        outcomes[f"{condition}: right with a wrong label"] = said == truth
        outcomes[f"{condition}: says the wrong label"] = said == written
    return outcomes, {}


QUANTITIES = {
    "reads, trained with words": accuracy("with words: reads a word alone"),
    "reads, trained without": accuracy("plain: reads a word alone"),
    "fooled, trained with words": accuracy("with words: says the wrong label"),
    "fooled, trained without": accuracy("plain: says the wrong label"),
    "right in spite of it, trained with words": accuracy("with words: right with a wrong label"),
    "right in spite of it, trained without": accuracy("plain: right with a wrong label"),
}


def judge_reading(quantities: Quantities) -> tuple[str, str]:
    """Judge by the interval of reading a word alone, after training with words.

    Replicated: it lies above three times chance (25 %). Partly: it lies above chance. Not at this
    scale: it does not.
    """
    reads = quantities["reads, trained with words"]
    reads_without = quantities["reads, trained without"]
    fooled = quantities["fooled, trained with words"]
    fooled_without = quantities["fooled, trained without"]
    reason = (
        f"with names printed on three images in ten it reads {reads['mean']:.0f} % of the words "
        f"(without: {reads_without['mean']:.0f} %, chance 8 %), and says a wrong label in "
        f"{fooled['mean']:.0f} % of the images (without: {fooled_without['mean']:.0f} %)."
    )
    low = reads["interval"][0]
    if low > 25:
        return "replicated", reason
    if low > 100 / len(KINDS):
        return "partly", reason
    return "not at this scale", reason


EXPERIMENTS = [
    Experiment(
        name="reading",
        claim="C12",
        title="It learns to read, and so can be fooled",
        where="Table 14",
        paper={"MNIST": 88.4, "IIIT5K": 90.0},
        dataset="scenes",
        measure=measure_reading,
        quantities=QUANTITIES,
        unit="percent",
        rule=(
            "replicated: the interval of reading a word alone, after training with words, lies "
            "above three times chance (25 %); partly: above chance"
        ),
        judge=judge_reading,
        notebook="06_zero_shot_and_prompts",
        small={"n_images": 300, "epochs": 2},
        full={"n_images": 1000, "epochs": 6},
    ),
]
