"""Stop a training that diverges, and say where it began."""

import torch
from torch import Tensor

from clipnb.batches import draw_rows, steps_per_epoch
from clipnb.datasets import CaptionDataset
from clipnb.runs import Run
from clipnb.runtime import display_path, seed_everything
from clipnb.steps import learning_rate_at
from clipnb.streaming import ShardBatches

MOST_NAMED = 5  # so many images of a batch stand in a message


def check_losses(
    run: Run, losses: list[Tensor], dataset: CaptionDataset | ShardBatches, n_captions: int
) -> None:
    """Raise RuntimeError if a loss of the present epoch is not finite.

    The message says where it began: the step, the images of its whole batch and its learning rate.
    The epochs before are kept. losses: of all steps of the epoch so far, scalars; under torchrun
    the same ones in all processes. n_captions: how many captions the dataset has of an image.
    """
    is_finite = torch.stack(losses).isfinite()  # (steps so far,)
    if is_finite.all():
        return
    recipe, epoch = run.recipe, len(run.history)
    first = int(is_finite.int().argmin())
    names = find_image_ids(run, dataset, n_captions, first)
    per_epoch = steps_per_epoch(dataset, recipe)
    step = epoch * per_epoch + first
    rate = learning_rate_at(step, recipe.epochs * per_epoch, recipe)
    kept = f"The {epoch} epochs before are kept" if epoch else "No epoch was whole yet"
    raise RuntimeError(
        f"the training diverged: at step {step + 1} (epoch {epoch + 1}) the loss was "
        f"{losses[first].item()}, with the learning rate {rate:.3g} and the images "
        f"{', '.join(names[:MOST_NAMED])}{', …' if len(names) > MOST_NAMED else ''}. {kept} in "
        f"{display_path(run.folder)}. {_advise(recipe.learning_rate)}, or look at these images."
    )


def find_image_ids(
    run: Run, dataset: CaptionDataset | ShardBatches, n_captions: int, step: int
) -> list[str]:
    """Find the images of a batch of the present epoch, of all processes together.

    step: the number of the batch in the epoch, from 0 on. What an epoch draws comes from its seed,
    so it can be drawn again. torch's random numbers are no longer as they were after this call.
    """
    recipe, epoch = run.recipe, len(run.history)
    if isinstance(dataset, ShardBatches):
        return dataset.shards.find_image_ids(recipe.batch_size, run.seed, epoch, step)
    seed_everything(run.seed, epoch)  # the epoch began so, and its rows were drawn first
    rows = draw_rows(len(dataset), n_captions, recipe)[step]
    if recipe.sampling == "rows":
        rows = rows // n_captions
    return [dataset.image_ids[row] for row in rows.tolist()]


def check_weights(run: Run) -> None:
    """Raise RuntimeError if a weight of a run's model is not finite. The epochs before are kept."""
    if all(weight.isfinite().all() for weight in run.model.state_dict().values()):
        return
    epoch = len(run.history)
    raise RuntimeError(
        f"the training diverged: after epoch {epoch + 1} weights are NaN or infinite. The {epoch} "
        f"epochs before are kept in {display_path(run.folder)}. "
        f"{_advise(run.recipe.learning_rate)}."
    )


def _advise(learning_rate: float) -> str:
    """Say what to do about a training that diverges."""
    return f"Lower the learning rate, for instance to `--set learning_rate={learning_rate / 10:g}`"
