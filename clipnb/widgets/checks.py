"""What the widgets check of what they are given, before anything is shown."""

import operator
from typing import Any

import numpy as np

from clipnb.places import display_value
from clipnb.retrieval import ImageIndex


def check_count(name: str, value: Any) -> int:
    """Return a number of images as an int. Raises TypeError for what is no whole number."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} is a whole number, such as 6, not {display_value(value)}."
        ) from None


def check_shown(index: ImageIndex, shown: np.ndarray | None) -> None:
    """Raise ValueError if there is not one image to show for each of an index."""
    if shown is None:
        if index.images is None and not index.paths and len(index):
            raise ValueError(
                "the index holds neither images nor paths, so there is nothing to show; give the "
                "images as shown, uint8 (N, 3, S, S), in the order of the index."
            )
    elif len(shown) != len(index):
        raise ValueError(
            f"shown holds {len(shown)} images, and the index {len(index)}; give one for each, in "
            "the order of the index."
        )


def check_classes(truth: list[str], classes: list[str], n_images: int) -> None:
    """Raise an error in a sentence for class names that a lab cannot ask about.

    TypeError for what is no text. ValueError for a name with a sign that separates names in the
    box, and if there is not one name in `truth` for each image.
    """
    for name in (*truth, *classes):
        if not isinstance(name, str):
            raise TypeError(f"a class name is a string, not {display_value(name)}.")
        if "," in name or "=" in name:
            raise ValueError(
                f"the class name {display_value(name)} has a comma or an equals sign, which "
                "separate names in the box; write it without."
            )
    if len(truth) != n_images:
        raise ValueError(
            f"truth holds {len(truth)} names, and there are {n_images} images; give one for each."
        )
