"""What several experiments share: pictures drawn for a test, runs that are trained once, and a loop for objectives other than CLIP's."""

import dataclasses
import hashlib
import json
import os
import random
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from clipnb import scenes
from clipnb.annotators import captions
from clipnb.augment import augment
from clipnb.claims import TRAINED
from clipnb.datasets import CaptionDataset
from clipnb.losses import clip_loss
from clipnb.model import IMAGE_ENCODERS
from clipnb.optimizers import make_optimizer
from clipnb.runs import run_folder, write
from clipnb.runtime import cache_dir, get_device, memory_format, progress, replace_when_done, seed_everything
from clipnb.tokenizer import padding_mask
from clipnb.training import learning_rate_at, load_or_train, tokenize


def sample_scenes(n, name="exam", compositions=False, keep=lambda scene: True):
    """The first n random scenes that `keep` likes, the same every time; none is in train, dev or test, whatever `name` you give."""
    found, i = [], 0
    while len(found) < n:
        scene = scenes.sample_scene(random.Random(f"experiment-{name}-{i}"), compositions)
        found += [scene] if keep(scene) else []
        i += 1
    return found


def has_one_thing(scene):
    """Whether a scene shows one kind of thing, which makes `kind` and `colour` questions with one right answer."""
    return len(scene.things) == 1


def _pixels(scene, image_size, style, edit):
    picture = scenes.render(scene, 128, style)  # as the dataset is drawn, then made smaller
    picture = edit(picture, scene) if edit else picture
    return np.asarray(picture.resize((image_size, image_size), 3)).transpose(2, 0, 1)  # 3: bicubic


def draw(some_scenes, image_size=64, styles=("painted",), edit=None):
    """Draw scenes as a `CaptionDataset` of uint8 (N, 3, S, S) with captions and labels; scene i in style i modulo their number. Cached.

    edit: a module-level function (PIL picture of 128 px, scene) -> PIL picture, for what is to be put on top.
    """
    styles = [styles[i % len(styles)] for i in range(len(some_scenes))]
    about = [scenes.VERSION, image_size, styles, edit and f"{edit.__module__}.{edit.__qualname__}", [dataclasses.asdict(scene) for scene in some_scenes]]
    path = cache_dir() / "decoded" / f"drawn-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        jobs = (some_scenes, [image_size] * len(styles), styles, [edit] * len(styles))
        with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
            images = np.stack(list(progress(pool.map(_pixels, *jobs, chunksize=50), total=len(styles), desc="drawing")))
        with replace_when_done(path) as temporary, open(temporary, "wb") as file:
            np.save(file, images)
    return CaptionDataset("scenes", "drawn", np.load(path, mmap_mode="r"), [captions(scene) for scene in some_scenes],
                          [f"drawn_{i:05d}" for i in range(len(some_scenes))], labels=[scenes.labels(scene) for scene in some_scenes])


def classes_of(dataset, attribute):
    """The names of an attribute's classes and each picture's class int (N,), that of its first thing: "kind", "colour", "size", "count" or "place"."""
    names = {"kind": scenes.KINDS, "colour": scenes.COLOURS, "size": scenes.SIZES, "count": (1, 2, 3), "place": scenes.PLACES}[attribute]
    of = (lambda truth: truth["place"]) if attribute == "place" else (lambda truth: truth["objects"][0][attribute])
    return names, np.array([names.index(of(truth)) for truth in dataset.labels])


def trained(recipe, seed, **options):
    """`load_or_train` for experiments: also notes how long the training took. The recipe's name must tell everything its fields do not, such as another training set."""
    run = load_or_train(recipe, seed, **options)
    TRAINED[run_folder(recipe, seed).name] = run.metrics["train_seconds"]
    return run


