"""Notebook 06: what the answers to its exercises must fulfil."""

import re
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from PIL import Image, ImageChops

from clipnb.exercises import Properties, is_close
from clipnb.scenes import captions, dataset_scene, render


def lazy_accuracy(answer: float) -> Properties:
    """Yield the properties of the accuracy of always giving the most frequent class."""
    yield "It is more than guessing among twelve classes reaches.", answer > 100 / 12
    yield "It is the share of the images that show the most frequent kind.", is_close(answer, 15)


def my_templates(answer: Sequence[str]) -> Properties:
    """Yield the properties of templates whose words the captions of the world hold."""
    known = {
        word
        for i in range(500)
        for text in captions(dataset_scene("train", i))
        for word in re.findall("[a-z]+", text.lower())
    }
    yield "There are three different templates.", len(set(answer)) >= 3
    yield "Each has one pair of braces.", all(template.count("{}") == 1 for template in answer)
    words = {word for template in answer for word in re.findall("[a-z]+", template.lower())}
    yield "The captions hold all of their words.", words <= known


def average_features(answer: Callable) -> Properties:
    """Yield the properties of a classifier's weights made of sentence features (T, C, D)."""
    features = torch.randn(5, 3, 16, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([1.0, 2, 3, 4, 50])[:, None, None]
    weights = torch.as_tensor(answer(features * lengths))
    yield "The weights have the shape (D, C).", weights.shape == (16, 3)
    yield "Each column has length 1.", is_close(weights.norm(dim=0), torch.ones(3))
    yield (
        "A longer feature has no more say than a shorter one.",
        is_close(answer(features), weights),
    )
    single = F.normalize(features[:1], dim=-1)[0].T
    yield "A single sentence stays what it is.", is_close(answer(features[:1]), single)
    expected = F.normalize(F.normalize(features, dim=-1).sum(dim=0), dim=-1).T
    yield "A column points to the middle of its sentences.", is_close(weights, expected)


def average_probabilities(answer: Callable) -> Properties:
    """Yield the properties of an ensemble that averages probabilities."""
    cosines = 2 * torch.rand(4, 6, 3, generator=torch.Generator().manual_seed(0)) - 1
    probabilities = torch.as_tensor(answer(cosines, 20.0))
    yield "There is a row for each image.", probabilities.shape == (6, 3)
    yield "Each row adds up to 1.", is_close(probabilities.sum(dim=1), torch.ones(6))
    flat = answer(cosines, 0.0)
    yield "With a factor of 0 all classes are equal.", is_close(flat, torch.full((6, 3), 1 / 3))
    each = torch.stack([F.softmax(20.0 * one, dim=1) for one in cosines])
    yield "Each sentence has the same say.", is_close(probabilities, each.mean(dim=0))


def winoground(answer: Callable) -> Properties:
    """Yield the properties of Winoground's scores: text, image and group, of cosines (2, 2)."""

    def score(cosines: torch.Tensor) -> list[bool]:
        return [bool(each) for each in answer(cosines)]

    right = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    yield "A model that is right in everything gets all three.", score(right) == [True] * 3
    yield "A model that is wrong in everything gets none.", score(right.flip(0)) == [False] * 3
    one_sentence = torch.tensor([[0.5, 0.4], [0.9, 0.8]])  # the first one, for both images
    yield "The same sentence for both images is no success in text.", not score(one_sentence)[0]
    text_alone = torch.tensor([[0.3, 0.1], [0.8, 0.9]])  # the second image, for both sentences
    yield "Text may be right without image.", score(text_alone) == [True, False, False]
    yield "Image may be right without text.", score(text_alone.T) == [False, True, False]
    yield "A tie counts as wrong.", score(torch.full((2, 2), 0.5)) == [False] * 3


def label_with_absent(answer: Callable) -> Properties:
    """Yield the properties of an edit that prints an absent word on some images."""
    scenes = [dataset_scene("train", i) for i in range(60)]
    images = [render(scene, 128).convert("RGB") for scene in scenes]
    edited = [answer(image.copy(), scene) for image, scene in zip(images, scenes, strict=True)]
    yield "It returns an image.", all(isinstance(image, Image.Image) for image in edited)
    yield "The image keeps its size.", all(image.size == (128, 128) for image in edited)
    pairs = zip(images, edited, strict=True)
    n_changed = sum(ImageChops.difference(*pair).getbbox() is not None for pair in pairs)
    yield "Some images stay as they are.", n_changed < 40
    yield "About three images in ten get a card.", n_changed > 8
    again = [answer(image.copy(), scene) for image, scene in zip(images, scenes, strict=True)]
    yield (
        "The same scene gets the same card.",
        all(one.tobytes() == two.tobytes() for one, two in zip(again, edited, strict=True)),
    )
