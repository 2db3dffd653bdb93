"""Making a model: one step, the whole loop, a run that can be interrupted, and its evaluation."""

import copy
import json
import math
import time
from pathlib import Path

import torch

from clipnb import runs
from clipnb.augment import augment, drop_words
from clipnb.datasets import load_dataset
from clipnb.losses import clip_loss, siglip_loss
from clipnb.metrics import retrieval_metrics
from clipnb.model import create_model
from clipnb.optimizers import make_optimizer
from clipnb.runs import Run
from clipnb.runtime import autocast, get_device, keep_freed_memory, memory_format, progress, seed_everything, shown
from clipnb.tokenizer import clip_tokenizer, padding_mask, train_tokenizer


def make_tokenizer(recipe, captions):
    """The tokenizer a recipe asks for; `captions` (N lists of K strings) are those of the training split."""
    if recipe.tokenizer == "clip":
        return clip_tokenizer(recipe.context_length)
    return train_tokenizer([c for five in captions for c in five], recipe.vocab_size, recipe.context_length)


def tokenize(tokenizer, captions):
    """N lists of K captions -> int64 (N, K, T)."""
    return tokenizer([caption for own in captions for caption in own]).view(len(captions), len(captions[0]), -1)


def learning_rate_at(step, steps, recipe):
    """Linear warm-up, then half a cosine down to zero (paper §2.5). step: 0 to steps - 1."""
    warmup = max(1, round(recipe.warmup * steps))
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    return recipe.learning_rate * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def steps_per_epoch(dataset, recipe):
    """The number of whole batches in an epoch. Raises ValueError if there is not even one."""
    rows = len(dataset) * (len(dataset.captions[0]) if recipe.sampling == "rows" else 1)
    if recipe.batch_size > rows:
        raise ValueError(f"batch_size {recipe.batch_size} is larger than the {rows} training {recipe.sampling} of {dataset.name}; choose 2 to {rows}: "
                         f"`dataclasses.replace(recipe, batch_size={max(2, rows // 4)})`, or `--set batch_size={max(2, rows // 4)}` on the command line.")
    return rows // recipe.batch_size


def batches(dataset, tokens, recipe, device):
    """One epoch of (images, tokens): every picture once, in random order, with C of its K captions drawn at random.

    No two rows of a batch share a picture, which would make false negatives; a last batch that is too small is left out.
    With `sampling="rows"` every caption row comes once instead, beside whatever rows chance puts there. tokens: int64 (N, K, T).
    Yields float32 (B, 3, S, S) and int64 (C, B, t), t the longest caption of the batch and C the recipe's `captions_per_image`.
    """
    N, K = tokens.shape[:2]
    B, C = recipe.batch_size, min(recipe.captions_per_image, K)
    rows = torch.randperm(N * K if recipe.sampling == "rows" else N)
    for order in rows[: len(rows) - len(rows) % B].view(-1, B):
        if recipe.sampling == "rows":
            indices, drawn = order // K, order[:, None] % K  # (B,) which pictures, (B, 1) which captions
        else:
            indices, drawn = order, torch.rand(B, K).argsort(dim=1)[:, :C]  # (B,), (B, C)
        texts = drop_words(tokens[indices[:, None], drawn].flatten(0, 1), recipe.word_dropout)  # (B*C, T)
        texts = texts[:, : padding_mask(texts).sum(dim=1).max()].view(B, drawn.shape[1], -1).transpose(0, 1)  # (C, B, t)
        pictures = torch.from_numpy(dataset.images[indices.numpy()]).to(device)
        yield augment(pictures, recipe), texts.to(device)


def train_step(model, optimizer, images, tokens, recipe):
    """One step on images (B, 3, S, S) and tokens (C, B, T); returns the loss as a tensor.

    The pictures are encoded once and compared with each of the C sets of captions in turn: C losses, C times the signal,
    for little more than the price of one, since the image encoder does nearly all the work.
    """
    with autocast(images.device):
        image_features = model.encode_image(images, normalize=True).float()  # (B, D)
        text_features = [model.encode_text(captions, normalize=True).float() for captions in tokens]  # C times (B, D)
    scale = model.logit_scale.exp()
    if recipe.loss == "siglip":
        losses = [siglip_loss(image_features, features, scale, model.logit_bias) for features in text_features]
    else:
        losses = [clip_loss(image_features, features, scale, recipe.label_smoothing) for features in text_features]
    loss = torch.stack(losses).mean()
    if recipe.text_loss:  # captions of one picture belong together too: the first and the second, ..., the last and the first
        pairs = zip(text_features, text_features[1:] + text_features[:1])
        loss = loss + recipe.text_loss * torch.stack([clip_loss(a, b, scale, recipe.label_smoothing) for a, b in pairs]).mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    optimizer.step()
    model.clamp_logit_scale()
    return loss.detach()


