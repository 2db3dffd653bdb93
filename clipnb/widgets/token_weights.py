"""Where the tokens of a text look: the attention of a text transformer."""

import torch
from torch import Tensor

from clipnb.encoders import MultiHeadAttention, TextTransformer
from clipnb.tokenizer import padding_mask


def attention_of_layers(encoder: TextTransformer, tokens: Tensor) -> Tensor:
    """Return the attention of all layers, (layers, heads, T, T), for tokens int64 (1, T).

    A row says in which shares a token takes its new content from the tokens; it adds up to 1.
    """
    x = encoder.token_embedding(tokens) + encoder.positional_embedding[: tokens.shape[1]]
    mask = None if encoder.causal else padding_mask(tokens)
    layers = []
    for block in encoder.blocks:
        layers.append(measure_attention(block.attention, block.norm1(x), encoder.causal)[0])
        x = block(x, mask, encoder.causal)
    return torch.stack(layers)


def measure_attention(attention: MultiHeadAttention, x: Tensor, causal: bool = False) -> Tensor:
    """Return the share (B, heads, T, T) that each token of x (B, T, D) takes from each other.

    x holds no padding. causal: a token takes nothing from those after it.
    """
    B, T, D = x.shape
    size = D // attention.heads
    q, k, _ = attention.in_proj(x).view(B, T, 3, attention.heads, size).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-2, -1) / size**0.5  # (B, heads, T, T)
    if causal:
        later = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(diagonal=1)
        scores = scores.masked_fill(later, -torch.inf)
    return scores.softmax(dim=-1)
