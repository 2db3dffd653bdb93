"""What turns gradients into steps: AdamW as in the paper, and Muon, which learns faster from few steps."""

import math

import torch


def make_optimizer(model, recipe):
    """The optimiser a recipe asks for. AdamW with weight decay on matrices only: not on gains, biases and `logit_scale` (paper §2.5).

    With `optimizer="muon"` the encoders' matrices and kernels and the two projections get Muon's step, the token table does not:
    its rows are looked up one by one, so it is a list of vectors rather than a matrix.
    """
    decay = [p for p in model.parameters() if p.ndim >= 2]
    no_decay = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": no_decay, "weight_decay": 0.0}]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
    tables = {id(p) for name, p in model.named_parameters() if "embedding" in name}
    matrices = [p for p in decay if id(p) not in tables]
    groups[0]["params"] = [p for p in decay if id(p) in tables]
    return Muon([{"params": matrices, "weight_decay": recipe.weight_decay, "muon": True, "lr_scale": recipe.matrix_learning_rate / recipe.learning_rate}, *groups],
                lr=recipe.learning_rate, fused=True)


class Muon(torch.optim.AdamW):
    """AdamW whose groups with `muon=True` take orthogonal steps instead (Jordan et al. 2024): all directions of a matrix move equally far.

    A kernel (out, in, 3, 3) counts as a matrix (out, 9 in). The step is scaled to the size of AdamW's (Liu et al. 2025, arXiv:2502.16982).
    torch.optim.Muon takes no kernels and computes in bfloat16, which most CPUs only imitate, slowly.
    """

    @torch.no_grad()
    def step(self, closure=None):
        for group in (group for group in self.param_groups if group.get("muon")):
            for p in (p for p in group["params"] if p.grad is not None):
                if p not in self.state:
                    self.state[p] = {"step": 0, "momentum": torch.zeros_like(p)}  # AdamW expects a step in every state it loads
                momentum = self.state[p]["momentum"].lerp_(p.grad, 0.05)
                update = orthogonalized(p.grad.lerp(momentum, 0.95).flatten(1)).view(p.shape)  # Nesterov: a look ahead
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=0.2 * group["lr"] * math.sqrt(max(p.flatten(1).shape)))
                p.grad = None  # nothing is left for AdamW
        return super().step(closure)


def orthogonalized(matrix, steps=5):
    """The orthogonal matrix nearest to a matrix (m, n), nearly: its singular values all come between about 0.7 and 1.2.

    Five steps of a polynomial, applied to the singular values by matrix products alone (Newton and Schulz; Jordan's coefficients).
    """
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix  # the short side first: cheaper
    x = x / (x.norm() + 1e-7)  # no singular value above 1
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x
