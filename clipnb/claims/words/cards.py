"""Cards with words on drawn scenes, what captions tell of them, and an exam in reading."""

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clipnb.datasets import CaptionDataset
from clipnb.experiments.exams import (
    DRAWN_SIZE,
    has_one_thing,
    read_classes,
    render_dataset,
    sample_scenes,
)
from clipnb.experiments.small_clip import SMALL_RECIPE
from clipnb.scenes import KINDS, Scene

# Words of shop signs. No caption of a scene holds any of them.
SIGN_WORDS = (
    "bank",
    "bread",
    "exit",
    "hotel",
    "milk",
    "music",
    "park",
    "pizza",
    "sale",
    "soup",
    "taxi",
    "zoo",
)
CHANCE = 100 / len(SIGN_WORDS)  # percent; the kinds, of which there are as many, have the same
PROMPT = "a card that says {}"


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


# ---- datasets ------------------------------------------------------------------------------------


def draw_cards(seed: int, n_scenes: int) -> tuple[list[Scene], CaptionDataset]:
    """Draw the training scenes of a seed, each with its card."""
    some_scenes = sample_scenes(n_scenes, f"training-{seed}")
    return some_scenes, render_dataset(some_scenes, SMALL_RECIPE.image_size, edit=add_card)


@dataclass
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
