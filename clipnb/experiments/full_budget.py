"""The baseline at the budget of its original: batches of 1,024, 32 epochs, about a million pairs.

The original (duoan/ReplicateAI, results/README.md) shuffles caption rows and splits them, so that
nearly every test row shows a training image, and computes the loss alone. Here the same model is
trained on the official split, with batches of rows and with batches of images, and once more on the
original's own kind of split.
"""

import dataclasses
import datetime
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.features import encode_dataset
from clipnb.losses import clip_loss
from clipnb.metrics import bootstrap_intervals, retrieval_ranks, summarize_ranks
from clipnb.model import create_model
from clipnb.recipes import BASELINE_FULL, BASELINE_FULL_IMAGES
from clipnb.records import write_record
from clipnb.runs import Run
from clipnb.runtime import describe_machine, get_device, list_versions, results_dir
from clipnb.training import load_or_train

# Each "image" of this training set is a caption row, so an epoch visits every row once.
BASELINE_LEAKY = dataclasses.replace(BASELINE_FULL, name="baseline_leaky", sampling="images")
SHARE = 0.8  # of the rows, for training
N_GALLERY = 1000  # pairs in a gallery, no image twice: as many as the official test has images
N_DRAWS = 2000  # batches drawn to estimate the floor of the loss


@dataclass
class RowImages:
    """The image of each caption row, without a copy for each row.

    images: uint8 (N, 3, S, S). rows: int (R,), which image belongs to a row.
    """

    images: np.ndarray
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that an array with a copy for each row would have, (R, 3, S, S)."""
        return (len(self.rows), *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: slice | list | np.ndarray) -> np.ndarray:
        return self.images[self.rows[which]]


def join_splits() -> CaptionDataset:
    """Return all photos of Flickr8k's official splits as one dataset."""
    parts = [load_dataset("flickr8k", split, 224) for split in ("train", "dev", "test")]
    return CaptionDataset(
        "flickr8k",
        "all",
        images=np.concatenate([part.images for part in parts]),
        captions=[own for part in parts for own in part.captions],
        image_ids=[name for part in parts for name in part.image_ids],
    )


def split_caption_rows(dataset: CaptionDataset, seed: int) -> tuple[CaptionDataset, CaptionDataset]:
    """Split caption rows at random, as the original does: 80 % to train on, 20 % to judge by.

    Each row is an image with one caption, so an image can be on both sides.
    """
    rows = [(i, k) for i, own in enumerate(dataset.captions) for k in range(len(own))]
    random.Random(seed).shuffle(rows)
    n_train = round(SHARE * len(rows))
    return take_rows(dataset, rows[:n_train]), take_rows(dataset, rows[n_train:])


def take_rows(dataset: CaptionDataset, rows: Sequence[tuple[int, int]]) -> CaptionDataset:
    """Return a dataset of caption rows. rows: the image's number and its caption's, for each."""
    return CaptionDataset(
        dataset.name,
        "rows",
        images=RowImages(dataset.images, np.array([i for i, _ in rows])),
        captions=[[dataset.captions[i][k]] for i, k in rows],
        image_ids=[f"{dataset.image_ids[i]}#{k}" for i, k in rows],
    )


def keep_distinct(dataset: CaptionDataset, n: int = N_GALLERY) -> CaptionDataset:
    """Return the first n rows of a dataset of rows that show different images."""
    _, first = np.unique(dataset.images.rows, return_index=True)
    kept = np.sort(first)[:n]
    return dataclasses.replace(
        dataset,
        images=RowImages(dataset.images.images, dataset.images.rows[kept]),
        captions=[dataset.captions[i] for i in kept],
        image_ids=[dataset.image_ids[i] for i in kept],
    )


# ---- judging ---------------------------------------------------------------------------------


def load_last_weights(run: Run) -> Run:
    """Return a run with the weights of its last epoch."""
    model = create_model(run.recipe).to(get_device())
    state = torch.load(run.folder / "state.pt", map_location=get_device(), weights_only=True)
    model.load_state_dict(state["model"])
    return dataclasses.replace(run, model=model.eval())


