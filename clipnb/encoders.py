"""The two towers, from scratch. Every encoder is a module with a `width`: image encoders turn pictures (B, 3, S, S) into
(B, width), text encoders turn tokens (B, T) into (B, width). Any image encoder and any text encoder make a CLIP."""

import torch
import torch.nn.functional as F
from torch import nn

from clipnb.tokenizer import padding_mask


class TinyCNN(nn.Module):
    """The baseline's image encoder: three strided convolutions and a global average. (B, 3, S, S) -> (B, 128); 93,248 parameters."""

    width = 128

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, kernel_size=3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(64, 128, kernel_size=3, stride=2, padding=1)

    def forward(self, images):
        x = F.relu(self.conv1(images))  # (B, 32, S/2, S/2)
        x = F.relu(self.conv2(x))  # (B, 64, S/4, S/4)
        x = F.relu(self.conv3(x))  # (B, 128, S/8, S/8)
        return x.mean(dim=(2, 3))  # (B, 128)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside a shortcut (He et al. 2016). (B, in, H, W) -> (B, out, H/stride, W/stride)."""

    def __init__(self, in_width, out_width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, out_width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_width)
        self.conv2 = nn.Conv2d(out_width, out_width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_width)
        self.shortcut = nn.Identity()
        if stride != 1 or in_width != out_width:
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(in_width, out_width, 1, bias=False), nn.BatchNorm2d(out_width))

    def forward(self, x):
        residual = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(residual + self.shortcut(x))


def conv_norm_relu(in_width, out_width):
    """A strided 3x3 convolution, batch norm, ReLU. (B, in, H, W) -> (B, out, H/2, W/2)."""
    return nn.Sequential(nn.Conv2d(in_width, out_width, 3, 2, 1, bias=False), nn.BatchNorm2d(out_width), nn.ReLU())


class ResidualCNN(nn.Module):
    """A small ResNet: two strided convolutions, then `depth` residual blocks for each further width. (B, 3, S, S) -> (B, widths[-1])."""

    def __init__(self, widths=(24, 48, 96, 192), depth=1):
        super().__init__()
        self.width = widths[-1]
        self.stem = nn.Sequential(conv_norm_relu(3, widths[0]), conv_norm_relu(widths[0], widths[1]))  # large maps are dear: no block here
        self.blocks = nn.Sequential()
        for i, o in zip(widths[1:], widths[2:]):
            self.blocks.extend([ResidualBlock(i, o, stride=2), *(ResidualBlock(o, o, stride=1) for _ in range(depth - 1))])

    def forward(self, images):
        x = self.blocks(self.stem(images))  # (B, width, S/16, S/16) for four widths
        return x.mean(dim=(2, 3))  # (B, width)


class MultiHeadAttention(nn.Module):
    """Self-attention with `heads` heads (Vaswani et al. 2017). x (B, T, D), mask bool (B, T) True where visible -> (B, T, D)."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x, mask=None):
        B, T, D = x.shape
        q, k, v = self.in_proj(x).view(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)  # each (B, heads, T, D/heads)
        if mask is not None:
            mask = mask[:, None, None, :]  # (B, 1, 1, T): every query sees the same keys
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, heads, T, D/heads)
        return self.out_proj(y.transpose(1, 2).reshape(B, T, D))


class TransformerBlock(nn.Module):
    """Pre-norm transformer layer: attention, then a feed-forward net, each added to its input. (B, T, D) -> (B, T, D)."""

    def __init__(self, width, heads, feedforward, dropout=0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(nn.Linear(width, feedforward), nn.GELU(), nn.Dropout(dropout), nn.Linear(feedforward, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, mask=None):
        x = x + self.dropout(self.attention(self.norm1(x), mask))
        return x + self.dropout(self.feedforward(self.norm2(x)))


class ViT(nn.Module):
    """A small vision transformer (Dosovitskiy et al. 2021) with the mean of its patches as output. (B, 3, S, S) -> (B, width)."""

    def __init__(self, image_size=64, patch_size=8, width=128, layers=4, heads=8):
        super().__init__()
        self.width = width
        self.patches = nn.Conv2d(3, width, patch_size, patch_size)
        self.positions = nn.Parameter(torch.randn((image_size // patch_size) ** 2, width) * width**-0.5)
        self.norm_in = nn.LayerNorm(width)  # CLIP's own addition (paper §2.4)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, 4 * width) for _ in range(layers))
        self.norm_out = nn.LayerNorm(width)

    def forward(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)  # (B, T, D), T patches
        x = self.norm_in(x + self.positions)
        for block in self.blocks:
            x = block(x)
        return self.norm_out(x.mean(dim=1))  # (B, D)


def masked_mean(x, mask):
    """Mean over the positions where `mask` is True. x (B, T, D), mask bool (B, T), at least one True a row -> (B, D)."""
    weights = mask.to(x.dtype)[:, :, None]  # (B, T, 1)
    return (x * weights).sum(dim=1) / weights.sum(dim=1)


class TextTransformer(nn.Module):
    """The baseline's text encoder: tokens + positions, transformer layers, masked mean. (B, T) -> (B, width).

    With the defaults 6,324,224 + 9,856 + 4 x 198,272 parameters. T may be anything up to `context_length`.
    Unlike the paper (§2.4) there is no causal mask and the text is pooled by a mean rather than read at [EOS].
    """

    def __init__(self, vocab_size=49408, context_length=77, width=128, layers=4, heads=8, feedforward=512, dropout=0.1):
        super().__init__()
        self.width = width
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.randn(context_length, width) * 0.01)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, feedforward, dropout) for _ in range(layers))
        nn.init.normal_(self.token_embedding.weight, std=0.02)  # both as in CLIP's released code

    def forward(self, tokens):
        mask = padding_mask(tokens)  # (B, T)
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]  # (B, T, D)
        for block in self.blocks:
            x = block(x, mask)
        return masked_mean(x, mask)  # (B, D)


class BagOfWords(nn.Module):
    """The mean of the tokens' vectors: word order does not count. (B, T) -> (B, width). The paper's cheapest text encoder (Fig 2)."""

    def __init__(self, vocab_size=49408, width=256):
        super().__init__()
        self.width = width
        self.token_embedding = nn.Embedding(vocab_size, width)
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, tokens):
        return masked_mean(self.token_embedding(tokens), padding_mask(tokens))
