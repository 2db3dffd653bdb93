"""Rename a CLIP's tensors between our modules, open_clip's files and Hugging Face's, both ways."""

import re

import torch
from torch import Tensor, nn

from clipnb.pretrained.tables import Names, list_names
from clipnb.towers.published import Architecture
from clipnb.towers.sizes import find_architecture

# What the names in each naming's image tower begin with.
NAMINGS = {
    "open_clip": "visual.",
    "hugging_face": "vision_model.",
    "clipnb": "image_encoder.",
}
# DistributedDataParallel puts the first before every name, and torch.compile the second. open_clip
# puts the third before the text tower's names if a model's sizes say `custom_text`.
PREFIXES = re.compile(r"^((module|_orig_mod|text)\.)+")
SCALARS = ("logit_scale", "logit_bias")  # some files have them as vectors of one number
# Tensors that only repeat the sizes: OpenAI's three scalars, Hugging Face's 0, 1, 2, ..., and the
# causal mask, which a TorchScript archive of open_clip's model holds.
IGNORED = ("input_resolution", "context_length", "vocab_size", "position_ids", "attn_mask")


def find_naming(weights: dict[str, Tensor]) -> str:
    """Find which naming a file's tensors follow: "open_clip", "hugging_face" or "clipnb".

    Raises ValueError if they follow none, or if two tensors have the same place in a model.
    """
    bare = strip_prefixes(weights)
    for naming, beginning in NAMINGS.items():
        if any(name.startswith(beginning) for name in bare):
            return naming
    examples = ", ".join(sorted(weights)[:3]) or "none at all"
    raise ValueError(
        f"these are not the weights of a CLIP: none of the {len(weights)} tensors' names begins "
        f"with {', '.join(NAMINGS.values())} as an image tower's do. The first are: {examples}."
    )


def strip_prefixes(weights: dict[str, Tensor]) -> dict[str, str]:
    """Return {name without prefixes: name in the file} of the tensors that a model needs.

    Raises ValueError if two tensors of the file have the same name without prefixes.
    """
    bare = {}
    for name in weights:
        short = PREFIXES.sub("", name)
        if short.rpartition(".")[2] in IGNORED:
            continue
        if short in bare:
            raise ValueError(f"{bare[short]} and {name} are the same tensor of a model; keep one.")
        bare[short] = name
    return bare


def rename_to_ours(weights: dict[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Rename the tensors of a file, in any of the namings, as our modules name them.

    Floating-point tensors become float32. A tensor that the architecture does not have keeps its
    name, so that loading the result strictly finds it. Raises ValueError as `find_naming` does.
    """
    naming = find_naming(weights)
    left = {bare: weights[name] for bare, name in strip_prefixes(weights).items()}
    renamed = {}
    for names in list_names(architecture):
        theirs = list_own_names(names, naming)
        if not theirs or not all(name in left for name in theirs):
            continue
        parts = [left.pop(name) for name in theirs]
        tensor = torch.cat(parts) if len(parts) > 1 else parts[0]
        if naming == "open_clip" and names.is_transposed:
            tensor = tensor.T.contiguous()
        renamed[names.ours] = tensor
    renamed |= left
    for name in SCALARS:
        if name in renamed and renamed[name].numel() == 1:
            renamed[name] = renamed[name].reshape(())
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in renamed.items()
    }


def list_own_names(names: Names, naming: str) -> tuple[str, ...]:
    """Return the names that one of our tensors has in a naming."""
    if naming == "hugging_face":
        return names.hugging_face
    return (names.open_clip,) if naming == "open_clip" else (names.ours,)


def rename_to_open_clip(
    weights: dict[str, Tensor], architecture: Architecture
) -> dict[str, Tensor]:
    """Rename the tensors of our modules as open_clip and openai/CLIP name them.

    What the architecture does not have keeps its name.
    """
    left = dict(weights)
    renamed = {}
    for names in list_names(architecture):
        tensor = left.pop(names.ours)
        renamed[names.open_clip] = tensor.T.contiguous() if names.is_transposed else tensor
    return renamed | left


def rename_to_hugging_face(
    weights: dict[str, Tensor], architecture: Architecture
) -> dict[str, Tensor]:
    """Rename the tensors of our modules as transformers' CLIPModel names them.

    What the architecture does not have keeps its name. Raises ValueError for a ResNet.
    """
    if not architecture.patch_size:
        raise ValueError(
            "Hugging Face's CLIPModel has no ResNet; weights of one are in open_clip's naming."
        )
    left = dict(weights)
    renamed = {}
    for names in list_names(architecture):
        tensor = left.pop(names.ours)
        n_parts = len(names.hugging_face)
        parts = tensor.chunk(n_parts) if n_parts > 1 else [tensor]
        renamed |= zip(names.hugging_face, parts, strict=True)
    return renamed | left


def find_differences(weights: dict[str, Tensor], model: nn.Module) -> list[str]:
    """Find which tensors of a file are not those that a model has, by the file's own names.

    Returns one short clause for each tensor: first those of another shape or of another kind of
    numbers, then those that the file lacks, then those that it has beyond the model's. An empty
    list means that the weights fit.
    """
    naming = find_naming(weights)
    expected = model.state_dict()
    if naming == "open_clip":
        expected = rename_to_open_clip(expected, find_architecture(model))
    if naming == "hugging_face":
        expected = rename_to_hugging_face(expected, find_architecture(model))
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    bare = strip_prefixes(weights)
    found = {name: tuple(weights[own].shape) for name, own in bare.items()}
    for name in SCALARS:
        if found.get(name) == (1,):
            found[name] = ()
    differences = []
    for name in shapes.keys() & found.keys():
        if shapes[name] != found[name]:
            differences.append(f"{bare[name]} is {found[name]} and should be {shapes[name]}")
        elif kind := find_strange_kind(weights[bare[name]], expected[name]):
            differences.append(f"{bare[name]} is {kind} and should be dense floating point")
    differences.sort()
    for name in sorted(shapes.keys() - found.keys()):
        differences.append(f"{name} {shapes[name]} is missing")
    for name in sorted(found.keys() - shapes.keys()):
        differences.append(f"{bare[name]} {found[name]} is not in the model")
    return differences


def find_strange_kind(tensor: Tensor, expected: Tensor) -> str:
    """Say what is strange about a tensor's numbers, such as "int64" or "sparse", or return ""."""
    if tensor.layout != torch.strided:
        return "sparse"
    if expected.is_floating_point() and not tensor.is_floating_point():
        return str(tensor.dtype).removeprefix("torch.")
    return ""  # also for the counters of batch norm, which are whole numbers in a model
