"""Two helps for a search that need no training: "nothing here matches", and short queries.

No cutoff on the cosine tells whether anything matches: the best image of one query scores as high
as the junk of another. But a run knows training images. So each word of a query is asked of a
thousand training images too, the bank. A collection matches if its best images fit every word about
as well as the bank's best images do, and "about" is calibrated on the dev images (`fit_bank`).

A query of one or two words is no caption, and its vector lies away from those of captions. What the
words change when they are put before captions is a better direction (`CaptionBank.expand`).
"""

import json
import math
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.datasets import CaptionDataset
from clipnb.disk import parse_json
from clipnb.features import digest_weights, encode_images, encode_texts
from clipnb.places import check_path
from clipnb.runs import load_run_dataset
from clipnb.runtime import display_path, write_file
from clipnb.search.words import collect_words, find_words

if TYPE_CHECKING:
    from clipnb.runs import Run
    from clipnb.tokenizer import Tokenizer

VERSION = 1  # raise it when a stored bank would answer differently
BANK_SIZE = 1000  # training images
N_CONTEXTS = 8  # captions that a word is put before; more of them give the same direction
SHORT = 2  # content words of a short query
N_PARTS = 20  # random parts of the dev images, the collections of the calibration
PART = 2 / 3  # of the dev images; with more of them, too much is refused elsewhere
BEST_SHARE = 0.03  # of the images, over which a mean is taken; chosen on dev, like all the above
MOST_REMEMBERED = 5000  # texts
MOST_WORDS = 50  # of a text, that are scored
LEAST_DEVIATION = 1e-6  # of cosines: those of a collapsed model differ by rounding alone
MOST_UNSEEN = 0.25  # a text is refused if such a share of its words was in no training caption
# Words that are not searched for alone.
# fmt: off
FUNCTION_WORDS = {
    "a", "an", "and", "another", "are", "as", "at", "away", "be", "behind", "beside", "between",
    "by", "down", "for", "from", "has", "have", "he", "her", "his", "in", "into", "is", "it", "its",
    "left", "near", "next", "not", "of", "off", "on", "one", "onto", "or", "other", "out", "over",
    "pair", "right", "several", "she", "some", "than", "that", "the", "their", "them", "there",
    "these", "they", "this", "three", "through", "to", "towards", "two", "under", "up", "very",
    "was", "were", "while", "who", "with",
}
# fmt: on


@dataclass
class CaptionBank:
    """Training images with one caption each, and what a collection must reach beside them.

    model, tokenizer: those that encoded the bank. captions: M strings. features: the captions',
    float32 (M, D), and image_features: their images', (M, D), all of unit length. words: those that
    the training captions taught. thresholds: what `score` must reach, for "short" texts and "long"
    ones; None where too few dev images were there to tell. error_rate: the share of right answers
    that a threshold may refuse. weights: the digest of the model. directions: those found so far.
    """

    model: nn.Module = field(repr=False)
    tokenizer: "Tokenizer" = field(repr=False)
    captions: list[str] = field(repr=False)
    features: Tensor = field(repr=False)
    image_features: Tensor = field(repr=False)
    words: set[str] = field(repr=False)
    thresholds: dict[str, float | None]
    error_rate: float
    weights: str
    directions: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)

    # ---- short queries -----------------------------------------------------------------------

    def expand(self, text: str) -> Tensor | None:
        """Return a better direction for a query of one or two content words, float32 (D,).

        It has unit length. Returns None for a longer text, which is like a caption already, and for
        one without a word or a known token.
        """
        if not is_short(text) or not self.tokenizer.encode(text):
            return None
        return self.find_directions([text])[0]

    def find_directions(self, texts: Sequence[str]) -> Tensor:
        """Return how Q texts move a caption that they are put before, (Q, D), unit length.

        It is the mean over `N_CONTEXTS` captions of the bank. The texts need not occur in it. They
        are remembered, because a query is typed letter by letter.
        """
        if len(self.directions) > MOST_REMEMBERED:
            self.directions.clear()
        new = [text for text in dict.fromkeys(texts) if text not in self.directions]
        if new:
            contexts = self.captions[:N_CONTEXTS]
            longer = [f"{text} {caption}" for text in new for caption in contexts]
            moved = encode_texts(self.model, self.tokenizer(longer))  # (Q*C, D)
            changes = moved.view(len(new), len(contexts), -1) - self.features[:N_CONTEXTS]
            directions = F.normalize(changes.mean(dim=1), dim=-1)
            self.directions.update(zip(new, directions, strict=True))
        return torch.stack([self.directions[text] for text in texts])

    # ---- nothing here matches ----------------------------------------------------------------

    def has_match(self, image_features: Tensor, text: str) -> bool | None:
        """Tell whether any image matches a text. image_features: (N, D).

        Returns None if there is no threshold, no image, no word, or no known token.

        What is promised: of texts with a right answer in the collection, at most `error_rate` are
        refused, on average over dev sets. The text and the collection must come from where those of
        the calibration came from: the collection's images are like the dev images, one of them is
        drawn, then one of its captions, and of that one or two words, or all of it. So nothing is
        promised of a collection with few images of what is common in the dataset. Nothing is
        promised either of a text without a right answer; how often it is refused is measured
        (`results/search/abstention.json`). Words that are there in different images, but in none
        together, are not noticed.
        """
        threshold = self.thresholds["short" if is_short(text) else "long"]
        if threshold is None or not len(image_features):
            return None
        if not find_words(text) or not self.tokenizer.encode(text):
            return None
        return self.score(image_features, text) >= threshold

    def score(self, image_features: Tensor, text: str) -> float:
        """Say how well the best of N images fit a text: the least that `score_words` gives.

        Minus infinity if a quarter or more of its words were in no training caption, or if none of
        its content words were. Fewer unseen words are left out.
        """
        words = self.choose_words(text)
        return self.score_words(image_features, words).min().item() if words else float("-inf")

    def choose_words(self, text: str) -> list[str]:
        """Choose the words of a text that are scored; none if too many were never seen."""
        words = find_words(text)[:MOST_WORDS]
        content = [word for word in words if word not in FUNCTION_WORDS] or words
        seen = [word for word in content if word in self.words]
        n_unseen = len(content) - len(seen)
        return [] if n_unseen and n_unseen >= MOST_UNSEEN * len(words) else seen

    def score_words(self, image_features: Tensor, words: Sequence[str]) -> Tensor:
        """Score how well the best of N images (N, D) fit each of W words. Returns (W,)."""
        return self.compare(image_features, self.find_directions(words))

    def compare(self, image_features: Tensor, directions: Tensor) -> Tensor:
        """Compare how well images (N, D) and the bank's images fit W directions. Returns (W,).

        It is the difference of two mean cosines, each over the best 3 % of the images, in standard
        deviations of the bank's cosines: 0 if the best images fit as well as the bank's best do,
        negative if they fit less well, minus infinity if there are no images.
        """
        if not len(image_features):
            return torch.full((len(directions),), float("-inf"))
        there = directions @ image_features.T  # (W, N)
        here = directions @ self.image_features.T  # (W, M)
        n_there = max(1, round(BEST_SHARE * len(image_features)))
        n_here = max(1, round(n_there / len(image_features) * here.shape[1]))  # the same share
        best_there = there.topk(n_there, dim=1).values.mean(dim=1)
        best_here = here.topk(n_here, dim=1).values.mean(dim=1)
        return (best_there - best_here) / here.std(dim=1).clamp(min=LEAST_DEVIATION)


