"""Making a model: one step, the loop, a run that can be interrupted, and its evaluation."""

import copy
import dataclasses
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from clipnb import run_data, run_folders, runs, starts
from clipnb.augment import augment, drop_tokens
from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.features import encode_dataset, sample_captions, tokenize
from clipnb.frozen import EncodedDataset, encode_frozen, evaluate_encoded
from clipnb.metrics import retrieval_metrics
from clipnb.model import CLIP, check_encoders, create_model
from clipnb.objective import check_chunks, compute_loss
from clipnb.optimizers import make_optimizer
from clipnb.preprocess import choose_preprocess
from clipnb.recipes import Recipe, find_recipe
from clipnb.runs import Run
from clipnb.runtime import (
    display_path,
    get_device,
    keep_freed_memory,
    memory_format,
    progress,
    seed_everything,
    write_file,
)
from clipnb.tokenizer import Tokenizer, clip_tokenizer, train_tokenizer, trim_padding
from clipnb.tuning import add_lora, count_learned, freeze_towers, hold_still


def make_tokenizer(recipe: Recipe, captions: Sequence[Sequence[str]]) -> Tokenizer:
    """Make the tokenizer of a recipe. captions: N lists of K strings, of the training split."""
    if recipe.tokenizer == "clip":
        return clip_tokenizer(recipe.context_length)
    flat = [caption for own in captions for caption in own]
    return train_tokenizer(flat, recipe.vocab_size, recipe.context_length)


# ---- batches ---------------------------------------------------------------------------------


def steps_per_epoch(dataset: CaptionDataset, recipe: Recipe) -> int:
    """Return the number of whole batches in an epoch. Raises ValueError if there is none."""
    n_captions = len(dataset.captions[0]) if recipe.sampling == "rows" else 1
    rows = len(dataset) * n_captions
    if recipe.batch_size > rows:
        smaller = f"batch_size={max(2, rows // 4)}"
        raise ValueError(
            f"batch_size {recipe.batch_size} is larger than the {rows} training {recipe.sampling} "
            f"of {dataset.name}; choose 2 to {rows}: `dataclasses.replace(recipe, {smaller})`, or "
            f"`--set {smaller}` on the command line. `clipnb.fit_to_dataset(recipe, "
            f"{len(dataset)})` chooses batch_size and epochs for so few images."
        )
    return rows // recipe.batch_size


