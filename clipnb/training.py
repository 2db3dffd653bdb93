"""A run in its folder: trained, resumed where it was interrupted, or loaded if it is finished."""

import copy
import dataclasses
import json
import warnings
from pathlib import Path

import torch

from clipnb import distributed, run_checks, run_data, run_folders, runs, starts, streaming
from clipnb.batches import iterate_batches, steps_per_epoch
from clipnb.datasets import CaptionDataset, find_shards, load_dataset
from clipnb.datasets.shards import ShardFolder
from clipnb.epochs import train_epochs
from clipnb.features import evaluation_mode, tokenize
from clipnb.loop import evaluate, iterate_steps, iterate_training, make_model, make_tokenizer
from clipnb.model import CLIP, check_encoders
from clipnb.optimizers import make_optimizer
from clipnb.places import check_path
from clipnb.preprocess import choose_preprocess
from clipnb.recipes import Recipe, find_recipe
from clipnb.run_commands import format_command
from clipnb.run_lock import lock_folder
from clipnb.runs import Run
from clipnb.runtime import display_path, keep_freed_memory, seed_everything, write_file
from clipnb.steps import learning_rate_at, train_step, update_average, update_weights
from clipnb.streaming import ShardBatches
from clipnb.tuning import count_learned

# Notebooks and experiments import the parts of the loop from this module, and the code of an
# experiment cannot change: its protocol holds a digest of it.
__all__ = [
    "evaluate",
    "iterate_batches",
    "iterate_steps",
    "iterate_training",
    "learning_rate_at",
    "load_or_train",
    "make_model",
    "make_tokenizer",
    "steps_per_epoch",
    "train",
    "train_step",
    "update_average",
    "update_weights",
]


