"""The epochs of a run: after each one the model is judged on dev, and everything is saved."""

import functools
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from clipnb import distributed, runs
from clipnb.batches import steps_per_epoch
from clipnb.datasets import CaptionDataset
from clipnb.divergence import check_losses, check_weights
from clipnb.features import tokenize
from clipnb.frozen import encode_frozen
from clipnb.loop import evaluate, iterate_steps
from clipnb.model import CLIP
from clipnb.runs import Run
from clipnb.runtime import progress
from clipnb.steps import update_average
from clipnb.streaming import ShardBatches


def train_epochs(
    run: Run,
    model: CLIP,
    optimizer: torch.optim.Optimizer,
    train_set: CaptionDataset | ShardBatches,
    dev_set: CaptionDataset,
    tokens: Tensor | None,
    epoch_losses: Sequence[Tensor] = (),
    seconds: float = 0.0,
) -> None:
    """Train the epochs that `run` still lacks. After each one, evaluate and save everything.

    model: takes the steps; `run.model` is the same model, or its running average with `ema`.
    epoch_losses, seconds: of the steps that were taken of an interrupted epoch.
    """
    recipe = run.recipe
    if recipe.freeze != "none":  # what does not change is computed once
        dev_tokens = tokenize(run.tokenizer, dev_set.captions)
        dev_set = encode_frozen(model, dev_set, dev_tokens, recipe)
        train_set = encode_frozen(model, train_set, tokens, recipe)
        tokens = train_set.texts
    steps = steps_per_epoch(train_set, recipe)
    epoch_losses = list(epoch_losses)
    done = len(run.history) * steps + len(epoch_losses)
    first_epoch = len(run.history)
    losses = iterate_steps(model, optimizer, recipe, run.seed, train_set, tokens, first_epoch)

    def keep_epoch(mean_loss: float, seconds: float) -> None:
        end_epoch(run, mean_loss, seconds, steps, dev_set)
        runs.save_epoch(run, model, optimizer)
        bar.set_postfix(format_epoch(run.history[-1]))

    # A graphics card would wait for the processor at each look at a loss.
    check_every = 1 if model.logit_scale.device.type == "cpu" else 50
    n_captions = 1 if tokens is None else tokens.shape[1]
    quiet = {} if distributed.is_first() else {"disable": True}
    with progress(total=recipe.epochs * steps, initial=done, unit="step", **quiet) as bar:
        start = time.perf_counter() - seconds
        for step, loss in enumerate(losses, start=done):
            epoch_losses.append(loss)
            if len(epoch_losses) % check_every == 0 or len(epoch_losses) == steps:
                check_losses(run, epoch_losses, train_set, n_captions)
            if recipe.ema:
                update_average(run.model, model, recipe.ema, step)
            bar.update()
            if len(epoch_losses) < steps:
                if isinstance(train_set, ShardBatches):
                    seconds = time.perf_counter() - start
                    train_set.save_now_and_then(run, model, optimizer, epoch_losses, seconds)
                continue
            mean, seconds = torch.stack(epoch_losses).mean().item(), time.perf_counter() - start
            distributed.on_first(functools.partial(keep_epoch, mean, seconds))
            epoch_losses, start = [], time.perf_counter()


def end_epoch(run: Run, loss: float, seconds: float, steps: int, dev_set: CaptionDataset) -> None:
    """Evaluate a run on dev, add a row to its history, and keep its weights if they are the best.

    With fewer than `runs.FEW_DEV_IMAGES` images on dev, the weights are kept in any case.

    loss: the epoch's mean training loss. seconds: its training time. steps: its number of steps.
    """
    check_weights(run)
    dev = evaluate(run.model, run.tokenizer, dev_set)
    run.history.append(
        {
            "epoch": len(run.history) + 1,
            "loss": loss,
            "logit_scale": run.model.logit_scale.exp().item(),
            "dev_mean_recall": dev["mean_recall"],
            "seconds": seconds,
        }
    )
    best = run.metrics.get("dev", {}).get("mean_recall", -1)
    if dev["mean_recall"] > best or len(dev_set) < runs.FEW_DEV_IMAGES:
        run.metrics |= {"dev": dev, "best_epoch": len(run.history)}
        runs.save_weights(run)
    run.metrics["train_seconds"] = sum(row["seconds"] for row in run.history)
    run.metrics["images_seen"] = len(run.history) * steps * run.recipe.batch_size


def format_epoch(row: dict) -> dict:
    """Format a row of a history for the progress bar."""
    return {
        "loss": f"{row['loss']:.2f}",
        "scale": f"{row['logit_scale']:.1f}",
        "dev_recall": f"{row['dev_mean_recall']:.1f}",
    }
