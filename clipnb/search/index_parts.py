"""The parts of an index: each must be of its kind, and all must be about the same N images."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from clipnb.places import display_value
from clipnb.preprocess import check_uint8_images

if TYPE_CHECKING:
    from clipnb.retrieval import ImageIndex


def read_features(features: Any, name: str, axes: str) -> Tensor:
    """Return features as float32 on the CPU. NumPy arrays and other precisions are converted.

    axes: the letters of their shape, such as "ND". Raises TypeError for what is no floating point,
    and ValueError for another number of axes.
    """
    if isinstance(features, np.ndarray) and features.dtype.kind == "f":
        features = torch.from_numpy(np.require(features, requirements="W"))
    wanted = f"give a tensor of float32 ({', '.join(axes)})"
    if not (torch.is_tensor(features) and features.is_floating_point()):
        kind = f"{getattr(features, 'dtype', '')} {type(features).__name__}".strip()
        raise TypeError(f"{name} is of the type {kind}; {wanted}.")
    if features.ndim != len(axes):
        raise ValueError(f"{name} has the shape {tuple(features.shape)}; {wanted}.")
    return features.detach().float().cpu()


def read_ids(image_ids: Sequence[str]) -> list[str]:
    """Return the ids of images as a list. Raises TypeError for anything but texts."""
    is_list = not isinstance(image_ids, str) and hasattr(image_ids, "__iter__")
    wrong = [each for each in image_ids if not isinstance(each, str)] if is_list else [image_ids]
    if wrong:
        problem = f"{'holds' if is_list else 'is'} {display_value(wrong[0])}"
        raise TypeError(f"image_ids {problem}; give a list with the id of each image, a string.")
    return list(image_ids)


def check_parts(index: "ImageIndex") -> None:
    """Raise ValueError or TypeError, in words, if the parts of an index do not belong together."""
    check_counts(index)
    if len(index.row) < len(index.image_ids):
        seen = [each for row, each in enumerate(index.image_ids) if index.row[each] != row]
        raise ValueError(
            f"image_ids holds {display_value(seen[0])} more than once; give each image an id of "
            "its own."
        )
    check_width(index)
    if index.images is not None:
        check_uint8_images(index.images)
    if index.captions is not None:
        check_captions(index)


def check_counts(index: "ImageIndex") -> None:
    """Raise ValueError if the parts are about different numbers of images."""
    parts = {
        "image_features": index.image_features,
        "image_ids": index.image_ids,
        "text_features": index.text_features,
        "captions": index.captions,
        "images": index.images,
        "hashes": index.hashes,
        "paths": index.paths or None,
        "taken": index.taken or None,
    }
    counts = {name: len(part) for name, part in parts.items() if part is not None}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        raise ValueError(f"there are {listed}; give one of each for every image.")


def check_width(index: "ImageIndex") -> None:
    """Raise ValueError if features have another number of dimensions than the model's."""
    widths = {"image_features": index.image_features.shape[-1]}
    if index.text_features is not None:
        widths["text_features"] = index.text_features.shape[-1]
    projection = getattr(index.model, "text_projection", None)
    if hasattr(projection, "out_features"):
        widths["the features of the model"] = projection.out_features
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{name} {width:,}" for name, width in widths.items())
        raise ValueError(
            f"the numbers of dimensions differ: {listed}; encode images and captions with the "
            "model of the index."
        )


def check_captions(index: "ImageIndex") -> None:
    """Raise ValueError if captions are no N lists of K strings that are encoded."""
    if index.text_features is None:
        raise ValueError("there are captions without text_features; give both, or neither.")
    K = index.text_features.shape[1]
    for image_id, own in zip(index.image_ids, index.captions, strict=True):
        if isinstance(own, str) or len(own) != K or not K:
            raise ValueError(
                f"the captions of {display_value(image_id)} are {display_value(own)}; give a list "
                f"of strings for each image, one for each of its {K:,} text_features."
            )
