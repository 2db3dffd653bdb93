"""The image and text encoders, from scratch.

An encoder is a module with a `width`. An image encoder maps images (B, 3, S, S) to (B, width), a
text encoder maps tokens (B, T) to (B, width). Any image encoder and any text encoder make a CLIP.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.tokenizer import padding_mask


def normalize_images(
    images: Tensor | np.ndarray,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.5, 0.5, 0.5),
) -> Tensor:
    """Map images (B, 3, S, S) from [0, 255] to float32 of about mean 0 and deviation 1.

    mean, std: of each channel, for pixels in [0, 1]. By default the result lies in [-1, 1].
    """
    if not torch.is_tensor(images):
        images = torch.tensor(images)  # copied: a memory-mapped array is read-only
    if set(mean) == set(std) == {0.5}:
        return images.float() / 127.5 - 1
    mean = torch.tensor(mean, device=images.device)[:, None, None]  # (3, 1, 1)
    std = torch.tensor(std, device=images.device)[:, None, None]
    return (images.float() / 255 - mean) / std


class TinyCNN(nn.Module):
    """The baseline's image encoder: three strided convolutions and a global average.

    It maps (B, 3, S, S) to (B, 128) and has 93,248 parameters.
    """

    width = 128

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, kernel_size=3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(64, 128, kernel_size=3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Encode images (B, 3, S, S) as (B, 128)."""
        x = F.relu(self.conv1(images))  # (B, 32, S/2, S/2)
        x = F.relu(self.conv2(x))  # (B, 64, S/4, S/4)
        x = F.relu(self.conv3(x))  # (B, 128, S/8, S/8)
        return x.mean(dim=(2, 3))  # (B, 128)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside a shortcut (He et al. 2016).

    A shortcut that must shrink its input averages first, as in ResNet-D (paper §2.4). The block
    maps (B, in_width, H, W) to (B, out_width, H/stride, W/stride).
    """

    def __init__(self, in_width: int, out_width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, out_width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_width)
        self.conv2 = nn.Conv2d(out_width, out_width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_width)
        self.shortcut = nn.Identity()
        if stride != 1 or in_width != out_width:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),  # odd sizes round up, as the convolution's do
                nn.Conv2d(in_width, out_width, 1, bias=False),
                nn.BatchNorm2d(out_width),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_width, H, W) to (B, out_width, H/stride, W/stride)."""
        residual = F.relu(self.norm1(self.conv1(x)))
        residual = self.norm2(self.conv2(residual))
        return F.relu(residual + self.shortcut(x))


class ResidualCNN(nn.Module):
    """A small ResNet: two strided convolutions, then `depth` residual blocks per further width.

    It maps (B, 3, S, S) to (B, widths[-1]).
    """

    def __init__(self, widths: Sequence[int] = (24, 48, 96, 192), depth: int = 1):
        super().__init__()
        self.width = widths[-1]
        # No residual blocks at high resolution: too slow.
        self.stem = nn.Sequential(
            conv_norm_relu(3, widths[0]),
            conv_norm_relu(widths[0], widths[1]),
        )
        self.blocks = nn.Sequential()
        for in_width, out_width in pairwise(widths[1:]):
            self.blocks.append(ResidualBlock(in_width, out_width, stride=2))
            for _ in range(depth - 1):
                self.blocks.append(ResidualBlock(out_width, out_width, stride=1))

    def forward(self, images: Tensor) -> Tensor:
        """Encode images (B, 3, S, S) as (B, width)."""
        x = self.stem(images)  # (B, widths[1], S/4, S/4)
        x = self.blocks(x)  # (B, width, S/16, S/16) for four widths
        return x.mean(dim=(2, 3))  # (B, width)


def conv_norm_relu(in_width: int, out_width: int) -> nn.Sequential:
    """Build a strided 3x3 convolution with batch norm and ReLU, which halves height and width."""
    return nn.Sequential(
        nn.Conv2d(in_width, out_width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_width),
        nn.ReLU(),
    )


