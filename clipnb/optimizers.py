"""What turns gradients into steps: AdamW as in the paper, and Muon, which learns faster."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from clipnb.recipes import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make the optimizer of a recipe, for the parameters that have gradients.

    Weight decay applies to parameters with two dimensions or more: all but gains, biases and
    `logit_scale` (paper §2.5). Positional embeddings are neither gains nor biases, so they decay,
    as in the paper and in open_clip's releases up to 3.3.

    With `optimizer="muon"` the encoders' matrices and kernels and the two projections take Muon's
    steps. Token and positional embeddings of the text encoder do not: their rows are looked up one
    by one, so they are lists of vectors rather than matrices.
    """
    learned = [p for p in model.parameters() if p.requires_grad]
    decaying = [p for p in learned if p.ndim >= 2]
    others = [p for p in learned if p.ndim < 2]
    no_decay = {"params": others, "weight_decay": 0.0}
    if recipe.optimizer == "adamw":
        decay = {"params": decaying, "weight_decay": recipe.weight_decay}
        return torch.optim.AdamW([decay, no_decay], lr=recipe.learning_rate, fused=True)
    embeddings = {id(p) for name, p in model.named_parameters() if "embedding" in name}
    muon = {
        "params": [p for p in decaying if id(p) not in embeddings],
        "weight_decay": recipe.weight_decay,
        "muon": True,
        "lr_scale": recipe.muon_learning_rate / recipe.learning_rate,
    }
    decay = {
        "params": [p for p in decaying if id(p) in embeddings],
        "weight_decay": recipe.weight_decay,
    }
    return Muon([muon, decay, no_decay], lr=recipe.learning_rate, fused=True)


class Muon(torch.optim.AdamW):
    """AdamW whose groups with `muon=True` take orthogonal steps (Jordan et al. 2024).

    An orthogonal step moves all directions of a matrix equally far. A kernel (out, in, 3, 3) counts
    as a matrix (out, 9 in). The step is as long as AdamW's (Liu et al. 2025, arXiv:2502.16982).
    torch.optim.Muon takes no kernels, and computes in bfloat16, which is slow on most CPUs.
    """

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> float | None:
        """Take one step. closure: computes the gradients anew and returns the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group.get("muon"):
                for p in group["params"]:
                    if p.grad is not None:
                        self._step_matrix(p, group)
        super().step()
        return loss

    def _step_matrix(self, p: nn.Parameter, group: dict) -> None:
        if p not in self.state:  # AdamW expects a step in every state that it loads
            self.state[p] = {"step": 0, "momentum": torch.zeros_like(p)}
        momentum = self.state[p]["momentum"].lerp_(p.grad, 0.05)
        ahead = p.grad.lerp(momentum, 0.95)  # Nesterov's look ahead
        update = orthogonalize(ahead.flatten(1)).view(p.shape)
        length = 0.2 * math.sqrt(max(p.flatten(1).shape))  # as long as AdamW's
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.sub_(update, alpha=length * group["lr"])
        p.grad = None  # nothing is left for AdamW


def orthogonalize(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return a matrix close to the orthogonal matrix nearest to `matrix` (m, n).

    All its singular values lie between about 0.7 and 1.2. Each step applies a polynomial to the
    singular values, by matrix products alone (Newton and Schulz, with Jordan's coefficients).
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix  # the short side first: cheaper
    x = x / (x.norm() + 1e-7)  # no singular value above 1
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if is_tall else x