@torch.no_grad()
def update_average(average, model, decay, step):
    """Move the weights of `average`, and its batch statistics, a little towards those of `model` (Polyak): less noise, better test results.

    decay: the share it keeps of itself, less in the first steps, when there is nothing yet worth keeping.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for mine, theirs in zip(average.state_dict().values(), model.state_dict().values()):
        if mine.is_floating_point():
            mine.lerp_(theirs, 1 - decay)
        else:
            mine.copy_(theirs)  # batch norm counts its batches


@torch.no_grad()
def encode_dataset(model, tokenizer, dataset, batch_size=250):
    """All of a dataset -> image features (N, D) and text features (N, K, D), of unit length, float32, on the CPU."""
    device, was_training = model.logit_scale.device, model.training
    model.eval()
    images = (torch.from_numpy(dataset.images[i : i + batch_size].copy()) for i in range(0, len(dataset), batch_size))  # a batch at a time in memory
    image_features = torch.cat([model.encode_image(batch.to(device), normalize=True).cpu() for batch in images])
    tokens = tokenize(tokenizer, dataset.captions).flatten(0, 1)  # (N*K, T)
    text_features = torch.cat([model.encode_text(batch.to(device), normalize=True).cpu() for batch in tokens.split(4 * batch_size)])
    model.train(was_training)
    return image_features, text_features.view(len(dataset), -1, text_features.shape[-1])


def evaluate(model, tokenizer, dataset):
    """`retrieval_metrics` of a model on all pictures and captions of a dataset, in percent."""
    return retrieval_metrics(*encode_dataset(model, tokenizer, dataset))


def train(recipe, seed=0, folder=None, resume=False, root=None, train_set=None, dev_set=None):
    """Train a recipe; returns the `Run`, with the weights of the epoch that did best on dev (mean recall).

    folder: where the run is kept (default: `run_folder(recipe, seed)`). resume: go on where an interrupted run there stopped,
    to the same result as if it had not been. root: the folder that contains the dataset's. train_set, dev_set: datasets to use
    instead of the recipe's. After each epoch the state is saved: Ctrl-C costs one epoch at most.
    Raises ValueError if the folder holds a run of another recipe or seed, or if a batch is larger than the training set.
    """
    folder = Path(folder or runs.run_folder(recipe, seed))
    runs.check_same_run(folder, recipe, seed)
    train_set = train_set or load_dataset(recipe.dataset, "train", recipe.stored_size, root)
    dev_set = dev_set or load_dataset(recipe.dataset, "dev", recipe.image_size, root)
    steps_per_epoch(train_set, recipe)  # a batch too large is refused before anything is written
    device = get_device()
    keep_freed_memory()
    seed_everything(seed)
    resumed = resume and (folder / "state.pt").exists()
    tokenizer = runs.stored_tokenizer(folder, recipe) if resumed else make_tokenizer(recipe, train_set.captions)
    tokens = tokenize(tokenizer, train_set.captions)  # (N, K, T)
    model = create_model(recipe).to(device, memory_format=memory_format(device))
    optimizer = make_optimizer(model, recipe)
    run = Run(copy.deepcopy(model) if recipe.ema else model, tokenizer, recipe, seed, folder)  # the model to judge and to keep
    (folder / "metrics.json").unlink(missing_ok=True)  # from here on the run is unfinished
    if resumed:
        runs.load_state(run, model, optimizer)
    else:
        (folder / "state.pt").unlink(missing_ok=True)  # of an earlier run, whose tokenizer may have been another
        runs.save_start(run)
    try:
        train_epochs(run, model, optimizer, train_set, dev_set, tokens)
    except KeyboardInterrupt:
        print(f"Stopped. {len(run.history)} of {recipe.epochs} epochs are kept in {shown(folder)}; resume=True (--resume) goes on from there.")
        raise
    runs.write(folder / "metrics.json", json.dumps(run.metrics, indent=1))
    return runs.load_run(folder)


def train_epochs(run, model, optimizer, train_set, dev_set, tokens):
    """The epochs that `run` still lacks. After each one its history grows by a row and everything is saved.

    model: the one that takes the steps; `run.model` is the same, or with `ema` its running average.
    """
    recipe = run.recipe
    steps = steps_per_epoch(train_set, recipe)
    with progress(total=recipe.epochs * steps, initial=len(run.history) * steps, unit="step") as bar:
        for epoch in range(len(run.history), recipe.epochs):
            start, losses = time.perf_counter(), []
            seed_everything(run.seed, epoch)  # an epoch depends on nothing random before it, so a resumed one is the same
            model.train()
            for i, (images, batch_tokens) in enumerate(batches(train_set, tokens, recipe, model.logit_scale.device)):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate_at(epoch * steps + i, recipe.epochs * steps, recipe) * group.get("lr_scale", 1)
                losses.append(train_step(model, optimizer, images, batch_tokens, recipe))
                if recipe.ema:
                    update_average(run.model, model, recipe.ema, epoch * steps + i)
                bar.update()
            loss, seconds = torch.stack(losses).mean().item(), time.perf_counter() - start
            dev = evaluate(run.model, run.tokenizer, dev_set)
            scale = run.model.logit_scale.exp().item()
            run.history.append({"epoch": epoch + 1, "loss": loss, "logit_scale": scale, "dev_mean_recall": dev["mean_recall"], "seconds": seconds})
            bar.set_postfix(loss=f"{loss:.2f}", scale=f"{scale:.1f}", dev_recall=f"{dev['mean_recall']:.1f}")
            if dev["mean_recall"] > run.metrics.get("dev", {}).get("mean_recall", -1):
                run.metrics |= {"dev": dev, "best_epoch": epoch + 1}
                runs.save_weights(run)
            run.metrics["train_seconds"] = sum(row["seconds"] for row in run.history)
            run.metrics["images_seen"] = (epoch + 1) * steps * recipe.batch_size
            runs.save_epoch(run, model, optimizer)


def load_or_train(recipe, seed=0, root=None, train_set=None, dev_set=None):
    """The finished run of a recipe (or of a recipe's name): loaded if it exists, else trained now, going on with an interrupted one.

    A run is found by its recipe and seed: with a `train_set` of your own give the recipe a name of its own as well.
    """
    from clipnb.recipes import RECIPES

    recipe = RECIPES[recipe] if isinstance(recipe, str) else recipe
    folder = runs.run_folder(recipe, seed)
    if runs.is_finished(folder):
        return runs.load_run(folder, recipe, seed)
    return train(recipe, seed, resume=True, root=root, train_set=train_set, dev_set=dev_set)
