"""What each token adds to the cosine of a text and an image, and where the tokens look."""

import torch
from torch import Tensor

from clipnb.encoders import MultiHeadAttention, TextTransformer
from clipnb.model import CLIP
from clipnb.tokenizer import padding_mask


def divide_cosine(model: CLIP, tokens: Tensor, image_feature: Tensor) -> Tensor:
    """Divide the cosine of a bag of words and an image among the words: shares (T,).

    tokens: int64 (1, T), without padding. image_feature: (D,), of unit length. The shares add up
    to the cosine exactly, because mean and projection are linear.
    """
    projected = model.text_projection(model.text_encoder.token_embedding(tokens[0]))  # (T, D)
    length = projected.mean(dim=0).norm()
    return projected @ image_feature / (len(projected) * length)


def leave_one_out(model: CLIP, tokens: Tensor, image_feature: Tensor) -> Tensor:
    """Return what the cosine of a text and an image loses without each of the tokens: (T,).

    The arguments are those of `divide_cosine`. [SOS] and [EOS] are left out in their turn as well,
    which makes sense for the text encoders of this package: they take the mean of all tokens.
    """
    T = tokens.shape[1]
    others = ~torch.eye(T, dtype=torch.bool, device=tokens.device)
    without = tokens.expand(T, T)[others].view(T, T - 1)  # row t lacks token t
    whole = model.encode_text(tokens, normalize=True) @ image_feature  # (1,)
    return whole - model.encode_text(without, normalize=True) @ image_feature


def attention_of_layers(encoder: TextTransformer, tokens: Tensor) -> Tensor:
    """Return the attention of all layers, (layers, heads, T, T), for tokens int64 (1, T).

    A row says in which shares a token takes its new content from the tokens; it adds up to 1.
    """
    x = encoder.token_embedding(tokens) + encoder.positional_embedding[: tokens.shape[1]]
    layers = []
    for block in encoder.blocks:
        layers.append(measure_attention(block.attention, block.norm1(x))[0])
        x = block(x, padding_mask(tokens))
    return torch.stack(layers)


def measure_attention(attention: MultiHeadAttention, x: Tensor) -> Tensor:
    """Return the share (B, heads, T, T) that each token of x (B, T, D) takes from each other.

    x holds no padding.
    """
    B, T, D = x.shape
    size = D // attention.heads
    q, k, _ = attention.in_proj(x).view(B, T, 3, attention.heads, size).permute(2, 0, 3, 1, 4)
    return (q @ k.transpose(-2, -1) / size**0.5).softmax(dim=-1)
