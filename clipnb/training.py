"""Making a model: the loop, a run that can be interrupted, and its evaluation."""

import copy
import functools
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from clipnb import distributed, run_data, run_folders, runs, starts, streaming
from clipnb.batches import iterate_batches, keep_on_card, steps_per_epoch
from clipnb.datasets import CaptionDataset, find_shards, load_dataset
from clipnb.datasets.shards import ShardFolder
from clipnb.divergence import check_losses, check_weights
from clipnb.features import encode_dataset, tokenize
from clipnb.frozen import EncodedDataset, encode_frozen, evaluate_encoded
from clipnb.metrics import retrieval_metrics
from clipnb.model import CLIP, check_encoders, create_model
from clipnb.objective import check_chunks
from clipnb.optimizers import make_optimizer
from clipnb.places import check_path
from clipnb.preprocess import choose_preprocess
from clipnb.recipes import Recipe, find_recipe
from clipnb.run_lock import lock_folder
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
from clipnb.shared_norm import share_batch_norms
from clipnb.steps import learning_rate_at, set_learning_rate, train_step, update_average
from clipnb.steps import update_weights as update_weights  # experiments import it from here
from clipnb.streaming import ShardBatches
from clipnb.tokenizer import Tokenizer, clip_tokenizer, train_tokenizer
from clipnb.tuning import add_lora, count_learned, freeze_towers, hold_still


def make_tokenizer(recipe: Recipe, captions: Sequence[Sequence[str]]) -> Tokenizer:
    """Make the tokenizer of a recipe. captions: N lists of K strings, of the training split."""
    if recipe.tokenizer == "clip":
        return clip_tokenizer(recipe.context_length)
    flat = [caption for own in captions for caption in own]
    return train_tokenizer(flat, recipe.vocab_size, recipe.context_length)


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