def is_short(text: str) -> bool:
    """Tell whether a text has one or two content words, or is a single function word."""
    words = find_words(text)
    content = [word for word in words if word not in FUNCTION_WORDS]
    return 1 <= len(content) <= SHORT or len(words) == 1


# ---- fitting ---------------------------------------------------------------------------------


def fit_bank(
    model: nn.Module,
    tokenizer: "Tokenizer",
    train_set: CaptionDataset,
    dev_set: CaptionDataset,
    error_rate: float = 0.1,
    seed: int = 0,
) -> CaptionBank:
    """Draw a bank from the training images and calibrate it on the dev images."""
    generator = random.Random(seed)
    at_least = min(3, 1 + len(train_set) // 1000)  # a word that was read once is hardly known
    rows = sorted(generator.sample(range(len(train_set)), min(BANK_SIZE, len(train_set))))
    captions = [generator.choice(train_set.captions[row]) for row in rows]
    bank = CaptionBank(
        model,
        tokenizer,
        captions,
        features=encode_texts(model, tokenizer(captions)),
        image_features=encode_images(model, train_set.images[rows]),
        words=collect_words(train_set.captions, at_least),
        thresholds={},
        error_rate=error_rate,
        weights=digest_weights(model),
    )
    dev_features = encode_images(model, dev_set.images)
    bank.thresholds = calibrate(bank, dev_features, dev_set.captions, generator)
    return bank


def calibrate(
    bank: CaptionBank,
    image_features: Tensor,
    captions: Sequence[Sequence[str]],
    generator: random.Random,
) -> dict[str, float | None]:
    """Return the thresholds for short and long texts from N images (N, D) and their captions.

    Random parts of the images play the collection. Each image asks a short and a long text of one
    part that it is in, so each text has a right answer. With all images as the only collection the
    thresholds would know nothing of the luck of a collection, and too much would be refused. The
    parts overlap, so their scores are exchangeable with those of a new collection only nearly.
    Counted over new splits, 6 to 9 % of the right answers are refused for a promise of 10 %.
    """
    n = len(captions)
    n_asking = -(-n // N_PARTS)  # rounded up
    scores = {"short": [], "long": []}
    for _ in range(min(N_PARTS, n)):
        part = generator.sample(range(n), round(PART * n))
        asking = [captions[i] for i in part[:n_asking]]
        for kind, texts in draw_texts(asking, generator).items():
            scores[kind].append(score_texts(bank, image_features[part], texts))
    return {
        kind: conformal_threshold(torch.cat(parts)[:n], bank.error_rate)
        for kind, parts in scores.items()
    }


def draw_texts(captions: Sequence[Sequence[str]], generator: random.Random) -> dict[str, list[str]]:
    """Draw a short and a long text for each of N images from its captions.

    The long one is a caption. The short one is a content word, or two that follow each other.
    """
    texts = {"short": [], "long": []}
    for own in captions:
        texts["long"].append(generator.choice(own))
        words = [word for word in find_words(generator.choice(own)) if word not in FUNCTION_WORDS]
        if words:
            start = generator.randrange(len(words))
            texts["short"].append(" ".join(words[start : start + generator.randint(1, SHORT)]))
    return texts


def score_texts(bank: CaptionBank, image_features: Tensor, texts: Sequence[str]) -> Tensor:
    """Score Q texts as `CaptionBank.score` does, but each word only once. Returns (Q,)."""
    chosen = [bank.choose_words(text) for text in texts]
    words = sorted(set().union(*chosen))
    by_word = {}
    if words:
        values = bank.score_words(image_features, words).tolist()
        by_word = dict(zip(words, values, strict=True))
    least = [min((by_word[word] for word in own), default=-torch.inf) for own in chosen]
    return torch.tensor(least)


def conformal_threshold(scores: Tensor, error_rate: float) -> float | None:
    """Return the threshold that refuses a new score with probability at most `error_rate`.

    scores: (n,), exchangeable with the new one, so all n + 1 of them are equally likely to be the
    lowest, the second lowest and so on. Then the new one lies below the k-th lowest of the n with
    probability at most k / (n + 1), and the largest k for which this is at most `error_rate` gives
    the threshold (split conformal prediction: Papadopoulos et al. 2002; Lei et al. 2018, §2.2).
    Returns None if there is no such k (with an error rate of 10 %, below nine scores). It returns
    None too if the threshold would be minus infinity, which refuses nothing, or not a number, as it
    is for a model whose training diverged.
    """
    k = int(error_rate * (len(scores) + 1) + 1e-9)
    if k < 1:
        return None
    threshold = scores.sort().values[k - 1].item()
    return threshold if math.isfinite(threshold) else None


# ---- on disk ---------------------------------------------------------------------------------


def load_bank(run: "Run") -> CaptionBank:
    """Load the bank of a run, or fit it now and keep it in the run's folder.

    One that is damaged, or that other weights or another version of clipnb made, is made anew. It
    is not kept if the folder cannot be written to. Raises FileNotFoundError if the dataset is
    needed for that and is not there. Raises ValueError for a published model: the pictures that it
    was trained on, and the words that it knows, are not here.
    """
    from clipnb.pretrained import Pretrained  # none of the rest needs it

    if isinstance(run, Pretrained):
        raise ValueError(f"the pictures that {run.recipe.name} was trained on are not here.")
    path = run.folder / "bank.safetensors"
    try:
        return read_bank(path, run.model, run.tokenizer)
    except (OSError, ValueError):
        pass
    train_set, dev_set = load_run_dataset(run, "train"), load_run_dataset(run, "dev")
    bank = fit_bank(run.model, run.tokenizer, train_set, dev_set)
    with suppress(OSError):  # of a folder that is read-only, or of a full disk
        save_bank(bank, path)
    return bank


def save_bank(bank: CaptionBank, path: str | Path) -> None:
    """Write a bank as one safetensors file, whole or not at all. The model is not in it."""
    tensors = {"features": bank.features, "image_features": bank.image_features}
    settings = {
        "version": VERSION,
        "captions": bank.captions,
        "words": sorted(bank.words),
        "thresholds": bank.thresholds,
        "error_rate": bank.error_rate,
        "weights": bank.weights,
    }
    settings_text = json.dumps(settings, allow_nan=False)
    write_file(path, safetensors.torch.save(tensors, {"bank": settings_text}))


def read_bank(path: str | Path, model: nn.Module, tokenizer: "Tokenizer") -> CaptionBank:
    """Read what `save_bank` wrote; `model` must be the one that it was fitted with.

    Raises FileNotFoundError if there is none, ValueError if it is damaged or belongs to other
    weights or another version.
    """
    path = check_path(path)
    damaged = f"{display_path(path)} is damaged; load_bank(run) replaces it."
    if not path.exists():
        raise FileNotFoundError(f"no bank at {display_path(path)}; load_bank(run) makes one.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            settings = parse_json(file.metadata()["bank"])
            tensors = {name: file.get_tensor(name) for name in ("features", "image_features")}
        version = settings.pop("version", None)
    except (safetensors.SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(damaged) from error
    if version != VERSION:
        raise ValueError(f"{display_path(path)} was written by another version of clipnb.")
    try:
        settings["words"] = set(settings["words"])
        bank = CaptionBank(model, tokenizer, **settings, **tensors)
    except (KeyError, TypeError) as error:  # a field is missing, or one too many is there
        raise ValueError(damaged) from error
    if bank.weights != digest_weights(model):
        raise ValueError(f"{display_path(path)} belongs to another model.")
    return bank
