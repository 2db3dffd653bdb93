"""Captions that are wrong in one fact, made by rule, and a CLIP that learns to tell them apart.

The rules read captions alone, so a model that is trained with them knows nothing about the images
that a plain one does not know. The loss is that of Yuksekgonul et al. 2023 (NegCLIP), and the
choice between a caption and each wrong one made from it is added.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from clipnb.claims.drawn import draw_training_set
from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.encoders import TextTransformer
from clipnb.experiments.fitting import Loss, load_or_fit, make_clip_objective
from clipnb.experiments.small_clip import SMALL_RECIPE
from clipnb.features import sample_captions, tokenize
from clipnb.model import CLIP, create_image_encoder
from clipnb.recipes import RESIDUAL_BAG, Recipe
from clipnb.runtime import seed_everything
from clipnb.scenes.words import COLOUR_SYNONYMS
from clipnb.tokenizer import Tokenizer, trim_padding
from clipnb.training import make_tokenizer

Rule = Callable[[str], list[str]]  # from a caption to those made wrong in one fact, if any

SCENE_COLOURS = tuple(COLOUR_SYNONYMS) + tuple(
    word for synonyms in COLOUR_SYNONYMS.values() for word in synonyms
)
OPPOSITES = {
    "left": "right",
    "right": "left",
    "above": "below",
    "higher than": "below",
    "below": "above",
    "under": "above",
    "beneath": "above",
}
OTHER_COUNTS = {"two": "three", "three": "two"}
NAMES_OF_PLACES = re.compile(r"under (?:the stars|a starry sky)")  # they tell no relation

# Frequent words of the captions of Flickr8k. They were chosen from the training captions.
# fmt: off
PHOTO_NOUNS = (
    "man", "men", "woman", "women", "dog", "dogs", "boy", "boys", "girl", "girls", "child",
    "children", "baby", "person", "people", "ball", "stick", "bike", "horse", "car", "boat",
    "bench", "rock", "tree", "water", "snow", "grass", "sand", "street", "beach", "field", "pool",
    "mountain", "hill", "wall", "fence", "swing", "frisbee", "skateboard", "hat", "shirt", "jacket",
    "helmet", "rope", "table", "building", "camera", "motorcycle", "surfboard", "wave",
)
PHOTO_COLOURS = (
    "black", "white", "brown", "red", "blue", "green", "yellow", "orange", "pink", "purple",
    "gray", "grey", "tan",
)
# fmt: on
# "A man and a woman" and "a woman and a man" say the same.
LISTED = re.compile(r"(?:\s|,|\b(?:and|or|with|next to|beside|near|a|an|the)\b)*")


# ---- wrong captions --------------------------------------------------------------------------


def find_words(text: str, words: Sequence[str]) -> list[re.Match]:
    """Find all whole words of a text that are among some, whatever their case."""
    longest_first = sorted(words, key=len, reverse=True)
    return list(re.finditer(rf"\b(?:{'|'.join(longest_first)})\b", text, re.IGNORECASE))


def swap_words(text: str, words: Sequence[str], skip_lists: bool = False) -> str | None:
    """Exchange the first two different words of a text that are among some.

    skip_lists: not if they only stand in a list, such as "a man and a woman". Returns None if there
    are no two such words.
    """
    found = find_words(text, words)
    for i, second in enumerate(found[1:], start=1):
        first = found[i - 1]
        between = text[first.end() : second.start()]
        is_same = first[0].lower() == second[0].lower()
        if is_same or (skip_lists and LISTED.fullmatch(between)):
            continue
        return text[: first.start()] + second[0] + between + first[0] + text[second.end() :]
    return None


def replace_words(text: str, others: dict[str, str], only_first: bool = False) -> str | None:
    """Replace words of a text by others. Returns None if it has none of them."""
    found = find_words(text, tuple(others))
    if not found:
        return None
    for match in reversed(found[:1] if only_first else found):
        text = text[: match.start()] + others[match[0].lower()] + text[match.end() :]
    return text


def reverse_relation(caption: str) -> str | None:
    """Say the opposite of how two things of a scene lie to each other, or None."""
    if NAMES_OF_PLACES.search(caption):
        return None
    return replace_words(caption, OPPOSITES)


def list_scene_negatives(caption: str) -> list[str]:
    """Make a caption of a scene wrong in each way that it allows.

    Two colours are exchanged, the relation is reversed, "two" is put for "three" or the other way
    round.
    """
    wrong = (
        swap_words(caption, SCENE_COLOURS),
        reverse_relation(caption),
        replace_words(caption, OTHER_COUNTS, only_first=True),
    )
    return [text for text in wrong if text is not None]


def list_photo_negatives(caption: str) -> list[str]:
    """Make a caption of a photo wrong: exchange two nouns that are in no list, or two colours."""
    words = (PHOTO_NOUNS, PHOTO_COLOURS)
    wrong = [swap_words(caption, own, skip_lists=True) for own in words]
    return [text for text in wrong if text is not None]


# ---- the loss --------------------------------------------------------------------------------


def negative_loss(
    image_features: Tensor, text_features: Tensor, scale: Tensor, owners: Tensor
) -> Tensor:
    """Compute the contrastive loss with wrong captions beside the right ones, in nats.

    image_features: (N, D). text_features: (N + M, D), the captions of the images and then M wrong
    ones. All are of unit length. owners: int64 (M,), the image from whose caption each wrong one
    was made. Each image chooses among all captions and each right caption among the images. Each
    image also chooses between its caption and each wrong one made from it. Without wrong captions
    it is `clip_loss`.
    """
    N = len(image_features)
    logits = scale * image_features @ text_features.T  # (N, N + M)
    labels = torch.arange(N, device=logits.device)
    image_loss = F.cross_entropy(logits, labels)
    loss = (image_loss + F.cross_entropy(logits[:, :N].T, labels)) / 2
    if not len(owners):
        return loss
    wrong = logits[owners, N + torch.arange(len(owners), device=logits.device)]  # (M,)
    return loss + F.softplus(wrong - logits.diagonal()[owners]).mean()


def tokenize_with_negatives(
    tokenizer: Tokenizer, captions: Sequence[Sequence[str]], rule: Rule
) -> Tensor:
    """Return the tokens of captions, each with the wrong ones made from it, int64 (N, K, 1 + W, T).

    W is the largest number of wrong ones. Where a caption has fewer, there is nothing but padding.
    """
    wrong = [[rule(caption) for caption in own] for own in captions]
    W = max(len(texts) for own in wrong for texts in own)
    columns = [captions]
    for w in range(W):
        columns.append([["".join(texts[w : w + 1]) for texts in own] for own in wrong])
    parts = [tokenize(tokenizer, column) for column in columns]  # each (N, K, its own T)
    for w, part in enumerate(parts[1:]):
        part[torch.tensor([[len(texts) <= w for texts in own] for own in wrong])] = 0
    T = max(part.shape[-1] for part in parts)
    return torch.stack([F.pad(part, (0, T - part.shape[-1])) for part in parts], dim=2)


def make_negative_objective(
    tokenizer: Tokenizer, dataset: CaptionDataset, recipe: Recipe, rule: Rule
) -> Loss:
    """Make the loss for `train_with_loss` in which every caption brings its wrong ones along."""
    tokens = tokenize_with_negatives(tokenizer, dataset.captions, rule)  # (N, K, 1 + W, T)
    shape = tokens.shape[2:]

    def loss(model: CLIP, images: Tensor, rows: Tensor) -> Tensor:
        drawn = sample_captions(tokens.flatten(2), rows, recipe.captions_per_image)
        drawn = drawn.unflatten(2, shape).to(images.device)  # (B, C, 1 + W, T)
        image_features = model.encode_image(images, normalize=True).float()
        model.clamp_logit_scale()  # before each step, since a loss cannot act after it
        losses = []
        for own in drawn.unbind(dim=1):  # (B, 1 + W, T)
            right, wrong = own[:, 0], own[:, 1:]
            owners, ways = wrong[..., 0].nonzero(as_tuple=True)  # of those that exist, (M,)
            texts = torch.cat([right, wrong[owners, ways]])  # (B + M, T)
            features = model.encode_text(trim_padding(texts), normalize=True).float()
            with torch.autocast(images.device.type, enabled=False):  # similarities need float32
                scale = model.logit_scale.exp()
                losses.append(negative_loss(image_features, features, scale, owners))
        return sum(losses) / len(losses)

    return loss


# ---- models ----------------------------------------------------------------------------------


def fit_order_clip(
    recipe: Recipe, seed: int, train_set: CaptionDataset, rule: Rule | None = None
) -> tuple[CLIP, Tokenizer]:
    """Train (or load) CLIP with a small text transformer, which can tell word orders apart.

    rule: makes the wrong captions to learn from; None: plain contrastive training. The recipe's
    name must tell the training set and the rule.
    """
    tokenizer = make_tokenizer(recipe, train_set.captions)
    seed_everything(seed)
    text_encoder = TextTransformer(
        recipe.vocab_size, recipe.context_length, width=64, layers=2, heads=4, feedforward=256
    )
    model = CLIP(create_image_encoder(recipe), text_encoder)
    if rule is None:
        objective = make_clip_objective(tokenizer, train_set, recipe)
    else:
        objective = make_negative_objective(tokenizer, train_set, recipe, rule)
    return load_or_fit(model, objective, train_set, recipe, seed), tokenizer


PLAIN, TAUGHT = "plain", "hard negatives"

ORDER_DRAWN = dataclasses.replace(SMALL_RECIPE, text_encoder="transformer", captions_per_image=1)
DRAWN_EPOCHS = 16
# The best on dev, with seed 100: results/tuning/limits.json.
DRAWN_RATES = {PLAIN: 3e-3, TAUGHT: 3e-3}

ORDER_PHOTOS = dataclasses.replace(
    RESIDUAL_BAG,
    text_encoder="transformer",
    image_width=96,
    stored_size=64,
    crop_size=48,
    captions_per_image=2,
    token_dropout=0.0,
    label_smoothing=0.0,
    weight_decay=0.05,
)
PHOTO_EPOCHS = 10


def fit_drawn_arm(
    arm: str, seed: int, n_scenes: int, epochs: int, rate: float
) -> tuple[CLIP, Tokenizer]:
    """Train (or load) the plain model, or the one with hard negatives, on the scenes of a seed."""
    name = f"word_order_drawn_{n_scenes}_{arm.replace(' ', '_')}"
    recipe = dataclasses.replace(ORDER_DRAWN, name=name, epochs=epochs, learning_rate=rate)
    train_set = draw_training_set(seed, n_scenes, recipe.stored_size)
    rule = list_scene_negatives if arm == TAUGHT else None
    return fit_order_clip(recipe, seed, train_set, rule)


def fit_photo_arm(
    arm: str, seed: int, n_photos: int | None, epochs: int, rate: float
) -> tuple[CLIP, Tokenizer]:
    """Train (or load) the same two models on the training photos, or on the first n of them."""
    train_set = load_dataset("flickr8k", "train", ORDER_PHOTOS.stored_size)
    train_set = train_set.subset(range(n_photos or len(train_set)))
    name = f"word_order_photos_{len(train_set)}_{arm.replace(' ', '_')}"
    recipe = dataclasses.replace(ORDER_PHOTOS, name=name, epochs=epochs, learning_rate=rate)
    rule = list_photo_negatives if arm == TAUGHT else None
    return fit_order_clip(recipe, seed, train_set, rule)
