"""The exercises of notebook 13: a large matrix, local labels, shares, shared batch norm, days."""

import itertools
from collections.abc import Callable

import torch

from clipnb.exercises import Properties, is_close


def matrix_gigabytes(answer: Callable) -> Properties:
    """Yield the properties of the size of a matrix of similarities, in gigabytes."""
    yield "A thousand pairs take 4 MB in float32.", is_close(answer(1000), 0.004)
    yield "Twice the pairs take four times as much.", is_close(answer(2000), 4 * answer(1000))
    yield "The paper's batch takes 4.3 GB.", is_close(answer(32_768), 4.294967296)


def local_labels(answer: Callable) -> Properties:
    """Yield the properties of the columns in which a process's own pairs stand."""
    labels = answer(3, 0)
    yield "There is a label for each of the b rows.", len(labels) == 3
    yield "The first process has the first columns.", is_close(labels, torch.arange(3))
    yield "They are whole numbers.", torch.as_tensor(labels).dtype == torch.int64
    yield "The third process has the third b columns.", is_close(answer(4, 2), 8 + torch.arange(4))
    together = torch.cat([torch.as_tensor(answer(5, rank)) for rank in range(4)])
    yield "All processes together have every column once.", is_close(together, torch.arange(20))


def shares_of_shards(answer: Callable) -> Properties:
    """Yield the properties of the shards that a worker of a process reads."""
    names = [f"shard-{i:02d}" for i in range(23)]
    yield "One process without helpers reads all.", sorted(answer(names, 0, 1, 0, 1)) == names
    for world_size, workers in ((2, 1), (1, 3), (4, 2)):
        places = itertools.product(range(world_size), range(workers))
        parts = [list(answer(names, rank, world_size, worker, workers)) for rank, worker in places]
        read = [name for part in parts for name in part]
        who = f"{world_size} processes with {workers} workers each"
        yield f"With {who} no shard is read twice.", len(set(read)) == len(read)
        yield f"With {who} none is left out.", set(read) == set(names)
        sizes = [len(part) for part in parts]
        yield f"With {who} the parts differ by one shard at most.", max(sizes) - min(sizes) <= 1


def whole_statistics(answer: Callable) -> Properties:
    """Yield the properties of mean and variance of a batch, from those of its equal parts."""
    torch.manual_seed(0)
    x = 3 + 2 * torch.randn(4, 6, 5, dtype=torch.float64)  # 4 parts of 6 rows with 5 channels
    x += torch.arange(4)[:, None, None]  # the parts differ
    means, variances = x.mean(dim=1), x.var(dim=1, correction=0)  # (4, 5) each
    mean, variance = answer(means, variances)
    yield "There is a mean and a variance for each channel.", mean.shape == variance.shape == (5,)
    yield "The mean is that of all rows.", is_close(mean, x.flatten(0, 1).mean(dim=0))
    right = x.flatten(0, 1).var(dim=0, correction=0)
    yield "The variance is that of all rows.", is_close(variance, right)
    mean, variance = answer(means[:1], variances[:1])
    yield "A single part keeps its own.", is_close(variance, variances[0])


def card_days(answer: Callable) -> Properties:
    """Yield the properties of the days that a number of cards takes for a run, in all."""
    day = 86_400
    yield (
        "A run of one FLOP a second takes its FLOPs in seconds.",
        is_close(answer(1 / 3, day, 1.0, 1.0), 1.0),
    )
    yield (
        "Twice the pairs take twice the days.",
        is_close(answer(1e9, 2e9, 1e15, 0.5), 2 * answer(1e9, 1e9, 1e15, 0.5)),
    )
    yield (
        "Half of the share takes twice the days.",
        is_close(answer(1e9, 1e9, 1e15, 0.2), 2 * answer(1e9, 1e9, 1e15, 0.4)),
    )
    yield (
        "It is right for ViT-L/14 on the paper's cards.",
        is_close(answer(175.3e9, 12.8e9, 125e12, 0.2), 3 * 175.3e9 * 12.8e9 / (125e12 * 0.2) / day),
    )
