"""The losses that pull the two features of a pair together and push all others apart."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def clip_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor | float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Compute the symmetric cross-entropy over the N x N similarities of a batch, in nats.

    image_features, text_features: (N, D), of unit length; row i of one belongs to row i of the
    other. logit_scale: the factor itself, not its logarithm. label_smoothing: the share of the
    target that is spread evenly over all N.

    Returns a scalar. Without smoothing it is ln N for a model that cannot tell the pairs apart, and
    near 0 for one that can (paper §2.3, Fig 3). Raises ValueError, in words, for features, a scale
    or a smoothing that are something else.
    """
    check_pairs(image_features, text_features, logit_scale, label_smoothing)
    logits = logit_scale * image_features @ text_features.T  # (N, N), row: image, column: text
    labels = torch.arange(len(logits), device=logits.device)
    image_loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    text_loss = F.cross_entropy(logits.T, labels, label_smoothing=label_smoothing)
    return (image_loss + text_loss) / 2


def siglip_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor | float,
    logit_bias: Tensor | float,
) -> Tensor:
    """Compute the sigmoid loss, in nats per pair (Zhai et al. 2023, Algorithm 1).

    Every cell of the N x N matrix is a yes-or-no question of its own. The arguments are those of
    `clip_loss`, and a bias that is added to all similarities. One cell in N is a yes, so
    ln(1/(N - 1)) is a good start for it. Returns a scalar. Raises ValueError as `clip_loss` does.
    """
    check_pairs(image_features, text_features, logit_scale)
    logits = logit_scale * image_features @ text_features.T + logit_bias  # (N, N)
    signs = 2 * torch.eye(len(logits), device=logits.device) - 1  # +1 on the diagonal, else -1
    return -F.logsigmoid(signs * logits).sum() / len(logits)


def check_pairs(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor | float,
    label_smoothing: float = 0.0,
) -> None:
    """Raise ValueError, in words, for arguments that `clip_loss` cannot compare."""
    images, texts = tuple(image_features.shape), tuple(text_features.shape)
    if images != texts or len(images) != 2 or not all(images):
        raise ValueError(
            f"image features are {images} and text features {texts}; give two of the same shape "
            "(N, D), one row for each pair, and at least one pair."
        )
    if math.prod(getattr(logit_scale, "shape", ())) != 1:
        raise ValueError(f"logit_scale is {tuple(logit_scale.shape)}; give a single number.")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is {label_smoothing}; give a share from 0 to 1.")


def shared_text_loss(
    image_features: Tensor, text_features: Tensor, is_right: Tensor, logit_scale: Tensor | float
) -> Tensor:
    """Compute the cross-entropy of texts that may be right for several images of a batch, in nats.

    image_features: (N, D) and text_features: (M, D), of unit length. is_right: bool (N, M), with at
    least one True in each column. Each text has to find its images among all N. The target is
    spread evenly over the right ones (as in Khosla et al. 2020, Supervised Contrastive Learning,
    equation 2). Returns a scalar, the mean over the texts, and 0 if there is no text.
    """
    logits = logit_scale * image_features @ text_features.T  # (N, M)
    target = is_right / is_right.sum(dim=0)  # (N, M), each column sums to 1
    losses = -(target * logits.log_softmax(dim=0)).sum(dim=0)  # (M,)
    return losses.mean() if len(losses) else logits.sum()