def fit(model, loss, dataset, recipe, seed, after=None, decay=True):
    """Train any model on pictures with the optimiser, schedule and augmentation of a recipe; `model` is changed and returned.

    loss: (model, pictures float (B, 3, S, S), rows int64 (B,)) -> scalar; rows are the pictures' numbers in the dataset.
    after: called with the number of images seen after every step, for a learning curve. decay=False: the learning rate stays where the
    warm-up has brought it, so that a point in the middle of a curve is no unfinished cosine.
    """
    device, B = get_device(), recipe.batch_size
    model.to(device, memory_format=memory_format(device)).train()
    optimizer, steps = make_optimizer(model, recipe), recipe.epochs * (len(dataset) // B)
    step = 0
    with progress(total=steps, unit="step", desc=recipe.name) as bar:
        for epoch in range(recipe.epochs):
            seed_everything(seed, epoch)
            for rows in torch.randperm(len(dataset))[: len(dataset) - len(dataset) % B].view(-1, B):
                for group in optimizer.param_groups:
                    reached = step if decay else min(step, round(recipe.warmup * steps))
                    group["lr"] = learning_rate_at(reached, steps, recipe) * group.get("lr_scale", 1)
                images = augment(torch.from_numpy(dataset.images[rows.numpy()]).to(device), recipe)
                value = loss(model, images, rows)
                optimizer.zero_grad()
                value.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
                optimizer.step()
                bar.update()
                step += 1
                if after:
                    after(step * B)
                    model.train()
    return model.eval()


def clip_objective(tokenizer, dataset, recipe, clamp=True):
    """The contrastive loss for `fit`: pictures against `captions_per_image` captions of each, drawn anew at every visit; `clamp`: keep the scale in [1, 100]."""
    tokens = tokenize(tokenizer, dataset.captions)  # (N, K, T)

    def loss(model, images, rows):
        drawn = torch.rand(len(rows), tokens.shape[1]).argsort(dim=1)[:, : recipe.captions_per_image]  # (B, C)
        texts = tokens[rows[:, None], drawn].transpose(0, 1)  # (C, B, T)
        texts = texts[..., : padding_mask(texts).sum(dim=-1).max()].to(images.device)
        image_features = model.encode_image(images, normalize=True)
        if clamp:
            model.clamp_logit_scale()  # before this step rather than after the last one: the same
        return sum(clip_loss(image_features, model.encode_text(captions, normalize=True), model.logit_scale.exp()) for captions in texts) / len(texts)

    return loss


def fitted(model, loss, dataset, recipe, seed):
    """`fit`, kept on disk: loaded if a run of this recipe (its name included) and seed exists. Returns the model, in evaluation mode."""
    folder = run_folder(recipe, seed)
    weights = folder / "fitted.safetensors"
    if not weights.exists():
        start = time.perf_counter()
        fit(model, loss, dataset, recipe, seed)
        write(folder / "seconds.json", json.dumps(time.perf_counter() - start))
        write(weights, safetensors.torch.save({key: value.contiguous() for key, value in model.state_dict().items()}))
    model.load_state_dict(safetensors.torch.load_file(weights))
    TRAINED[folder.name] = json.loads((folder / "seconds.json").read_text())
    return model.to(get_device()).eval()


class Supervised(nn.Module):
    """The supervised twin: CLIP's image tower with a linear head on kinds, colours and places instead of a text tower."""

    def __init__(self, recipe):
        super().__init__()
        self.image_encoder = IMAGE_ENCODERS[recipe.image_encoder](recipe)
        self.heads = nn.ModuleDict({name: nn.Linear(self.image_encoder.width, n) for name, n in (("kind", 12), ("colour", 8), ("place", 8))})

    def forward(self, images):
        features = self.image_encoder(images)  # (B, width)
        return {name: head(features) for name, head in self.heads.items()}  # (B, 12), (B, 8), (B, 8)


def label_targets(dataset):
    """What the twin is taught: for each attribute a distribution float32 (N, C), even over the kinds (colours) of the picture's things."""
    targets = {"kind": torch.zeros(len(dataset), 12), "colour": torch.zeros(len(dataset), 8), "place": torch.zeros(len(dataset), 8)}
    for row, truth in enumerate(dataset.labels):
        targets["place"][row, scenes.PLACES.index(truth["place"])] = 1
        for thing in truth["objects"]:
            targets["kind"][row, scenes.KINDS.index(thing["kind"])] = 1
            targets["colour"][row, scenes.COLOURS.index(thing["colour"])] = 1
    return {name: target / target.sum(dim=1, keepdim=True) for name, target in targets.items()}


def supervised_twin(recipe, seed, train_set):
    """The supervised twin of a recipe's image tower, trained on the same pictures as often; recipe.name must tell the training set and end in `_supervised`."""
    targets = label_targets(train_set)
    seed_everything(seed)
    loss = lambda model, images, rows: sum(F.cross_entropy(logits, targets[name][rows].to(logits.device)) for name, logits in model(images).items())
    return fitted(Supervised(recipe), loss, train_set, recipe, seed)


@torch.no_grad()
def predict_supervised(model, images, attribute, batch_size=250):
    """Logits (N, C) of the twin for pictures uint8 (N, 3, S, S)."""
    from clipnb.datasets import normalize_images

    device = next(model.parameters()).device
    batches = (normalize_images(images[i : i + batch_size]).to(device) for i in range(0, len(images), batch_size))
    return torch.cat([model(batch)[attribute].float().cpu() for batch in batches])