class MultiHeadAttention(nn.Module):
    """Self-attention with several heads (Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Mix the positions of x (B, T, D) into (B, T, D).

        mask: bool (B, T), True is visible. causal: each position sees itself and those before it
        alone; such a text needs no mask, because padding comes last.
        """
        B, T, D = x.shape
        qkv = self.in_proj(x).view(B, T, 3, self.heads, D // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, T, D/heads)
        if mask is not None:
            mask = mask[:, None, None, :]  # (B, 1, 1, T): every query sees the same keys
        # (B, heads, T, D/heads)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        y = y.transpose(1, 2).reshape(B, T, D)
        return self.out_proj(y)


class QuickGELU(nn.Module):
    """An approximation of GELU by one sigmoid. OpenAI's weights were trained with it."""

    def forward(self, x: Tensor) -> Tensor:
        """Map each number x to x * sigmoid(1.702 x)."""
        return x * torch.sigmoid(1.702 * x)


class TransformerBlock(nn.Module):
    """A pre-norm transformer layer: attention, then a feed-forward net, each added to its input.

    activation: makes the module between the two layers of the feed-forward net.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        feedforward: int,
        dropout: float = 0.0,
        activation: Callable[[], nn.Module] = nn.GELU,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, feedforward),
            activation(),
            nn.Dropout(dropout),
            nn.Linear(feedforward, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Map x (B, T, D) to (B, T, D). mask and causal: see `MultiHeadAttention`."""
        x = x + self.dropout(self.attention(self.norm1(x), mask, causal))
        return x + self.dropout(self.feedforward(self.norm2(x)))


def check_pooling(pooling: str, choices: Sequence[str]) -> None:
    """Raise ValueError, with the choices that there are, for an unknown kind of pooling."""
    if pooling not in choices:
        raise ValueError(f"pooling={pooling!r} is unknown; choose one of {', '.join(choices)}.")


class ViT(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2021).

    It maps (B, 3, S, S) to (B, width), S being `image_size`. pooling: the output is the mean of the
    patches, or what stands in a place of its own, the class token. The published CLIP models have a
    class token and no bias in their patches; so has this one with `pooling="class"`.
    """

    def __init__(
        self,
        image_size: int = 64,
        patch_size: int = 8,
        width: int = 128,
        layers: int = 4,
        heads: int = 8,
        feedforward: int = 0,
        pooling: Literal["mean", "class"] = "mean",
        activation: Callable[[], nn.Module] = nn.GELU,
    ):
        super().__init__()
        check_pooling(pooling, ("mean", "class"))
        self.image_size = image_size
        self.width = width
        n_patches = (image_size // patch_size) ** 2
        has_class = pooling == "class"
        self.patches = nn.Conv2d(3, width, patch_size, patch_size, bias=not has_class)
        self.class_token = nn.Parameter(torch.randn(width) * width**-0.5) if has_class else None
        self.positions = nn.Parameter(torch.randn(n_patches + has_class, width) * width**-0.5)
        self.norm_in = nn.LayerNorm(width)  # CLIP's own addition (paper §2.4)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, feedforward or 4 * width, activation=activation)
            for _ in range(layers)
        )
        self.norm_out = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        """Encode images (B, 3, S, S) as (B, width)."""
        x = self.patches(images)  # (B, D, S/patch, S/patch)
        x = x.flatten(2).transpose(1, 2)  # (B, T, D), T patches
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(x.shape[0], 1, -1), x], dim=1)  # (B, 1 + T, D)
        x = self.norm_in(x + self.positions)
        for block in self.blocks:
            x = block(x)
        pooled = x.mean(dim=1) if self.class_token is None else x[:, 0]  # (B, D)
        return self.norm_out(pooled)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Average x (B, T, D) over the positions where `mask` is True. Returns (B, D).

    mask: bool (B, T) with at least one True in each row.
    """
    weights = mask.to(x.dtype)[:, :, None]  # (B, T, 1)
    return (x * weights).sum(dim=1) / weights.sum(dim=1)


class TextTransformer(nn.Module):
    """A text encoder: tokens and positions, transformer layers, one vector for the whole text.

    It maps (B, T) to (B, width); T may be anything up to `context_length`. With the defaults it is
    the baseline's, with 6,324,224 + 9,856 + 4 x 198,272 parameters: every token sees all others,
    and the text is the mean of its tokens. The published CLIP models (paper §2.4) differ in both,
    as this one does with `causal=True, pooling="eos"`. Then a token sees only those before it, and
    the text is read at its last token [EOS], which has seen them all, with a layer norm.

    With `pooling="eos"` the vocabulary must be one in which [EOS] has the largest id, as in CLIP's.
    """

    def __init__(
        self,
        vocab_size: int = 49408,
        context_length: int = 77,
        width: int = 128,
        layers: int = 4,
        heads: int = 8,
        feedforward: int = 512,
        dropout: float = 0.1,
        causal: bool = False,
        pooling: Literal["mean", "eos"] = "mean",
        activation: Callable[[], nn.Module] = nn.GELU,
    ):
        super().__init__()
        check_pooling(pooling, ("mean", "eos"))
        self.width = width
        self.causal = causal
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.randn(context_length, width) * 0.01)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, feedforward, dropout, activation) for _ in range(layers)
        )
        self.norm_out = nn.LayerNorm(width) if pooling == "eos" else None
        nn.init.normal_(self.token_embedding.weight, std=0.02)  # both as in CLIP's released code

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode tokens int64 (B, T) as (B, width)."""
        mask = padding_mask(tokens)  # (B, T)
        positions = self.positional_embedding[: tokens.shape[1]]  # (T, D)
        x = self.token_embedding(tokens) + positions  # (B, T, D)
        for block in self.blocks:
            x = block(x, None if self.causal else mask, self.causal)
        if self.norm_out is None:
            return masked_mean(x, mask)  # (B, D)
        rows = torch.arange(x.shape[0], device=x.device)
        return self.norm_out(x[rows, tokens.argmax(dim=1)])  # (B, D)


class BagOfWords(nn.Module):
    """The mean of the tokens' vectors, whatever their order: the paper's simplest text encoder.

    It maps (B, T) to (B, width) (paper Fig 2).
    """

    def __init__(self, vocab_size: int = 49408, width: int = 256):
        super().__init__()
        self.width = width
        self.token_embedding = nn.Embedding(vocab_size, width)
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode tokens int64 (B, T) as (B, width)."""
        return masked_mean(self.token_embedding(tokens), padding_mask(tokens))
