"""Two objectives that CLIP did not keep: predicting a caption's words, or the caption (paper §2.3).

Both models have an `image_encoder` and a `loss(images, tokens)`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.datasets import CaptionDataset
from clipnb.experiments.fitting import Loss, load_or_fit, make_caption_sampler
from clipnb.model import create_image_encoder
from clipnb.recipes import Recipe
from clipnb.runtime import seed_everything
from clipnb.tokenizer import Tokenizer, padding_mask
from clipnb.training import make_tokenizer


def bag_of_words_targets(tokens: Tensor, vocab_size: int) -> Tensor:
    """Return a distribution over the vocabulary for each caption, even over its words, (B, V).

    tokens: int64 (B, T). [SOS], [EOS] and padding are no words.
    """
    lengths = padding_mask(tokens).sum(dim=1, keepdim=True)  # (B, 1)
    is_word = torch.zeros(len(tokens), vocab_size, device=tokens.device)  # (B, V)
    is_word.scatter_(1, tokens, 1.0)
    is_word[:, 0] = 0.0  # padding
    is_word.scatter_(1, tokens[:, :1], 0.0)  # [SOS]
    is_word.scatter_(1, tokens.gather(1, lengths - 1), 0.0)  # [EOS], the last real token
    return is_word / is_word.sum(dim=1, keepdim=True)


class WordPredictor(nn.Module):
    """Bag-of-words prediction: which words does the caption hold, in any order?

    The model is an image encoder and one linear layer to the V words of the vocabulary.
    """

    def __init__(self, image_encoder: nn.Module, vocab_size: int):
        super().__init__()
        self.image_encoder = image_encoder
        self.head = nn.Linear(image_encoder.width, vocab_size)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, S, S) to logits (B, V)."""
        return self.head(self.image_encoder(images))

    def loss(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Compute the cross-entropy with the `bag_of_words_targets` of tokens (B, T)."""
        targets = bag_of_words_targets(tokens, self.head.out_features)
        return F.cross_entropy(self(images), targets)


class Captioner(nn.Module):
    """A caption language model: a causal transformer that predicts every next token.

    The image's feature takes the place of [SOS], so every position sees it.
    """

    def __init__(
        self,
        image_encoder: nn.Module,
        vocab_size: int,
        context_length: int = 77,
        width: int = 128,
        layers: int = 2,
        heads: int = 8,
    ):
        super().__init__()
        self.image_encoder = image_encoder
        self.prefix = nn.Linear(image_encoder.width, width)
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.randn(context_length, width) * 0.01)
        layer = nn.TransformerEncoderLayer(
            width,
            heads,
            dim_feedforward=4 * width,
            dropout=0.1,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab_size)
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, image_features: Tensor, tokens: Tensor) -> Tensor:
        """Return logits (B, T - 1, V) for features (B, width) of images and tokens (B, T).

        The logits at position t are for token t + 1. They depend on no token after t.
        """
        prefix = self.prefix(image_features)[:, None]  # (B, 1, D)
        words = self.token_embedding(tokens[:, 1:-1])  # (B, T - 2, D)
        x = torch.cat([prefix, words], dim=1)  # (B, T - 1, D)
        x = x + self.positional_embedding[: x.shape[1]]
        causal = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device)
        return self.head(self.norm(self.blocks(x, mask=causal, is_causal=True)))

    def loss(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Compute the cross-entropy of every next token up to [EOS], in nats a token."""
        logits = self(self.image_encoder(images), tokens)  # (B, T - 1, V)
        is_padding = ~padding_mask(tokens)[:, 1:]
        following = tokens[:, 1:].masked_fill(is_padding, -100)  # F.cross_entropy ignores -100
        return F.cross_entropy(logits.flatten(0, 1), following.flatten())

    @torch.no_grad()
    def log_likelihood(self, image_features: Tensor, tokens: Tensor) -> Tensor:
        """Compute log p(text | image), without the [EOS], of every text for every image, (N, M).

        image_features: (N, width). tokens: (M, T).
        """
        N = len(image_features)
        # A word is followed by another token that is no padding; [EOS] is not.
        is_word = F.pad(padding_mask(tokens)[:, 2:], (0, 1))  # (M, T - 1)
        scores = []
        for text, mask in zip(tokens, is_word, strict=True):
            logits = self(image_features, text.expand(N, -1))  # (N, T - 1, V)
            following = text[1:].expand(N, -1)[..., None]  # (N, T - 1, 1)
            logs = logits.log_softmax(dim=-1).gather(2, following)[..., 0]  # (N, T - 1)
            scores.append(logs @ mask.float())
        return torch.stack(scores, dim=1)


def make_predictive_objective(tokenizer: Tokenizer, dataset: CaptionDataset) -> Loss:
    """Make the loss of both models for `train_with_loss`, with one random caption of each image."""
    sample = make_caption_sampler(tokenizer, dataset)

    def loss(model: nn.Module, images: Tensor, rows: Tensor) -> Tensor:
        return model.loss(images, sample(rows))

    return loss


def fit_word_predictor(recipe: Recipe, seed: int, train_set: CaptionDataset) -> WordPredictor:
    """Train (or load) a bag-of-words predictor with a recipe's image encoder.

    It sees the same images as often as CLIP does. The recipe's name must tell the training set and
    end in `_bow_prediction`.
    """
    tokenizer = make_tokenizer(recipe, train_set.captions)
    seed_everything(seed)
    model = WordPredictor(create_image_encoder(recipe), tokenizer.vocab_size)
    objective = make_predictive_objective(tokenizer, train_set)
    return load_or_fit(model, objective, train_set, recipe, seed)
