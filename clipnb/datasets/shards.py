"""Read shards: batches of image-text pairs in a seeded order, split by process and by worker."""

import functools
import hashlib
import json
import random
import warnings
from collections.abc import Iterator
from itertools import accumulate, chain, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from clipnb import distributed
from clipnb.datasets.shard_files import (
    INSTALL,
    advise_to_write,
    compute_digest,
    count_pairs,
    format_command,
    read_blocks,
    read_index,
)
from clipnb.places import check_path

BUFFER = 2048  # pairs that are mixed at a time
# Images whose captions a tokenizer is learned from, and whose ids a run notes. More of them no
# longer change its vocabulary much, and they would have to fit into memory.
MOST_CAPTIONED = 200_000

Batch = tuple[Tensor, list[list[str]]]


class ShardFolder:
    """The pairs of a folder of shards (see `write_shards`), read in batches and never all at once.

    An epoch shuffles the shards, then mixes their pairs in a buffer of `BUFFER` pairs. Both orders
    come from the seed and the epoch alone. Each process takes every `world_size`-th shard, and each
    of its workers a part of these, so no pair is read twice in an epoch. All processes take the
    same number of batches. What is left over of a process's pairs is left out of that epoch: with
    one process less than a batch, with several at most about a shard for each. Another epoch leaves
    out others.

    rank, world_size: which process this is, and of how many. By default torch.distributed says it.
    workers: how many processes of its own this one starts to read ahead; 0: it reads by itself, as
    it always does under `clipnb train`. Only Python sets it: `train(train_set=ShardFolder(...))`.

    Opening compares every shard with its SHA-256. One that was cut short is read as far as it goes,
    and a warning of the first process says its name and how many pairs are skipped. Raises
    FileNotFoundError if the folder holds no shards or one is missing, ValueError if one has changed
    since it was written or if there are fewer shards than processes and workers.
    """

    def __init__(
        self,
        folder: str | Path,
        rank: int | None = None,
        world_size: int | None = None,
        workers: int = 0,
    ):
        self.folder = check_path(folder)
        self.index = read_index(folder)
        self.name: str = self.folder.name
        self.image_size: int = self.index["image_size"]
        self.crop: bool = self.index["crop"]
        self.rank, self.world_size = find_place(rank, world_size)
        self.workers = workers
        first_blocks = accumulate((each["pairs"] for each in self.shards), initial=0)
        # Taken before the files are read: what is changed meanwhile is noticed later.
        self.stamps = {each["name"]: read_stamp(self.folder / each["name"]) for each in self.shards}
        self.counts = {
            each["name"]: check_shard(self.folder, self.index, each, first_block)
            for each, first_block in zip(self.shards, first_blocks, strict=False)
        }
        if self.rank == 0:
            self._warn_of_lost_pairs()
        n_parts = self.world_size * max(1, workers)
        if len(self.counts) < n_parts:
            smaller = self.index | {"pairs_per_shard": max(1, len(self) // (4 * n_parts))}
            raise ValueError(
                f"{folder}: {len(self.counts)} shards cannot be split among {n_parts} processes or "
                "workers; write smaller ones into another folder with "
                f"`{format_command(self.index['dataset'], 'FOLDER', smaller)}`."
            )

    @property
    def shards(self) -> list[dict]:
        """What the index says of each shard: name, pairs, bytes, sha256."""
        return self.index["shards"]

    def __len__(self) -> int:
        return sum(self.counts.values())

    def __repr__(self) -> str:
        return (
            f"ShardFolder({self.name}: {len(self)} images of {self.image_size} px in "
            f"{len(self.counts)} shards, from {self.index['dataset']})"
        )

    @property
    def captions(self) -> list[list[str]]:
        """The captions of the first `MOST_CAPTIONED` images, a list for each."""
        return [captions for _, captions in self._first_pairs]

    @property
    def image_ids(self) -> list[str]:
        """The ids of the first `MOST_CAPTIONED` images."""
        return [image_id for image_id, _ in self._first_pairs]

    @functools.cached_property
    def _first_pairs(self) -> list[tuple[str, list[str]]]:
        paths = (self.folder / name for name in self.counts)
        blocks = (about for path in paths for _, about in read_blocks(path, with_images=False))
        pairs = (zip(about["image_ids"], about["captions"], strict=True) for about in blocks)
        return list(islice(chain.from_iterable(pairs), MOST_CAPTIONED))

    @property
    def digest(self) -> str:
        """A digest of what an epoch reads: the shards, and how many pairs of each."""
        content = json.dumps([[each["sha256"] for each in self.shards], self.counts])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _warn_of_lost_pairs(self) -> None:
        """Warn of each shard that was cut short."""
        for each in self.shards:
            lost = each["pairs"] - self.counts[each["name"]]
            if lost:
                warnings.warn(
                    f"{each['name']} in {self.folder} was cut short: {lost} of its "
                    f"{each['pairs']} pairs are skipped.",
                    stacklevel=3,
                )

    def check_unchanged(self, name: str) -> None:
        """Raise ValueError if a shard holds other pairs than when the folder was opened.

        Its bytes are only read if its size or time is another one.
        """
        path = self.folder / name
        try:
            stamp = read_stamp(path)
            if stamp == self.stamps[name]:
                return
            place = [each["name"] for each in self.shards].index(name)
            first_block = sum(each["pairs"] for each in self.shards[:place])
            entry = self.shards[place]
            n_pairs = check_shard(self.folder, self.index, entry, first_block)
        except (FileNotFoundError, ValueError):
            n_pairs = None
        if n_pairs != self.counts[name]:
            raise ValueError(
                f"{path} has changed since training began. Put the former file back, then go on "
                "with the last state that was saved: add --resume to the same command."
            )
        self.stamps[name] = stamp

    def count_steps(self, batch_size: int) -> int:
        """Count the batches of an epoch. batch_size: of all processes together.

        It is the same for all epochs and processes: as many as fit into the part with the fewest
        pairs, whichever shards chance gives it. Raises ValueError if the processes do not divide
        the batch, or if there is not one batch.
        """
        size = distributed.share_batch_size(batch_size, self.world_size)
        workers = max(1, self.workers)
        n_shards = len(self.counts) // (self.world_size * workers)  # of a part, at least
        steps = workers * (sum(sorted(self.counts.values())[:n_shards]) // size)
        if not steps:
            raise ValueError(
                f"{self.folder}: a batch of {batch_size} pairs is larger than a process's or a "
                "worker's part of the shards; choose a smaller batch_size."
            )
        return steps

    def iterate_epoch(
        self, batch_size: int, n_captions: int, seed: int, epoch: int, first_step: int = 0
    ) -> Iterator[Batch]:
        """Iterate over the batches of an epoch that belong to this process.

        batch_size: of all processes together. n_captions: how many captions are drawn of each
        image, C. first_step: so many batches are left out, as they were taken before. Those that
        follow are the same as without it.

        Yields images uint8 (B, 3, S, S), B being this process's part of a batch, and C lists of B
        captions. Raises ValueError if a shard has changed since the folder was opened.
        """
        steps = self.count_steps(batch_size)
        size = distributed.share_batch_size(batch_size, self.world_size)
        part = EpochPart(self, size, n_captions, (seed, epoch), steps, first_step)
        batches = iter(part)
        if self.workers:
            batches = iter(DataLoader(part, batch_size=None, num_workers=self.workers))
        n_found = 0
        for batch in batches:
            n_found += 1
            yield batch
        if n_found < steps - first_step:
            raise ValueError(
                f"{self.folder}: a shard has lost pairs since training began. Go on with the last "
                "state that was saved: add --resume to the same command."
            )

    def find_image_ids(self, batch_size: int, seed: int, epoch: int, step: int) -> list[str]:
        """Find the images of one batch of an epoch, process after process, by reading them again.

        batch_size, seed, epoch: as in `iterate_epoch`. step: the number of the batch, from 0 on.
        """
        size = distributed.share_batch_size(batch_size, self.world_size)
        workers = max(1, self.workers)
        first = step // workers * size  # each worker gives every `workers`-th batch
        found = []
        for rank in range(self.world_size):
            part = rank * workers + step % workers
            pairs = iterate_pairs(self, (seed, epoch), part, self.world_size * workers)
            found += [image_id for _, _, image_id in islice(pairs, first, first + size)]
        return found


class EpochPart(IterableDataset):
    """What one process, or one of its workers, reads in an epoch.

    A `DataLoader` takes a batch of each worker in turn, and every worker has equally many. So the
    batches that are left out at the beginning are known for each of them.
    """

    def __init__(
        self,
        shards: ShardFolder,
        size: int,
        n_captions: int,
        seeds: tuple[int, int],
        steps: int,
        first_step: int,
    ):
        self.shards = shards
        self.size = size
        self.n_captions = n_captions
        self.seeds = seeds
        self.steps = steps
        self.first_step = first_step

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        worker = (worker + self.first_step) % workers  # the first worker gives the first batch
        part = self.shards.rank * workers + worker
        n_parts = self.shards.world_size * workers
        pairs = iterate_pairs(self.shards, self.seeds, part, n_parts)
        own_first = len(range(worker, self.first_step, workers))
        for step in range(self.steps // workers):
            rows = list(islice(pairs, self.size))
            if len(rows) < self.size:
                return
            if step < own_first:
                continue
            # The draws of a batch depend on no batch before it.
            generator = random.Random(str((self.seeds, part, step)))
            n = min(self.n_captions, len(rows[0][1]))
            drawn = [generator.sample(captions, n) for _, captions, _ in rows]  # B lists of C
            images = torch.from_numpy(np.stack([image for image, _, _ in rows]))
            yield images, [list(own) for own in zip(*drawn, strict=True)]


def iterate_pairs(
    shards: ShardFolder, seeds: tuple[int, int], part: int, n_parts: int
) -> Iterator[tuple[np.ndarray, list[str], str]]:
    """Iterate over the pairs of one part of the shards, in the order that the seeds give.

    Yields an image, uint8 (3, S, S), its captions and its id.
    """
    try:
        from webdataset.filters import shuffle
    except ModuleNotFoundError:
        raise ModuleNotFoundError(INSTALL, name="webdataset") from None
    names = list(shards.counts)
    random.Random(str(seeds)).shuffle(names)  # the same order in all processes
    own = names[part::n_parts]
    pairs = (
        (image.copy(), captions, image_id)  # a view would keep its whole block in memory
        for name in own
        for images, about in read_unchanged_blocks(shards, name)
        for image, captions, image_id in zip(
            images, about["captions"], about["image_ids"], strict=True
        )
    )
    generator = random.Random(str((seeds, part)))
    yield from shuffle(BUFFER, initial=BUFFER, rng=generator)(pairs)


def read_unchanged_blocks(
    shards: ShardFolder, name: str
) -> Iterator[tuple[np.ndarray | None, dict]]:
    """Read the blocks of a shard (see `read_blocks`), unless it has changed since it was opened."""
    shards.check_unchanged(name)
    yield from read_blocks(shards.folder / name)


def read_stamp(path: Path) -> tuple[int, int]:
    """Return the size of a file and when it was last written."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def find_place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return which process this is, and of how many; if both are None, torch.distributed says it.

    Raises ValueError if one alone is given, or if there is no such process.
    """
    if rank is not None or world_size is not None:
        if rank is None or world_size is None or not 0 <= rank < world_size:
            raise ValueError(
                f"there is no process {rank} of {world_size}; give rank and world_size, the rank "
                "from 0 on, or neither."
            )
        return rank, world_size
    return distributed.rank(), distributed.world_size()


def check_shard(folder: Path, index: dict, entry: dict, first_block: int) -> int:
    """Compare a shard with its entry in the index. Returns how many of its pairs can be read.

    first_block: the number at which its blocks begin. One that was cut short lacks pairs. Raises
    ValueError for one that has changed, or that is another shard, cut short or not.
    """
    path = folder / entry["name"]
    if path.stat().st_size < entry["bytes"]:
        try:
            n_pairs = count_pairs(path, first_block)
        except (ValueError, LookupError, TypeError, EOFError):  # damage in what is left of it
            n_pairs = None
        if n_pairs is not None:
            return n_pairs
    elif compute_digest(path) == entry["sha256"]:
        return entry["pairs"]
    raise ValueError(
        f"{path} has changed since it was written; put the former file back, or "
        f"{advise_to_write(folder, index)}, which writes it anew."
    )
