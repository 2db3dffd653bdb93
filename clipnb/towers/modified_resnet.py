"""The published CLIP's residual networks (paper §2.4): ResNet-D's ideas and attention pooling."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_convolution(
    in_width: int, out_width: int, kernel_size: int = 3, stride: int = 1
) -> nn.Sequential:
    """Build a convolution with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_width, out_width, kernel_size, stride, kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_width),
        nn.ReLU(),
    )


class Bottleneck(nn.Module):
    """A residual block of 1x1, 3x3 and 1x1 convolutions; it maps to four times `width` channels.

    Where it shrinks its input it averages in both branches, instead of skipping pixels (Zhang 2019,
    "antialiased strides"). It maps (B, in_width, H, W) to (B, 4 width, H/stride, W/stride).
    """

    def __init__(self, in_width: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1 = make_convolution(in_width, width, kernel_size=1)
        self.conv2 = make_convolution(width, width)
        self.shrink = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Sequential(
            nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        )
        self.shortcut = nn.Identity()
        if stride > 1 or in_width != 4 * width:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride),
                nn.Conv2d(in_width, 4 * width, 1, bias=False),
                nn.BatchNorm2d(4 * width),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_width, H, W) to (B, 4 width, H/stride, W/stride)."""
        residual = self.shrink(self.conv2(self.conv1(x)))
        residual = self.conv3(residual)
        return F.relu(residual + self.shortcut(x))


class AttentionPool(nn.Module):
    """Pooling by attention: the mean of all places asks, all places answer (paper §2.4).

    It maps (B, D, side, side) to (B, D). What openai/CLIP calls its output projection is the
    `image_projection` of our `CLIP`.
    """

    def __init__(self, side: int, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.positions = nn.Parameter(torch.randn(side**2 + 1, width) * width**-0.5)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, D, side, side) to (B, D)."""
        x = x.flatten(2).transpose(1, 2)  # (B, T, D), T places
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + self.positions  # (B, 1 + T, D)
        q = self.split_heads(self.query(x[:, :1]))  # (B, heads, 1, D/heads)
        k = self.split_heads(self.key(x))  # (B, heads, 1 + T, D/heads)
        v = self.split_heads(self.value(x))
        y = F.scaled_dot_product_attention(q, k, v)  # (B, heads, 1, D/heads)
        return y.flatten(1)  # (B, D)

    def split_heads(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, heads, T, D/heads)."""
        B, T, D = x.shape
        return x.view(B, T, self.heads, D // self.heads).transpose(1, 2)


class ModifiedResNet(nn.Module):
    """The published CLIP's ResNet: a stem of three convolutions, four stages, attention pooling.

    It maps (B, 3, S, S) to (B, 32 * stem_width), S being `image_size`. depths: the blocks of each
    stage; (3, 4, 6, 3) makes ResNet-50.
    """

    has_projection_bias = True  # the published weights have one there

    def __init__(
        self,
        image_size: int = 224,
        depths: Sequence[int] = (3, 4, 6, 3),
        stem_width: int = 64,
        heads: int = 32,
    ):
        super().__init__()
        self.image_size = image_size
        self.width = 32 * stem_width
        self.stem = nn.Sequential(
            make_convolution(3, stem_width // 2, stride=2),
            make_convolution(stem_width // 2, stem_width // 2),
            make_convolution(stem_width // 2, stem_width),
            nn.AvgPool2d(2),
        )
        self.stages = nn.ModuleList()
        in_width = stem_width
        for stage, depth in enumerate(depths):
            width = stem_width * 2**stage
            blocks = nn.Sequential(Bottleneck(in_width, width, stride=1 if stage == 0 else 2))
            for _ in range(depth - 1):
                blocks.append(Bottleneck(4 * width, width))
            self.stages.append(blocks)
            in_width = 4 * width
        self.pool = AttentionPool(image_size // 32, self.width, heads)

    def forward(self, images: Tensor) -> Tensor:
        """Encode images (B, 3, S, S) as (B, width)."""
        x = self.stem(images)  # (B, stem_width, S/4, S/4)
        for blocks in self.stages:
            x = blocks(x)
        return self.pool(x)  # from (B, width, S/32, S/32) to (B, width)