def judge_pairs(run: Run, gallery: CaptionDataset) -> dict:
    """Judge a run on N images with one caption each: recalls, their intervals, and the loss.

    The loss is that of one batch of all N pairs, so a model that knows nothing has ln N.
    """
    image_features, text_features = encode_dataset(run.model, run.tokenizer, gallery)
    ranks = retrieval_ranks(image_features, text_features)
    return {
        "n_pairs": len(gallery),
        "chance_loss": math.log(len(gallery)),
        "loss": find_loss(run, image_features, text_features[:, 0]),
        "metrics": summarize_ranks(*ranks),
        "intervals": bootstrap_intervals(*ranks),
    }


def find_loss(run: Run, image_features: Tensor, text_features: Tensor) -> float:
    """Return the loss of one batch of features (B, D)."""
    scale = run.model.logit_scale.exp().cpu()
    with torch.no_grad():
        return clip_loss(image_features, text_features, scale).item()


def find_batch_loss(run: Run, rows: CaptionDataset) -> float:
    """Return the mean loss over whole batches of rows, as the original judges a run."""
    image_features, text_features = encode_dataset(run.model, run.tokenizer, rows)
    B = run.recipe.batch_size
    starts = range(0, len(rows) - B + 1, B)
    losses = [
        find_loss(run, image_features[i : i + B], text_features[i : i + B, 0]) for i in starts
    ]
    return sum(losses) / len(losses)


def estimate_floor(n_images: int, n_captions: int, batch_size: int) -> float:
    """Estimate the loss of a perfect model in batches of rows, in nats.

    Rows of one image are right answers to each other, but the loss takes them for wrong ones. A
    perfect model gives all m captions of an image in the batch the same score, so each of these
    rows has the loss ln m.
    """
    rng = np.random.default_rng(0)
    floors = []
    for _ in range(N_DRAWS):
        rows = rng.choice(n_images * n_captions, size=batch_size, replace=False)
        _, counts = np.unique(rows // n_captions, return_counts=True)
        floors.append((counts * np.log(counts)).sum() / batch_size)
    return float(np.mean(floors))


# ---- the study -------------------------------------------------------------------------------


def run_official(name: str, seed: int) -> dict:
    """Train a recipe on the official split and judge it on test, with one caption an image.

    The results with all five captions are in results/runs/.
    """
    run = load_or_train(name, seed)
    test_set = load_dataset("flickr8k", "test", run.recipe.image_size)
    gallery = dataclasses.replace(test_set, captions=[own[:1] for own in test_set.captions])
    return {
        "history": run.history,
        "best epoch": judge_pairs(run, gallery),
        "last epoch": judge_pairs(load_last_weights(run), gallery),
    }


def run_leaky(seed: int) -> dict:
    """Train on 80 % of all caption rows and judge by the rest, as the original does."""
    train_set, rest = split_caption_rows(join_splits(), seed)
    gallery = keep_distinct(rest)
    run = load_or_train(BASELINE_LEAKY, seed, train_set=train_set, dev_set=gallery)
    last = load_last_weights(run)
    seen = set(train_set.images.rows.tolist())
    return {
        "history": run.history,
        "share of images seen in training": np.mean([i in seen for i in rest.images.rows]).item(),
        "loss in batches of 1,024": find_batch_loss(last, rest),
        "best epoch": judge_pairs(run, gallery),
        "last epoch": judge_pairs(last, gallery),
    }


def record_full_budget(n_seeds: int = 3) -> str:
    """Train and judge all three ways for seeds 0, 1, ..., and write the record. Returns its path.

    Each run takes about an hour on two cores with bfloat16; an interrupted one goes on.
    """
    seeds = range(n_seeds)
    rows, images = BASELINE_FULL.name, BASELINE_FULL_IMAGES.name
    record = {
        "dataset": "flickr8k",
        "seeds": list(seeds),
        "chance_loss": math.log(BASELINE_FULL.batch_size),
        "floor": estimate_floor(6000, 5, BASELINE_FULL.batch_size),  # with batches of rows
        "official": {name: [run_official(name, seed) for seed in seeds] for name in (rows, images)},
        "leaky": [run_leaky(seed) for seed in seeds],
        "machine": describe_machine(),
        "versions": list_versions(),
        "date": datetime.date.today().isoformat(),
        "command": f"python -m clipnb experiment full_budget --seeds {n_seeds}",
    }
    return write_record(results_dir() / "full_budget" / "flickr8k.json", record, indent=1)
