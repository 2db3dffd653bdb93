"""Batch norm over the whole batch, where several processes hold a share of it each.

torch's own SyncBatchNorm does the same on CUDA alone.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from clipnb.distributed import gather_numbers, world_size
from clipnb.runtime import as_float

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Normalize(torch.autograd.Function):
    """Normalise the channels of x (b, C, ...) by the mean and the variance of all processes' x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the normalised x, and mean and variance (C,) of all."""
        mean_and_variance = torch.batch_norm_update_stats(as_float(x), None, None, 0.0)
        means, variances = gather_numbers(torch.stack(mean_and_variance)).unbind(1)  # each (R, C)
        mean = means.mean(dim=0)
        variance = variances.mean(dim=0) + means.var(dim=0, correction=0)
        y = F.batch_norm(x, mean, variance, weight, bias, eps=eps)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple:
        """Return the gradients of x, weight and bias."""
        x, weight, mean, variance = ctx.saved_tensors
        inverse = (variance + ctx.eps).rsqrt()  # (C,)
        # The gradients of weight and bias hold the two sums over x that the gradient of x needs.
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, mean, inverse, False, ctx.eps, [False, True, True]
        )
        sums = torch.stack([of_bias, of_weight])
        dist.all_reduce(sums)
        by_bias, by_weight = sums / (world_size() * x.numel() / x.shape[1])  # each (C,)
        # y moves with x, but also with mean and variance, which move with every x of all processes.
        gain = inverse if weight is None else weight * inverse
        slope = -gain * inverse * by_weight
        offset = -gain * by_bias - slope * mean
        shape = (-1, *[1] * (x.ndim - 2))  # (C, 1, 1) for images
        of_x = torch.addcmul(offset.view(shape), gradient, gain.view(shape))
        of_x = of_x.addcmul_(x, slope.view(shape)).to(x.dtype)
        return (
            of_x,
            None if weight is None else of_weight,
            None if weight is None else of_bias,
            None,
        )


class SharedBatchNorm(_BatchNorm):
    """A batch norm whose statistics are those of the whole batch; in evaluation a plain one."""

    def _check_input_dim(self, x: Tensor) -> None:
        """Accept any number of dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (b, C, ...), this process's share of a batch."""
        if not self.training or world_size() == 1:
            return super().forward(x)
        y, mean, variance = _Normalize.apply(x, self.weight, self.bias, self.eps)
        if self.running_mean is not None:
            n = world_size() * x.numel() / x.shape[1]
            with torch.no_grad():
                self.num_batches_tracked += 1
                rate = self.momentum
                if rate is None:  # the plain mean of all batches so far
                    rate = 1 / self.num_batches_tracked.item()
                self.running_mean.lerp_(mean, rate)
                self.running_var.lerp_(variance * n / (n - 1), rate)  # unbiased, as torch's
        return y


def share_batch_norms(model: nn.Module) -> None:
    """Let every batch norm of a model see the whole batch, if several processes share it.

    Raises ValueError for a batch norm of another library, which may do more than normalise.
    """
    if world_size() == 1:
        return
    for module in model.modules():
        if type(module) in KINDS:
            module.__class__ = SharedBatchNorm  # the same tensors under the same names
        elif isinstance(module, _BatchNorm):
            raise ValueError(
                f"{type(module).__name__} cannot be shared by several processes; train in one, or "
                "choose an encoder with PyTorch's own batch norm or none."
            )
