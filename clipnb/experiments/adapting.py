"""Five ways to get a CLIP for other images, four of which start from a trained one.

The trained one knows painted scenes. The other images are photographic negatives of scenes that it
has never seen. Their captions use the same words, and every colour looks like another one.
"""

import dataclasses
import math
from dataclasses import dataclass

from clipnb.datasets import CaptionDataset
from clipnb.experiments.exams import has_one_thing, render_dataset, sample_scenes
from clipnb.features import tokenize
from clipnb.frozen import encode_frozen
from clipnb.model import CLIP
from clipnb.optimizers import make_optimizer
from clipnb.recipes import QUICK, SMALLEST_BATCH, Recipe
from clipnb.runs import Run
from clipnb.runtime import progress, seed_everything
from clipnb.starts import Start, choose_tokenizer
from clipnb.tokenizer import Tokenizer
from clipnb.training import iterate_steps, make_model, make_tokenizer, steps_per_epoch
from clipnb.tuning import merge_lora

NEW_STYLE = "negative"
N_STEPS = 150  # of each training

# What each way changes in the recipe of the trained run. The learning rate is that of `quick`, and
# a third of it for fine-tuning; it was chosen on other new images, with 500 pairs and one seed.
WAYS = {
    "from scratch": {},
    "locked image tower": {"freeze": "image", "init_towers": "image"},
    "linear adapter": {"freeze": "both"},
    "LoRA": {"lora_rank": 8},
    "fine-tuning": {"learning_rate": 1e-3},
}


@dataclass
class Worlds:
    """The images of the study.

    pairs: new images with captions, to learn from. new, old: the same scenes as new and as painted
    images, for retrieval. new_things, old_things: scenes with one kind of thing each, to be named.
    """

    pairs: CaptionDataset
    new: CaptionDataset
    old: CaptionDataset
    new_things: CaptionDataset
    old_things: CaptionDataset


def render_worlds(n_pairs: int, n_images: int) -> Worlds:
    """Draw the images of the study, which no split of the scenes holds."""
    pairs = sample_scenes(n_pairs, "adapting_pairs")
    shown = sample_scenes(n_images, "adapting_test")
    things = sample_scenes(n_images, "one_thing_seen", keep=has_one_thing)
    return Worlds(
        pairs=render_dataset(pairs, QUICK.image_size, [NEW_STYLE]),
        new=render_dataset(shown, QUICK.image_size, [NEW_STYLE]),
        old=render_dataset(shown, QUICK.image_size),
        new_things=render_dataset(things, QUICK.image_size, [NEW_STYLE]),
        old_things=render_dataset(things, QUICK.image_size),
    )


def make_recipe(recipe: Recipe, n_pairs: int, way: str) -> Recipe:
    """Make the recipe of a way: about `N_STEPS` steps, batches that fit the number of pairs."""
    batch_size = max(SMALLEST_BATCH, round(1.5 * math.sqrt(n_pairs)))
    changes = {
        "name": f"adapting, {way}",
        "batch_size": batch_size,
        "epochs": math.ceil(N_STEPS / (n_pairs // batch_size)),
    }
    return dataclasses.replace(recipe, **changes | WAYS[way])


def adapt(run: Run, pairs: CaptionDataset, way: str, seed: int = 0) -> tuple[CLIP, Tokenizer]:
    """Adapt the model of a run to new pairs in one of `WAYS`. The run itself stays as it is.

    It is what `train(recipe, init=run)` does, without files and without a look at dev. Returns the
    model, in evaluation mode, and its tokenizer.
    """
    recipe = make_recipe(run.recipe, len(pairs), way)
    seed_everything(seed)
    start, tokenizer = None, None
    if way != "from scratch":
        start = Start(run.recipe.name, run.model.state_dict(), run.tokenizer, run.recipe)
        tokenizer = choose_tokenizer(start, recipe)
    model = make_model(recipe, start)
    tokenizer = tokenizer or make_tokenizer(recipe, pairs.captions)
    optimizer = make_optimizer(model, recipe)
    tokens = tokenize(tokenizer, pairs.captions)  # (N, K, T)
    if recipe.freeze != "none":  # what does not change is computed once
        pairs = encode_frozen(model, pairs, tokens, recipe)
        tokens = pairs.texts
    losses = iterate_steps(model, optimizer, recipe, seed, pairs, tokens)
    n_steps = recipe.epochs * steps_per_epoch(pairs, recipe)
    for _ in progress(losses, total=n_steps, desc=recipe.name, unit="step"):
        pass
    return merge_lora(model).eval(), tokenizer
