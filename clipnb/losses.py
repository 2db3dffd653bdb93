"""The losses that pull the two features of a pair together and push all others apart."""

import torch
import torch.nn.functional as F


def clip_loss(image_features, text_features, logit_scale, label_smoothing=0.0):
    """Symmetric cross-entropy over the N x N similarities of a batch (paper §2.3, Fig 3), in nats.

    image_features, text_features: (N, D), of unit length, row i of one belongs to row i of the other. logit_scale: the factor
    itself, not its logarithm. Returns a scalar: ln N for a model that cannot tell the pairs apart, near 0 for one that can.
    """
    logits = logit_scale * image_features @ text_features.T  # (N, N), row: picture, column: text
    labels = torch.arange(len(logits), device=logits.device)
    image_loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    text_loss = F.cross_entropy(logits.T, labels, label_smoothing=label_smoothing)
    return (image_loss + text_loss) / 2


def siglip_loss(image_features, text_features, logit_scale, logit_bias):
    """Sigmoid loss: every cell of the N x N matrix is a yes/no question of its own (Zhai et al. 2023, Algorithm 1), in nats per pair.

    Same arguments as `clip_loss`, and a bias; ln(1/(N - 1)) is a good start for it, since one cell in N is a yes.
    """
    logits = logit_scale * image_features @ text_features.T + logit_bias  # (N, N)
    signs = 2 * torch.eye(len(logits), device=logits.device) - 1  # +1 on the diagonal, -1 elsewhere
    return -F.logsigmoid(signs * logits).sum() / len(logits)