def train(
    recipe: Recipe | str,
    seed: int = 0,
    folder: str | Path | None = None,
    resume: bool = False,
    root: str | Path | None = None,
    train_set: CaptionDataset | ShardFolder | None = None,
    dev_set: CaptionDataset | None = None,
    init: str | Path | None = None,
) -> Run:
    """Train a recipe, or that of a name. Returns the `Run` with the weights that did best on dev.

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
    recipe = find_recipe(recipe)
    seed = run_folders.check_seed(seed)
    check_same_options(recipe, seed, resume, init)
    check_recipe(recipe, seed, init)
    folder = check_path(folder or run_folders.run_folder(recipe, seed, init))
    with lock_folder(folder):
        return train_in_folder(folder, recipe, seed, resume, root, train_set, dev_set, init)


def check_same_options(recipe: Recipe, seed: int, resume: bool, init: str | Path | None) -> None:
    """Raise ValueError if one of several processes is to train something else than the first.

    The datasets may have other names, since shards may lie elsewhere on another machine. What has
    been read is compared later.
    """
    options = dataclasses.asdict(recipe) | {"seed": seed, "resume": bool(resume)}
    del options["dataset"]
    distributed.check_same_options(options | {"init": None if init is None else str(init)})


def check_recipe(recipe: Recipe, seed: int, init: str | Path | None) -> None:
    """Raise ValueError for what can be told to be wrong before anything is read."""
    run_folders.check_name(recipe.name, seed)
    distributed.share_batch_size(recipe.batch_size, distributed.world_size())
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
    check_is_dataset("train_set", train_set, ShardFolder)
    check_is_dataset("dev_set", dev_set)
    distributed.on_first(lambda: run_checks.check_places(folder))
    run_folders.check_same_run(folder, recipe, seed, init)
    if resume and distributed.on_first(lambda: run_folders.has_no_successor(folder)):
        run = runs.load_run(folder)
        runs.warn_of_other_data(run, root, train_set)
        return run
    # Before the images are decoded, which takes long, and before the seed: it may draw.
    start = None if init is None else starts.open_start(init, recipe)
    tokenizer = None if start is None else starts.choose_tokenizer(start, recipe)
    shards = find_shards(recipe.dataset, root)
    if train_set is None and shards is not None:
        train_set = ShardFolder(shards)
    if isinstance(train_set, ShardFolder):
        distributed.check_same("shards", train_set.digest)
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
    knows_data = True  # what the run was begun on; a run of an earlier version does not
    if resumed:
        knows_data = run_data.check_same_data(work, train_set, dev_set)
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
    check_dev_images(model, dev_set, recipe)
    del start  # a published model takes much memory
    optimizer = make_optimizer(model, recipe)
    judged = copy.deepcopy(model) if recipe.ema else model  # the model to evaluate and to keep
    run = Run(judged, tokenizer, recipe, seed, work)
    run.init = None if init is None else run_folders.describe_init(init)
    if recipe.freeze != "none" or recipe.lora_rank:
        run.metrics["learned_parameters"] = count_learned(model)

    def write_start() -> None:
        runs.save_start(run)
        if knows_data:
            run_data.save_data(work, train_set, dev_set)

    def begin() -> None:
        (work / "metrics.json").unlink(missing_ok=True)  # from here on the run is unfinished
        if not resumed:
            run_folders.clear_work_folder(work)
            write_start()

    def finish() -> None:
        run_checks.check_checksums(work, run.metrics, runs.ANEW_ADVICE)
        write_start()  # again, because somebody may have emptied the folder meanwhile
        runs.save_history(run)
        if len(dev_set) < runs.FEW_DEV_IMAGES:
            run.metrics |= runs.describe_few_images(run, dev_set)
        run.metrics |= run_checks.compute_checksums(work, runs.ANEW_ADVICE)
        write_file(work / "metrics.json", json.dumps(run.metrics, indent=1))
        run_folders.install_next(folder)
        if "warning" in run.metrics:  # told last: where a warning is an error, the run is kept
            warnings.warn(run.metrics["warning"], stacklevel=5)

    distributed.on_first(begin)
    losses, seconds = [], 0.0  # of the epoch that was interrupted, if it was
    if resumed:
        partial = runs.load_state(run, model, optimizer)
        if isinstance(source, ShardBatches):
            losses, seconds = source.resume(len(run.history), partial)
    distributed.copy_weights(model)
    try:
        train_epochs(run, model, optimizer, source, dev_set, tokens, losses, seconds)
    except KeyboardInterrupt:
        if distributed.is_first():
            print(
                f"Stopped. {len(run.history)} of {recipe.epochs} epochs are kept in "
                f"{display_path(work)}; resume=True (--resume) goes on from there: "
                f"{format_command(folder, recipe, seed, resume=True, root=root)}"
            )
        raise
    distributed.on_first(finish)
    return runs.load_run(folder)


def check_is_dataset(name: str, given: object, *other_kinds: type) -> None:
    """Raise TypeError, in words, for what is neither None nor a dataset."""
    if given is not None and not isinstance(given, (CaptionDataset, *other_kinds)):
        raise TypeError(f"{name} is a {type(given).__name__}; give a dataset of load_dataset().")


def check_dev_images(model: CLIP, dev_set: CaptionDataset, recipe: Recipe) -> None:
    """Raise ValueError if a model cannot take images of the size that the dev set has.

    A convolution takes any size. Training images need no check: they are scaled to the recipe's.
    """
    sides = dev_set.images.shape[2:]
    if set(sides) == {recipe.image_size}:
        return
    image = torch.zeros(1, 3, *sides, dtype=torch.uint8, device=model.logit_scale.device)
    try:
        with evaluation_mode(model):
            model.encode_image(image)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"the images of the dev set have {' x '.join(map(str, sides))} pixels, and the encoder "
            f"{recipe.image_encoder!r} takes {recipe.image_size} x {recipe.image_size}. Load them "
            f"with image_size={recipe.image_size}, or set the recipe's image_size to theirs."
        ) from error


def load_split(recipe: Recipe, split: str, size: int, root: str | Path | None) -> CaptionDataset:
    """Load a split of a recipe's dataset. The first process decodes it for all of them."""

    def load() -> CaptionDataset:
        return load_dataset(recipe.dataset, split, size, root, choose_preprocess(recipe).crop)

    if distributed.world_size() > 1:
        distributed.on_first(lambda: len(load()))
    return load()


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
    recipe = find_recipe(recipe)
    seed = run_folders.check_seed(seed)
    check_same_options(recipe, seed, True, init)
    folder = run_folders.run_folder(recipe, seed, init)
    if distributed.on_first(lambda: run_folders.is_finished(folder)):
        run = runs.load_run(folder, recipe, seed, init)
        runs.warn_of_other_data(run, root, train_set)
        return run
    check_recipe(recipe, seed, init)
    with lock_folder(folder, wait=True):
        if distributed.on_first(
            lambda: run_folders.is_finished(folder)
        ):  # another process has just trained it
            return runs.load_run(folder, recipe, seed, init)
        return train_in_folder(folder, recipe, seed, True, root, train_set, dev_set, init)
