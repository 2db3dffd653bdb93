"""Recipes: all that decides a training run, in one frozen object. A run is a recipe and a seed."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass


CHOICES = {"tokenizer": ("captions", "clip"), "loss": ("clip", "siglip"), "sampling": ("pictures", "rows"), "optimizer": ("adamw", "muon")}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run but the seed. To change one field: `dataclasses.replace(RECIPES["quick"], epochs=3)`.

    Raises ValueError, naming the valid choices, for a loss, a sampling, an optimiser or a tokenizer that nobody has written.
    """

    name: str
    dataset: str
    # the model
    image_encoder: str  # tiny_cnn, residual_cnn or vit
    text_encoder: str  # transformer or bag_of_words
    image_width: int = 192  # channels of residual_cnn's last stage; each stage before has half as many
    image_depth: int = 1  # residual blocks in each of residual_cnn's stages
    image_size: int = 64  # pixels a side, as the encoder sees whole pictures in evaluation and search
    tokenizer: str = "captions"  # "clip": CLIP's own vocabulary; "captions": one trained on the training captions
    vocab_size: int = 4096  # rows of the token embedding; with "captions" an upper bound
    context_length: int = 77  # longer texts are cut
    embed_dim: int = 512
    dropout: float = 0.1  # in the text transformer
    # the optimisation
    loss: str = "clip"  # "clip": softmax over rows and columns; "siglip": every cell a yes or a no
    sampling: str = "pictures"  # "rows": an epoch visits every caption row, as the original code does, false negatives included
    epochs: int = 20  # an epoch visits every picture (or every row) once
    captions_per_image: int = 1  # how many of its captions a picture is compared with at each visit
    batch_size: int = 128
    optimizer: str = "adamw"  # "muon": orthogonal steps for matrices and kernels, AdamW for the rest
    learning_rate: float = 1e-3  # the peak, after the warm-up
    matrix_learning_rate: float = 5e-3  # with "muon": the peak of its steps
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.05  # not on gains, biases and the scale
    clip_norm: float = 1.0  # gradients longer than this are shortened to it
    label_smoothing: float = 0.0
    text_loss: float = 0.0  # weight of a second loss that pulls the captions of one picture together
    ema: float = 0.0  # judge and keep the running average of the weights, with this decay; 0: the last weights
    # the augmentation of a training batch; evaluation always sees whole, unchanged pictures
    stored_size: int = 64  # training pictures are kept at this size
    crop_size: int = 0  # crops are scaled to this one, 0: image_size. A crop shows things larger: smaller than image_size evens that out
    min_crop: float = 1.0  # smallest share of the area that a random crop keeps; 1: no crops
    flip: bool = False  # left and right swapped every other time; wrong where captions speak of sides
    colour: float = 0.0  # strength of random brightness and contrast
    word_dropout: float = 0.0  # share of the tokens left out of a caption

    def __post_init__(self):
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"recipe {self.name!r}: {name} {getattr(self, name)!r} is unknown; choose one of {', '.join(known)}.")
        if self.tokenizer == "clip" and self.vocab_size < 49408:
            raise ValueError(f"recipe {self.name!r}: CLIP's tokenizer has 49,408 ids, the token embedding only {self.vocab_size:,} rows; set vocab_size=49408.")

        if self.image_encoder == "vit" and self.crop_size not in (0, self.image_size):
            raise ValueError(f"recipe {self.name!r}: vit has a position for each patch of a picture of {self.image_size} px; set crop_size=0, or take a convolutional encoder.")
        if self.text_loss and self.captions_per_image < 2:
            raise ValueError(f"recipe {self.name!r}: text_loss compares captions of one picture with each other; set captions_per_image to 2 or more.")

    def digest(self):
        """Eight hexadecimal digits that change when any field does."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self)).encode()).hexdigest()[:8]


RECIPES = {
    recipe.name: recipe
    for recipe in [
        # what the notebooks run: about a minute on two cores
        Recipe("quick", "scenes", "residual_cnn", "bag_of_words", epochs=6, captions_per_image=5, learning_rate=3e-3),
        # the exact replication: 7,351,489 parameters, 224 px, CLIP's vocabulary, no augmentation
        Recipe("baseline", "flickr8k", "tiny_cnn", "transformer", image_size=224, stored_size=224, tokenizer="clip", vocab_size=49408,
               epochs=10, batch_size=128),
        # the same, its batches drawn from caption rows as the original does; as many images seen
        Recipe("baseline_rows", "flickr8k", "tiny_cnn", "transformer", image_size=224, stored_size=224, tokenizer="clip", vocab_size=49408,
               epochs=2, batch_size=128, sampling="rows"),
        # the best that two cores learn in two minutes: larger steps, captions compared with each other, an average of the weights
        Recipe("two_minutes", "flickr8k", "residual_cnn", "bag_of_words", image_size=80, crop_size=64, stored_size=80, optimizer="muon",
               matrix_learning_rate=8e-3, epochs=8, captions_per_image=5, weight_decay=1.0, label_smoothing=0.1, text_loss=1.0, ema=0.98,
               min_crop=0.5, flip=True, colour=0.4, word_dropout=0.2),
        # the same ideas with more of everything: pixels, channels, blocks, epochs; and more of what holds overfitting back
        Recipe("improved", "flickr8k", "residual_cnn", "bag_of_words", image_width=256, image_depth=2, image_size=144, crop_size=112, stored_size=144,
               optimizer="muon", epochs=40, captions_per_image=5, weight_decay=2.0, label_smoothing=0.1, text_loss=1.0, ema=0.995,
               min_crop=0.3, flip=True, colour=0.4, word_dropout=0.3),
        # a first better one: batch norm and shortcuts, no word order, a small vocabulary, and augmentation against overfitting
        Recipe("residual_bag", "flickr8k", "residual_cnn", "bag_of_words", stored_size=80, epochs=40, captions_per_image=5, weight_decay=0.5,
               label_smoothing=0.1, min_crop=0.5, flip=True, colour=0.4, word_dropout=0.2),
    ]
}
