"""The losses of some rows of a batch against all others, so that no B x B matrix is needed.

Several processes compute the rows of their own share each, and so do the chunks of a batch that is
larger than the memory. The mean over equal shares is the loss of the whole batch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def local_clip_loss(
    first: Tensor,
    second: Tensor,
    all_first: Tensor,
    all_second: Tensor,
    start: int,
    logit_scale: Tensor | float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Compute the `clip_loss` of b rows of a batch, in nats.

    first, second: features (b, D) of unit length, which are the rows from `start` on of all_first
    and all_second, (B, D). Returns a scalar.
    """
    labels = start + torch.arange(len(first), device=first.device)
    first_logits = logit_scale * first @ all_second.T  # (b, B)
    second_logits = logit_scale * second @ all_first.T  # (b, B)
    first_loss = F.cross_entropy(first_logits, labels, label_smoothing=label_smoothing)
    second_loss = F.cross_entropy(second_logits, labels, label_smoothing=label_smoothing)
    return (first_loss + second_loss) / 2


def local_siglip_loss(
    image_features: Tensor,
    text_features: Tensor,
    start: int | None,
    logit_scale: Tensor | float,
    logit_bias: Tensor | float,
) -> Tensor:
    """Compute the part of the `siglip_loss` of b images that M texts bring, in nats per pair.

    image_features: (b, D), which belong to the rows from `start` on of text_features (M, D). With
    None their own texts are elsewhere, and all of these are wrong. Returns a scalar. The parts of
    all texts of a batch add up to the loss of these images.
    """
    logits = logit_scale * image_features @ text_features.T + logit_bias  # (b, M)
    signs = torch.full_like(logits, -1)
    if start is not None:
        own = torch.arange(len(logits), device=logits.device)
        signs[own, start + own] = 1
    return -F.logsigmoid(signs * logits).sum() / len(logits)
