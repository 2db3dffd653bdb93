"""The bare loop of training and its parts: the tokenizer, the model, the steps, the evaluation."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from clipnb import distributed, starts
from clipnb.batches import iterate_batches, keep_on_card, steps_per_epoch
from clipnb.datasets import CaptionDataset
from clipnb.features import encode_dataset
from clipnb.frozen import EncodedDataset, evaluate_encoded
from clipnb.metrics import retrieval_metrics
from clipnb.model import CLIP, create_model
from clipnb.objective import check_chunks
from clipnb.recipes import Recipe
from clipnb.runtime import get_device, memory_format, seed_everything
from clipnb.shared_norm import share_batch_norms
from clipnb.steps import learning_rate_at, set_learning_rate, train_step
from clipnb.streaming import ShardBatches
from clipnb.tokenizer import Tokenizer, clip_tokenizer, train_tokenizer
from clipnb.tuning import add_lora, freeze_towers, hold_still


def make_tokenizer(recipe: Recipe, captions: Sequence[Sequence[str]]) -> Tokenizer:
    """Make the tokenizer of a recipe. captions: N lists of K strings, of the training split."""
    if recipe.tokenizer == "clip":
        return clip_tokenizer(recipe.context_length)
    flat = [caption for own in captions for caption in own]
    return train_tokenizer(flat, recipe.vocab_size, recipe.context_length)


def make_model(recipe: Recipe, start: starts.Start | None = None) -> CLIP:
    """Make the model that a run trains, on the fastest device.

    With weights to start from, the recipe says what of them is loaded, what of it is frozen, and
    what learns only a change of low rank.
    """
    model, device = create_model(recipe), get_device()
    check_chunks(model, recipe)
    if start is not None:
        freeze_towers(model, recipe, starts.load_start(model, start, recipe))
    model = model.to(device, memory_format=memory_format(device))
    if recipe.lora_rank:
        add_lora(model, recipe.lora_rank, recipe.lora_towers)
    share_batch_norms(model)
    return model


def iterate_training(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    seed: int,
    steps_in_epoch: int,
    open_epoch: Callable[[], Iterator[tuple]],
    take_step: Callable[..., Tensor],
    first_epoch: int = 0,
    decay_rate: bool = True,
    first_step: int = 0,
) -> Iterator[Tensor]:
    """Train step by step: the one loop of this package. Yields the loss after each step.

    Between two steps the caller may evaluate the model, save it, or stop. open_epoch: returns an
    iterator over the batches of an epoch. take_step: called with the parts of a batch, returns the
    loss. decay_rate=False: the learning rate stays where the warm-up has brought it. first_step:
    how many batches of the first epoch were taken before; `open_epoch` leaves them out.
    """
    total = recipe.epochs * steps_in_epoch
    warmup = round(recipe.warmup * total)
    for epoch in range(first_epoch, recipe.epochs):
        # An epoch depends on nothing random before it, so a resumed run gives the same result.
        seed_everything(seed, epoch)
        start = first_step if epoch == first_epoch else 0
        for i, batch in enumerate(open_epoch(), start):
            step = epoch * steps_in_epoch + i
            schedule_step = step if decay_rate else min(step, warmup)
            set_learning_rate(optimizer, learning_rate_at(schedule_step, total, recipe))
            model.train()  # the caller may have evaluated it
            yield take_step(*batch)


def iterate_steps(
    model: CLIP,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    seed: int,
    dataset: CaptionDataset | ShardBatches,
    tokens: Tensor | None,
    first_epoch: int = 0,
) -> Iterator[Tensor]:
    """Train on the batches of a dataset, step by step. Yields the loss after each step.

    tokens: int64 (N, K, T), of the dataset's captions, or what a frozen encoder has made of them;
    None with shards.
    """

    device = model.logit_scale.device
    streamed = isinstance(dataset, ShardBatches)
    dataset = dataset if streamed else keep_on_card(dataset, device)

    def open_epoch() -> Iterator[tuple[Tensor, Tensor]]:
        if streamed:
            return dataset.open_epoch(recipe, device)
        batches = iterate_batches(dataset, tokens, recipe, device)
        return distributed.keep_draws_alike(batches)

    def take_step(images: Tensor, texts: Tensor) -> Tensor:
        hold_still(model, recipe)
        return train_step(model, optimizer, images, texts, recipe)

    steps = steps_per_epoch(dataset, recipe)
    return iterate_training(
        model,
        optimizer,
        recipe,
        seed,
        steps,
        open_epoch,
        take_step,
        first_epoch,
        first_step=dataset.first_step if streamed else 0,
    )


def evaluate(model: CLIP, tokenizer: Tokenizer, dataset: CaptionDataset) -> dict[str, float]:
    """Return the `retrieval_metrics` of a model on all images and captions of a dataset."""
    if isinstance(dataset, EncodedDataset):
        return evaluate_encoded(model, dataset)
    return retrieval_metrics(*encode_dataset(model, tokenizer, dataset))
