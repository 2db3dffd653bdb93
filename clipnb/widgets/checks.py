"""What the widgets check of what they are given, before anything is shown."""

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from clipnb.places import display_value
from clipnb.preprocess import check_uint8_images
from clipnb.retrieval import ImageIndex
from clipnb.runs import Run
from clipnb.search.nearest import check_features
from clipnb.tokenizer import check_text

# ---- one value ---------------------------------------------------------------------------------


def check_number(name: str, value: Any) -> int:
    """Return a whole number as an int. Raises TypeError for anything else."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} is a whole number, such as 6, not {display_value(value)}."
        ) from None


def check_run(run: Any) -> None:
    """Raise TypeError for what is no run."""
    if not isinstance(run, Run):
        raise TypeError(f"run is what load_run or load_pretrained returns, not {_show(run)}.")


def check_list(name: str, values: Any, of: str) -> list[str]:
    """Return texts as a list. Raises TypeError for one text alone, and for what is no text.

    name, of: what a message calls the list and one text of it.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} is a list of strings, not {_show(values)}; put it into [ ].")
    return [check_text(value, of) for value in values]


def _show(value: Any) -> str:
    return f"{display_value(value)} ({type(value).__name__})"


# ---- images and indexes --------------------------------------------------------------------------


def check_index(index: Any, name: str = "index") -> None:
    """Raise TypeError for what is no index, ValueError for features that are not finite."""
    if not isinstance(index, ImageIndex):
        raise TypeError(
            f"{name} is an ImageIndex, such as ImageIndex.build makes, not {_show(index)}."
        )
    if len(index):
        check_features(index.image_features)


def check_shown(index: ImageIndex, shown: np.ndarray | None) -> None:
    """Raise an error in a sentence if there is not one image to show for each of an index."""
    if shown is None:
        if not has_images(index):
            raise ValueError(
                "the index holds neither images nor paths, so there is nothing to show; give the "
                "images as shown, uint8 (N, 3, S, S), in the order of the index."
            )
        return
    check_uint8_images(shown, "shown")
    if len(shown) != len(index):
        raise ValueError(
            f"shown holds {len(shown)} images, and the index {len(index)}; give one for each, in "
            "the order of the index."
        )


def has_images(index: ImageIndex) -> bool:
    """Tell whether an index has something to show of its images, or no images at all."""
    return index.images is not None or bool(index.paths) or not len(index)


def check_captions(index: ImageIndex) -> None:
    """Raise ValueError if an image of an index has no caption to play with."""
    captions = index.captions
    if captions is None or index.text_features is None or not all(map(len, captions)):
        raise ValueError(
            "the game needs a caption for each image, and the index lacks some; build it on a "
            "dataset that has captions."
        )
    if len(index):
        check_features(index.text_features.flatten(0, 1))


def check_others(index: ImageIndex, others: Any) -> dict[str, ImageIndex]:
    """Return the other indexes of the same images, by their names.

    Raises TypeError for what is none, ValueError if another index holds other images.
    """
    if others is None:
        return {}
    if not isinstance(others, dict) or not all(isinstance(name, str) for name in others):
        raise TypeError(f"others is a dictionary {{name: ImageIndex}}, not {_show(others)}.")
    for name, other in others.items():
        check_index(other, f"others[{display_value(name)}]")
        if set(other.image_ids) != set(index.image_ids):
            raise ValueError(
                f"the index {name!r} holds other images; build it on the same images as the first."
            )
    return others


# ---- class names ---------------------------------------------------------------------------------


def check_classes(truth: list[str], classes: list[str], n_images: int) -> None:
    """Raise ValueError for class names that a lab cannot ask about.

    These are names with a sign that separates names in the box. There must be one name in `truth`
    for each image.
    """
    for name in (*truth, *classes):
        if "," in name or "=" in name:
            raise ValueError(
                f"the class name {display_value(name)} has a comma or an equals sign, which "
                "separate names in the box; write it without."
            )
    if len(truth) != n_images:
        raise ValueError(
            f"truth holds {len(truth)} names, and there are {n_images} images; give one for each."
        )