def iterate_batches(
    dataset: CaptionDataset, tokens: Tensor, recipe: Recipe, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over one epoch: every image once, in random order, with C random captions of it.

    No two rows of a batch share an image, because such rows would be false negatives. A last batch
    that is too small is left out. With `sampling="rows"` every caption row comes once instead,
    beside whatever rows chance puts there.

    tokens: int64 (N, K, T). Yields images float32 (B, 3, S, S) and tokens int64 (C, B, t); C is
    the recipe's `captions_per_image` and t the length of the batch's longest caption. Outputs of a
    frozen encoder (see `encode_frozen`) may stand for either, and are yielded as float32 (B, width)
    and (C, B, width).
    """
    N, K = tokens.shape[:2]
    B, by_row = recipe.batch_size, recipe.sampling == "rows"
    for rows in draw_rows(N, K, recipe):
        if by_row:
            indices = rows // K  # (B,) which images
            texts = tokens[indices, rows % K][:, None]  # (B, 1, T)
        else:
            indices = rows
            texts = sample_captions(tokens, indices, recipe.captions_per_image)  # (B, C, T)
        kept = texts.flatten(0, 1)  # (B*C, T)
        if not kept.is_floating_point():
            kept = trim_padding(drop_tokens(kept, recipe.token_dropout))  # (B*C, t)
        by_caption = kept.view(B, texts.shape[1], -1).transpose(0, 1)  # (C, B, t)
        images = take_images(dataset.images, indices).to(device)
        if images.ndim == 4:
            images = augment(images, recipe)
        yield images, by_caption.to(device)


def draw_rows(N: int, K: int, recipe: Recipe) -> Tensor:
    """Draw the rows of an epoch: int64 (steps, B), of N images or, by_row, of N*K captions."""
    B = recipe.batch_size
    order = torch.randperm(N * K if recipe.sampling == "rows" else N)
    return order[: len(order) - len(order) % B].view(-1, B)


def keep_on_card(dataset: CaptionDataset, device: torch.device) -> CaptionDataset:
    """Return a dataset whose images lie on the graphics card, if they fit into half of what is free.

    They stay uint8, so a batch is not copied to the card at every step. Anything else than an array
    in memory, and every dataset on another device, is returned as it is.
    """
    if device.type != "cuda" or not isinstance(dataset.images, np.ndarray):
        return dataset
    free, _ = torch.cuda.mem_get_info(device)
    if 2 * dataset.images.nbytes > free:
        return dataset
    return dataclasses.replace(dataset, images=torch.tensor(dataset.images).to(device))


def take_images(images: np.ndarray | Tensor, rows: Tensor) -> Tensor:
    """Return the images of some rows (B,), on the device where they lie."""
    if isinstance(images, Tensor):
        return images[rows.to(images.device)]
    return torch.from_numpy(images[rows.numpy()])


# ---- one step --------------------------------------------------------------------------------


def learning_rate_at(step: int, steps: int, recipe: Recipe) -> float:
    """Return the learning rate of a step (0 to steps - 1).

    It warms up linearly, then falls to zero along half a cosine (paper §2.5).
    """
    warmup = max(1, round(recipe.warmup * steps))
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    return recipe.learning_rate * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every parameter group, times the group's own `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("lr_scale", 1)


def update_weights(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, clip_norm: float
) -> None:
    """Take one step down the gradient of a loss; longer gradients are cut to `clip_norm`."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()


def train_step(
    model: CLIP, optimizer: torch.optim.Optimizer, images: Tensor, tokens: Tensor, recipe: Recipe
) -> Tensor:
    """Take one step on images (B, 3, S, S) and tokens (C, B, T). Returns the loss, a scalar."""
    with parametrize.cached():  # LoRA adds its changes to the weights once
        loss = compute_loss(model, images, tokens, recipe)
    update_weights(model, optimizer, loss, recipe.clip_norm)
    model.clamp_logit_scale()
    return loss.detach()


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the weights of `average`, and its batch statistics, a little towards those of `model`.

    Such a running average has less noise and retrieves better (Polyak). decay: the share that
    `average` keeps of itself. The share is smaller in the first steps, whose weights are not worth
    keeping.
    """
    decay = min(decay, (1 + step) / (10 + step))
    pairs = zip(average.state_dict().values(), model.state_dict().values(), strict=True)
    for mine, theirs in pairs:
        if mine.is_floating_point():
            mine.lerp_(theirs, 1 - decay)
        else:
            mine.copy_(theirs)  # batch norm counts its batches


# ---- the loop --------------------------------------------------------------------------------


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
) -> Iterator[Tensor]:
    """Train step by step: the one loop of this package. Yields the loss after each step.

    Between two steps the caller may evaluate the model, save it, or stop. open_epoch: returns an
    iterator over the batches of an epoch. take_step: called with the parts of a batch, returns the
    loss. decay_rate=False: the learning rate stays where the warm-up has brought it.
    """
    total = recipe.epochs * steps_in_epoch
    warmup = round(recipe.warmup * total)
    for epoch in range(first_epoch, recipe.epochs):
        # An epoch depends on nothing random before it, so a resumed run gives the same result.
        seed_everything(seed, epoch)
        for i, batch in enumerate(open_epoch()):
            step = epoch * steps_in_epoch + i
            schedule_step = step if decay_rate else min(step, warmup)
            set_learning_rate(optimizer, learning_rate_at(schedule_step, total, recipe))
            model.train()  # the caller may have evaluated it
            yield take_step(*batch)


def train(
    recipe: Recipe,
    seed: int = 0,
    folder: str | Path | None = None,
    resume: bool = False,
    root: str | Path | None = None,
    train_set: CaptionDataset | None = None,
    dev_set: CaptionDataset | None = None,
    init: str | Path | None = None,
) -> Run:
    """Train a recipe. Returns the `Run` with the weights of the epoch that did best on dev.

    With fewer than `runs.FEW_DEV_IMAGES` images on dev, the best epoch would be chosen by luck.
    Then the last weights are kept, or their running average if the recipe has one, and a warning
    says how uncertain the result is.

    folder: where the run is kept, by default `run_folder(recipe, seed, init)`. resume: go on where
    an interrupted run in that folder stopped; the result is the same as without the interruption. A
    finished run in the folder stays until the new one is finished.
    root: the folder that contains the dataset's. train_set, dev_set: use these datasets instead of
    the recipe's. The state is saved after each epoch, so Ctrl-C costs one epoch at most.

    init: start from trained weights instead of random ones: from another run, by its folder or a
    name that `find_run` understands; from a published model, such as "ViT-B-32/openai" or
    "ViT-B-32/FILE"; or from a library's image encoder, such as "torchvision/resnet18". The recipe's
    `init_towers` says which encoders are loaded, `freeze` and `lora_rank` what of them learns. With
    the text encoder its tokenizer is kept too, and none is learned from the new captions. So each
    word keeps the vector that it has learned, also the words that the new captions do not hold. A
    word that is new is spelled in pieces.

    Raises ValueError if the folder holds a run of another recipe, seed or start, if a batch is
    larger than the training set, if the weights of `init` do not fit, if the recipe adapts trained
    weights and there is no `init`, or if a run that is resumed was begun on other data. Raises
    RuntimeError at the first loss that is NaN or infinite.
    """
    check_encoders(recipe)
    starts.check_init(recipe, init)
    run_folders.check_name(recipe.name, seed)
    folder = Path(folder or run_folders.run_folder(recipe, seed, init))
    run_folders.check_same_run(folder, recipe, seed, init)
    if resume and run_folders.is_finished(folder) and not (folder / run_folders.NEXT).exists():
        return runs.load_run(folder)
    # Before the images are decoded, which takes long, and before the seed: it may draw.
    start = None if init is None else starts.open_start(init, recipe)
    tokenizer = None if start is None else starts.choose_tokenizer(start, recipe)
    crop = choose_preprocess(recipe).crop
    train_set = train_set or load_dataset(recipe.dataset, "train", recipe.stored_size, root, crop)
    dev_set = dev_set or load_dataset(recipe.dataset, "dev", recipe.image_size, root, crop)
    steps_per_epoch(train_set, recipe)  # too large a batch is refused before anything is written

    keep_freed_memory()
    seed_everything(seed)
    work = run_folders.find_work_folder(folder)
    resumed = resume and (work / "state.pt").exists()
    if resumed:
        run_data.check_same_data(work, train_set, dev_set)
        tokenizer = runs.load_run_tokenizer(work, recipe)
    elif tokenizer is None:
        tokenizer = make_tokenizer(recipe, train_set.captions)
    tokens = tokenize(tokenizer, train_set.captions)  # (N, K, T)
    model = make_model(recipe, start)
    del start  # a published model takes much memory
    optimizer = make_optimizer(model, recipe)
    judged = copy.deepcopy(model) if recipe.ema else model  # the model to evaluate and to keep
    run = Run(judged, tokenizer, recipe, seed, work)
    run.init = None if init is None else run_folders.describe_init(init)
    if recipe.freeze != "none" or recipe.lora_rank:
        run.metrics["learned_parameters"] = count_learned(model)

    (work / "metrics.json").unlink(missing_ok=True)  # from here on the run is unfinished
    if resumed:
        runs.load_state(run, model, optimizer)
    else:
        run_folders.clear_work_folder(work)
        runs.save_start(run)
        run_data.save_data(work, train_set, dev_set)
    try:
        train_epochs(run, model, optimizer, train_set, dev_set, tokens)
    except KeyboardInterrupt:
        print(
            f"Stopped. {len(run.history)} of {recipe.epochs} epochs are kept in "
            f"{display_path(work)}; resume=True (--resume) goes on from there: "
            f"{runs.format_command(folder, recipe, seed, resume=True)}"
        )
        raise
    if len(dev_set) < runs.FEW_DEV_IMAGES:
        run.metrics |= runs.describe_few_images(run, dev_set)
        warnings.warn(run.metrics["warning"], stacklevel=2)
    write_file(work / "metrics.json", json.dumps(run.metrics, indent=1))
    run_folders.install_next(folder)
    return runs.load_run(folder)


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
    return model


def iterate_steps(
    model: CLIP,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    seed: int,
    dataset: CaptionDataset,
    tokens: Tensor,
    first_epoch: int = 0,
) -> Iterator[Tensor]:
    """Train on the batches of a dataset, step by step. Yields the loss after each step.

    tokens: int64 (N, K, T), of the dataset's captions, or what a frozen encoder has made of them.
    """

    device = model.logit_scale.device
    dataset = keep_on_card(dataset, device)

    def open_epoch() -> Iterator[tuple[Tensor, Tensor]]:
        return iterate_batches(dataset, tokens, recipe, device)

    def take_step(images: Tensor, texts: Tensor) -> Tensor:
        hold_still(model, recipe)
        return train_step(model, optimizer, images, texts, recipe)

    steps = steps_per_epoch(dataset, recipe)
    return iterate_training(
        model, optimizer, recipe, seed, steps, open_epoch, take_step, first_epoch
    )


def train_epochs(
    run: Run,
    model: CLIP,
    optimizer: torch.optim.Optimizer,
    train_set: CaptionDataset,
    dev_set: CaptionDataset,
    tokens: Tensor,
) -> None:
    """Train the epochs that `run` still lacks. After each one, evaluate and save everything.

    model: takes the steps; `run.model` is the same model, or its running average with `ema`.
    """
    recipe = run.recipe
    if recipe.freeze != "none":  # what does not change is computed once
        dev_tokens = tokenize(run.tokenizer, dev_set.captions)
        dev_set = encode_frozen(model, dev_set, dev_tokens, recipe)
        train_set = encode_frozen(model, train_set, tokens, recipe)
        tokens = train_set.texts
    steps = steps_per_epoch(train_set, recipe)
    done = len(run.history) * steps
    first_epoch = len(run.history)
    losses = iterate_steps(model, optimizer, recipe, run.seed, train_set, tokens, first_epoch)
    # A graphics card would wait for the processor at each look at a loss.
    check_every = 1 if model.logit_scale.device.type == "cpu" else 50
    with progress(total=recipe.epochs * steps, initial=done, unit="step") as bar:
        epoch_losses, start = [], time.perf_counter()
        for step, loss in enumerate(losses, start=done):
            epoch_losses.append(loss)
            if len(epoch_losses) % check_every == 0 or len(epoch_losses) == steps:
                check_losses(run, epoch_losses, train_set, tokens.shape[1])
            if recipe.ema:
                update_average(run.model, model, recipe.ema, step)
            bar.update()
            if len(epoch_losses) == steps:
                seconds = time.perf_counter() - start
                end_epoch(run, torch.stack(epoch_losses).mean().item(), seconds, steps, dev_set)
                runs.save_epoch(run, model, optimizer)
                bar.set_postfix(format_epoch(run.history[-1]))
                epoch_losses, start = [], time.perf_counter()


def check_losses(run: Run, losses: list[Tensor], dataset: CaptionDataset, K: int) -> None:
    """Raise RuntimeError if a loss of the present epoch, or a weight after it, is not finite.

    The message says where it began: the step, its images and its learning rate. K: the captions of
    an image. The epochs before are kept.
    """
    is_finite = torch.stack(losses).isfinite()  # (steps so far,)
    if is_finite.all():
        return
    recipe, epoch = run.recipe, len(run.history)
    first = int(is_finite.int().argmin())
    seed_everything(run.seed, epoch)  # the epoch began so, and its rows were drawn first
    rows = draw_rows(len(dataset), K, recipe)[first]
    if recipe.sampling == "rows":
        rows = rows // K
    names = [dataset.image_ids[row] for row in rows.tolist()]
    per_epoch = steps_per_epoch(dataset, recipe)
    step = epoch * per_epoch + first
    rate = learning_rate_at(step, recipe.epochs * per_epoch, recipe)
    kept = f"The {epoch} epochs before are kept" if epoch else "No epoch was whole yet"
    raise RuntimeError(
        f"the training diverged: at step {step + 1} (epoch {epoch + 1}) the loss was "
        f"{losses[first].item()}, with the learning rate {rate:.3g} and the images "
        f"{', '.join(names[:5])}{', …' if len(names) > 5 else ''}. {kept} in "
        f"{display_path(run.folder)}. Lower it, for instance to "
        f"`--set learning_rate={recipe.learning_rate / 10:g}`, or look at these images."
    )


def end_epoch(run: Run, loss: float, seconds: float, steps: int, dev_set: CaptionDataset) -> None:
    """Evaluate a run on dev, add a row to its history, and keep its weights if they are the best.

    With fewer than `runs.FEW_DEV_IMAGES` images on dev, the weights are kept in any case.

    loss: the epoch's mean training loss. seconds: its training time. steps: its number of steps.
    """
    if not all(weight.isfinite().all() for weight in run.model.state_dict().values()):
        raise RuntimeError(
            f"the training diverged: after epoch {len(run.history) + 1} weights are NaN or "
            f"infinite. The {len(run.history)} epochs before are kept in "
            f"{display_path(run.folder)}. Lower the learning rate, for instance to "
            f"`--set learning_rate={run.recipe.learning_rate / 10:g}`."
        )
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


def load_or_train(
    recipe: Recipe | str,
    seed: int = 0,
    root: str | Path | None = None,
    train_set: CaptionDataset | None = None,
    dev_set: CaptionDataset | None = None,
    init: str | Path | None = None,
) -> Run:
    """Load the finished run of a recipe (or of a recipe's name), or train it now.

    An interrupted run is continued. A run is found by its recipe and seed, so give the recipe a
    name of its own if you pass a `train_set` of your own. init: a run or a published model whose
    weights to start from (see `train`); such a run has a folder of its own. Raises
    ValueError for an unknown name.
    """
    recipe = find_recipe(recipe) if isinstance(recipe, str) else recipe
    folder = run_folders.run_folder(recipe, seed, init)
    if run_folders.is_finished(folder):
        run = runs.load_run(folder, recipe, seed, init)
        if train_set is None:
            runs.warn_of_other_data(run, root)
        return run
    return train(
        recipe,
        seed,
        resume=True,
        root=root,
        train_set=train_set,
        dev_set=dev_set,
        init=init,
    )


def evaluate(model: CLIP, tokenizer: Tokenizer, dataset: CaptionDataset) -> dict[str, float]:
    """Return the `retrieval_metrics` of a model on all images and captions of a dataset."""
    if isinstance(dataset, EncodedDataset):
        return evaluate_encoded(model, dataset)
    return retrieval_metrics(*encode_dataset(model, tokenizer, dataset))