def train(
    recipe: Recipe,
    seed: int = 0,
    folder: str | Path | None = None,
    resume: bool = False,
    root: str | Path | None = None,
    train_set: CaptionDataset | ShardFolder | None = None,
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
    the recipe's. The state is saved after each epoch, so Ctrl-C costs one epoch at most. If the
    recipe's dataset or `train_set` is a folder of shards (see `clipnb.datasets.shards`), it is also
    saved every `streaming.SAVE_EVERY` steps.

    init: start from trained weights instead of random ones: from another run, by its folder or a
    name that `find_run` understands; from a published model, such as "ViT-B-32/openai" or
    "ViT-B-32/FILE"; or from a library's image encoder, such as "torchvision/resnet18". The recipe's
    `init_towers` says which encoders are loaded, `freeze` and `lora_rank` what of them learns. With
    the text encoder its tokenizer is kept too, and none is learned from the new captions. So each
    word keeps the vector that it has learned, also the words that the new captions do not hold. A
    word that is new is spelled in pieces.

    Under torchrun (see clipnb/distributed.py) every process calls this, and each takes its share of
    every batch. The first one alone writes and evaluates. All must see the same folder.

    Raises ValueError if the folder holds a run of another recipe, seed or start, if a batch is
    larger than the training set or cannot be shared, if the weights of `init` do not fit, if the
    recipe adapts trained weights and there is no `init`, or if a run that is resumed was begun on
    other data. Raises RuntimeError if another process is training into the folder, and at the first
    loss that is NaN or infinite.
    """
    seed = run_folders.check_seed(seed)
    check_recipe(recipe, seed, init)
    folder = check_path(folder or run_folders.run_folder(recipe, seed, init))
    with lock_folder(folder):
        return train_in_folder(folder, recipe, seed, resume, root, train_set, dev_set, init)


def check_recipe(recipe: Recipe, seed: int, init: str | Path | None) -> None:
    """Raise ValueError for what can be told to be wrong before anything is read."""
    run_folders.check_name(recipe.name, seed)
    distributed.check_batch_size(recipe)
    check_encoders(recipe)
    starts.check_init(recipe, init)


def train_in_folder(
    folder: Path,
    recipe: Recipe,
    seed: int,
    resume: bool,
    root: str | Path | None,
    train_set: CaptionDataset | ShardFolder | None,
    dev_set: CaptionDataset | None,
    init: str | Path | None,
) -> Run:
    """Train a recipe into a folder that is locked. The arguments are those of `train`."""
    run_folders.check_same_run(folder, recipe, seed, init)
    if resume and distributed.on_first(lambda: run_folders.has_no_successor(folder)):
        return runs.load_run(folder)
    # Before the images are decoded, which takes long, and before the seed: it may draw.
    start = None if init is None else starts.open_start(init, recipe)
    tokenizer = None if start is None else starts.choose_tokenizer(start, recipe)
    shards = find_shards(recipe.dataset, root)
    if train_set is None and shards is not None:
        train_set = ShardFolder(shards)
    if isinstance(train_set, ShardFolder):
        streaming.check_shards(train_set, recipe)
    if train_set is None:
        train_set = load_split(recipe, "train", recipe.stored_size, root)
    if dev_set is None:
        dev_set = load_split(recipe, "dev", recipe.image_size, root)
    # What cannot be trained or judged is refused before anything is written.
    steps_per_epoch(train_set, recipe)
    if not len(dev_set):
        raise ValueError("the dev set holds no images; at least one is needed to judge an epoch.")

    keep_freed_memory()
    seed_everything(seed)
    work = distributed.on_first(lambda: run_folders.find_work_folder(folder))
    resumed = distributed.on_first(lambda: resume and (work / "state.pt").exists())
    if resumed:
        run_data.check_same_data(work, train_set, dev_set)
        tokenizer = runs.load_run_tokenizer(work, recipe)
    elif tokenizer is None:
        tokenizer = make_tokenizer(recipe, train_set.captions)
    if isinstance(train_set, ShardFolder):
        source, tokens = ShardBatches(train_set, tokenizer, seed), None
    else:
        source = train_set
        tokens = tokenize(tokenizer, train_set.captions)  # (N, K, T)
        distributed.check_same_data(tokens)
    model = make_model(recipe, start)
    del start  # a published model takes much memory
    optimizer = make_optimizer(model, recipe)
    judged = copy.deepcopy(model) if recipe.ema else model  # the model to evaluate and to keep
    run = Run(judged, tokenizer, recipe, seed, work)
    run.init = None if init is None else run_folders.describe_init(init)
    if recipe.freeze != "none" or recipe.lora_rank:
        run.metrics["learned_parameters"] = count_learned(model)

    def begin() -> None:
        (work / "metrics.json").unlink(missing_ok=True)  # from here on the run is unfinished
        if not resumed:
            run_folders.clear_work_folder(work)
            runs.save_start(run)
            run_data.save_data(work, train_set, dev_set)

    def finish() -> None:
        if len(dev_set) < runs.FEW_DEV_IMAGES:
            run.metrics |= runs.describe_few_images(run, dev_set)
            warnings.warn(run.metrics["warning"], stacklevel=5)
        write_file(work / "metrics.json", json.dumps(run.metrics, indent=1))
        run_folders.install_next(folder)

    distributed.on_first(begin)
    losses = []  # of the epoch that was interrupted, if it was
    if resumed:
        partial = runs.load_state(run, model, optimizer)
        if isinstance(source, ShardBatches):
            losses = source.resume(len(run.history), partial)
    distributed.copy_weights(model)
    try:
        train_epochs(run, model, optimizer, source, dev_set, tokens, losses)
    except KeyboardInterrupt:
        if distributed.is_first():
            print(
                f"Stopped. {len(run.history)} of {recipe.epochs} epochs are kept in "
                f"{display_path(work)}; resume=True (--resume) goes on from there: "
                f"{runs.format_command(folder, recipe, seed, resume=True)}"
            )
        raise
    distributed.on_first(finish)
    return runs.load_run(folder)


def load_split(recipe: Recipe, split: str, size: int, root: str | Path | None) -> CaptionDataset:
    """Load a split of a recipe's dataset. The first process decodes it for all of them."""

    def load() -> CaptionDataset:
        return load_dataset(recipe.dataset, split, size, root, choose_preprocess(recipe).crop)

    if distributed.world_size() > 1:
        distributed.on_first(lambda: len(load()))
    return load()


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


def train_epochs(
    run: Run,
    model: CLIP,
    optimizer: torch.optim.Optimizer,
    train_set: CaptionDataset | ShardBatches,
    dev_set: CaptionDataset,
    tokens: Tensor | None,
    epoch_losses: Sequence[Tensor] = (),
) -> None:
    """Train the epochs that `run` still lacks. After each one, evaluate and save everything.

    model: takes the steps; `run.model` is the same model, or its running average with `ema`.
    epoch_losses: of the steps that were taken of an interrupted epoch.
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
        start = time.perf_counter()
        for step, loss in enumerate(losses, start=done):
            epoch_losses.append(loss)
            if len(epoch_losses) % check_every == 0 or len(epoch_losses) == steps:
                check_losses(run, epoch_losses, train_set, n_captions)
            if recipe.ema:
                update_average(run.model, model, recipe.ema, step)
            bar.update()
            if len(epoch_losses) < steps:
                if isinstance(train_set, ShardBatches):
                    train_set.save_now_and_then(run, model, optimizer, epoch_losses)
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
    seed = run_folders.check_seed(seed)
    folder = run_folders.run_folder(recipe, seed, init)
    if distributed.on_first(lambda: run_folders.is_finished(folder)):
        run = runs.load_run(folder, recipe, seed, init)
        if train_set is None:
            runs.warn_of_other_data(run, root)
        return run
    check_recipe(recipe, seed, init)
    with lock_folder(folder, wait=True):
        if distributed.on_first(
            lambda: run_folders.is_finished(folder)
        ):  # another process has just trained it
            return runs.load_run(folder, recipe, seed, init)
        return train_in_folder(folder, recipe, seed, True, root, train_set, dev_set, init)


def evaluate(model: CLIP, tokenizer: Tokenizer, dataset: CaptionDataset) -> dict[str, float]:
    """Return the `retrieval_metrics` of a model on all images and captions of a dataset."""
    if isinstance(dataset, EncodedDataset):
        return evaluate_encoded(model, dataset)
    return retrieval_metrics(*encode_dataset(model, tokenizer, dataset))
