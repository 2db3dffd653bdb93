"""Adapting a trained model: frozen encoders, LoRA, and a mean of two models' weights."""

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from clipnb.model import CLIP
from clipnb.preprocess import find_preprocess
from clipnb.recipes import Recipe

# The classes with the projections of an attention: ours, PyTorch's own, and timm's.
ATTENTION = {"MultiHeadAttention", "MultiheadAttention", "Attention"}
TOWERS = ("image", "text")

# ---- frozen encoders -------------------------------------------------------------------------


def freeze_towers(model: CLIP, recipe: Recipe, loaded: Iterable[str]) -> None:
    """Take the gradients from the parameters of the encoders that a recipe freezes.

    loaded: the names of all parameters that were loaded. If one encoder is frozen, so is its
    projection where it was loaded with it: the other encoder learns to fit the features as they
    are. With `freeze="both"` the two projections learn, which is called a linear adapter.
    """
    for tower in recipe.frozen_towers:
        getattr(model, f"{tower}_encoder").requires_grad_(False)
        if recipe.freeze != "both" and f"{tower}_projection.weight" in loaded:
            getattr(model, f"{tower}_projection").requires_grad_(False)


def hold_still(model: CLIP, recipe: Recipe) -> None:
    """Put the encoders whose own weights are frozen into evaluation mode.

    Then batch norm keeps its statistics and nothing is dropped out. Call it after `model.train()`.
    """
    for tower in recipe.frozen_towers | recipe.lora_towers:
        getattr(model, f"{tower}_encoder").eval()


def count_learned(model: nn.Module) -> int:
    """Return the number of parameters that learn: those with gradients."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


# ---- LoRA ------------------------------------------------------------------------------------


class LowRankChange(nn.Module):
    """The change of a weight W to W + B A, in which only B and A learn (LoRA, Hu et al. 2021).

    For a W with n rows and m columns, A is (rank, m) and B is (n, rank): few numbers if the rank is
    small. No matrix has a larger rank than n or m, so a larger one is cut to the smaller of both. A
    kernel (out, in, k, k) counts as a matrix (out, in k k). B starts at 0, so at first the weight
    is W.
    """

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        n, m = weight.flatten(1).shape
        rank = min(rank, n, m)
        kind = {"dtype": weight.dtype, "device": weight.device}
        self.A = nn.Parameter(torch.randn(rank, m, **kind) / math.sqrt(m))
        self.B = nn.Parameter(torch.zeros(n, rank, **kind))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight, of the same shape."""
        return weight + (self.B @ self.A).view(weight.shape)


def add_lora(model: CLIP, rank: int, towers: str | Iterable[str] = TOWERS) -> CLIP:
    """Freeze encoders and let their matrices change by a matrix of a low rank.

    towers: "image", "text" or both. The matrices are those that `find_matrices` finds, and a rank
    larger than a side of one is cut to that side. The projections and the temperature learn in
    full, as before. The outputs are unchanged until the first step. The model itself is changed,
    and returned. Raises ValueError, before anything is changed, for an unknown tower, a rank that
    is no integer of at least 1, or a model that has such changes already.
    """
    towers = {towers} if isinstance(towers, str) else set(towers)
    if unknown := sorted(towers - set(TOWERS)):
        raise ValueError(f"tower {unknown[0]!r} is unknown; choose from {', '.join(TOWERS)}.")
    if not isinstance(rank, int) or rank < 1:
        raise ValueError(f"the rank of a change is an integer of at least 1, not {rank}.")
    if any(parametrize.is_parametrized(module) for module in model.modules()):
        raise ValueError("this model has low-rank changes already; call `merge_lora` first.")
    encoders = [getattr(model, f"{tower}_encoder") for tower in sorted(towers)]
    matrices = [matrix for encoder in encoders for matrix in find_matrices(encoder)]
    for encoder in encoders:
        encoder.requires_grad_(False)
    for module, name in matrices:
        change = LowRankChange(getattr(module, name), rank)
        parametrize.register_parametrization(module, name, change)
    return model


def find_matrices(encoder: nn.Module) -> list[tuple[nn.Module, str]]:
    """Find the weights of an encoder that LoRA changes, as modules and names of parameters.

    They are the projections of its attention: queries, keys and values, and the output. In an
    encoder without attention they are its convolutions, and in a bag of words the token embedding.
    """
    attentions = [m for m in encoder.modules() if type(m).__name__ in ATTENTION]
    inside = [part for attention in attentions for part in attention.modules()]
    for candidates, kinds in (
        (inside, (nn.Linear, nn.MultiheadAttention)),
        (encoder.modules(), nn.Conv2d),
        (encoder.modules(), nn.Embedding),
    ):
        chosen = [module for module in candidates if isinstance(module, kinds)]
        if chosen:
            break
    else:
        raise ValueError(f"{type(encoder).__name__} has no matrices that LoRA could change.")
    return [
        (module, "in_proj_weight" if isinstance(module, nn.MultiheadAttention) else "weight")
        for module in chosen
    ]


def merge_lora(model: CLIP) -> CLIP:
    """Put the low-rank changes into the weights: W becomes W + B A, a plain parameter again.

    The outputs stay the same. The model itself is changed, and returned. Merged weights stay
    frozen, as they were.
    """
    for module in list(model.modules()):
        if not parametrize.is_parametrized(module):
            continue
        merged = {name: getattr(module, name).detach().clone() for name in module.parametrizations}
        # PyTorch's `remove_parametrizations` changes the class, which a copy of the model shares.
        module.__class__ = type(module).__bases__[0]
        del module.parametrizations
        for name, weight in merged.items():
            module.register_parameter(name, nn.Parameter(weight, requires_grad=False))
    return model


# ---- a mean of two models --------------------------------------------------------------------


@torch.no_grad()
def interpolate_weights(first: CLIP, second: CLIP, share: float) -> CLIP:
    """Return a model whose weights lie between those of two others (WiSE-FT, Wortsman et al. 2022).

    share: 0 gives the first model, 1 the second; batch statistics are averaged like weights, and
    integers are the second model's. Between a model before and after fine-tuning there is often one
    that is as good on the new images as the second, and forgets less. Raises ValueError if the two
    are not built alike or take different images, or if the share is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; choose a number from 0 to 1.")
    if differences := list_differences(first, second):
        raise ValueError(
            f"the two models are not built alike: {'; '.join(differences[:3])}. Weights can be "
            "averaged only between a model and one that was trained on from it."
        )
    between = copy.deepcopy(second)
    starts = first.state_dict()
    for name, end in between.state_dict().items():
        if end.is_floating_point():
            end.copy_(torch.lerp(starts[name].to(end.device), end, share))
    return between


def list_differences(first: nn.Module, second: nn.Module) -> list[str]:
    """List what two models do not share: preprocessing, classes of modules, shapes of tensors."""
    parts = [
        {name: type(module).__name__ for name, module in model.named_modules()}
        | {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        | {"preprocess": find_preprocess(model)}
        for model in (first, second)
    ]
    names = sorted(set(parts[0]) | set(parts[1]))
    return [
        f"{name or 'the model'} is {parts[0].get(name, 'missing')} in the first and "
        f"{parts[1].get(name, 'missing')} in the second"
        for name in names
        if parts[0].get(name) != parts[1].get(name)
    ]
