"""Train from shards: their batches, such as `iterate_batches` makes of a dataset in memory."""

import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from clipnb.augment import augment, drop_tokens
from clipnb.datasets.shard_files import format_command
from clipnb.datasets.shards import ShardFolder
from clipnb.model import CLIP
from clipnb.preprocess import choose_preprocess
from clipnb.recipes import Recipe
from clipnb.runs import Run, save_state
from clipnb.runtime import seed_everything
from clipnb.tokenizer import Tokenizer, pad_rows, trim_padding

MOST_REMEMBERED = 500_000  # captions whose tokens are kept, in about 150 MB
SAVE_EVERY = 500  # steps after which the state of a run is saved in the middle of an epoch


class ShardBatches:
    """The batches of a run that reads shards, epoch after epoch, from where it stopped.

    epoch: the next one. first_step: how many of its batches were taken before.
    """

    def __init__(self, shards: ShardFolder, tokenizer: Tokenizer, seed: int):
        self.shards = shards
        self.tokenizer = tokenizer
        self.seed = seed
        self.epoch = 0
        self.first_step = 0
        self.remembered: dict[str, list[int]] = {}  # ids of captions, with [SOS] and [EOS]

    def __len__(self) -> int:
        return len(self.shards)

    def count_steps(self, batch_size: int) -> int:
        """Count the batches of an epoch (see `ShardFolder.count_steps`)."""
        return self.shards.count_steps(batch_size)

    def resume(self, epoch: int, partial: dict | None) -> tuple[list[Tensor], float]:
        """Go on in an epoch, in the middle of it if `partial` says so (see `save_now_and_then`).

        Returns the losses of the steps that were taken of it, and their seconds. If other shards,
        or other numbers of processes and workers, would give other batches than it began with, it
        begins anew, and a warning of the first process says so.
        """
        self.epoch = epoch
        if partial is None:
            return [], 0.0
        change = self.find_change(partial)
        if change is None:
            self.first_step = len(partial["losses"])
            return list(partial["losses"]), partial.get("seconds", 0.0)
        if self.shards.rank == 0:
            warnings.warn(f"{change}: epoch {epoch + 1} begins anew.", stacklevel=2)
        return [], 0.0

    def find_change(self, partial: dict) -> str | None:
        """Say what now gives other batches than when `partial` was saved; None if nothing does."""
        shards = self.shards
        if partial["shards"] != shards.digest:
            return f"the shards in {shards.folder} are not as they were when this run stopped"
        processes = partial.get("world_size", shards.world_size)  # states of before do not say it
        workers = partial.get("workers", shards.workers)
        if (processes, workers) != (shards.world_size, shards.workers):
            return (
                "other processes and workers share the shards than when this run stopped "
                f"(processes: {processes}, now {shards.world_size}; workers of each: {workers}, "
                f"now {shards.workers})"
            )
        return None

    def save_now_and_then(
        self,
        run: Run,
        model: CLIP,
        optimizer: torch.optim.Optimizer,
        losses: Sequence[Tensor],
        seconds: float,
    ) -> None:
        """Save the state in the middle of an epoch, every `SAVE_EVERY` steps, in the first process.

        losses, seconds: of the steps that were taken of this epoch.
        """
        if self.shards.rank == 0 and len(losses) % SAVE_EVERY == 0:
            partial = {
                "losses": torch.stack(list(losses)),
                "seconds": seconds,
                "shards": self.shards.digest,
                "world_size": self.shards.world_size,
                "workers": self.shards.workers,
            }
            save_state(run, model, optimizer, partial)

    def open_epoch(self, recipe: Recipe, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate over the next epoch, or over what is left of an interrupted one.

        Which images and captions a batch holds depends on seed and epoch alone. What augmentation
        and dropout draw in a step depends on seed, epoch, step and process, and on no step before
        it. So a run goes on from any step, and no two processes draw the same. Yields images
        float32 (B, 3, S, S) and tokens int64 (C, B, t), as `iterate_batches` does.
        """
        epoch, first_step = self.epoch, self.first_step
        self.epoch, self.first_step = epoch + 1, 0
        size, n_captions = recipe.batch_size, recipe.captions_per_image
        batches = self.shards.iterate_epoch(size, n_captions, self.seed, epoch, first_step)
        for step, (images, captions) in enumerate(batches, first_step):
            seed_everything(self.seed, epoch, step, self.shards.rank)
            C, B = len(captions), len(images)
            tokens = self.tokenize([caption for own in captions for caption in own])  # (C*B, T)
            tokens = trim_padding(drop_tokens(tokens, recipe.token_dropout))  # (C*B, t)
            yield augment(images.to(device), recipe), tokens.view(C, B, -1).to(device)

    def tokenize(self, captions: list[str]) -> Tensor:
        """Turn N captions into tokens, int64 (N, T), as the tokenizer does.

        The first `MOST_REMEMBERED` are remembered: a caption is drawn again in later epochs, and
        tokenizing five of them takes longer than reading their image.
        """
        new = [caption for caption in dict.fromkeys(captions) if caption not in self.remembered]
        encoded = dict(zip(new, self.tokenizer.encode_rows(new), strict=True))
        rows = [
            self.remembered[caption] if caption in self.remembered else encoded[caption]
            for caption in captions
        ]
        if len(self.remembered) < MOST_REMEMBERED:
            self.remembered.update(encoded)
        return pad_rows(rows)


def check_shards(shards: ShardFolder, recipe: Recipe) -> None:
    """Raise ValueError if a recipe cannot be trained from some shards."""
    crop = choose_preprocess(recipe).crop
    if (shards.image_size, shards.crop) != (recipe.stored_size, crop):
        settings = {"image_size": recipe.stored_size, "crop": crop}
        command = format_command(shards.index["dataset"], "FOLDER", settings)
        raise ValueError(
            f"{shards.folder} holds images of {shards.image_size} px"
            f"{', cropped to the middle' if shards.crop else ''}, but this recipe stores images of "
            f"{recipe.stored_size} px{', cropped to the middle' if crop else ''}; write others "
            f"with `{command}`."
        )
    if recipe.sampling == "rows" or recipe.freeze != "none":
        field = "sampling='rows'" if recipe.sampling == "rows" else f"freeze={recipe.freeze!r}"
        raise ValueError(
            f"a recipe with {field} needs all images in memory; train it on the dataset "
            f"{shards.index['dataset']!r} itself instead of {shards.folder}."
        )
