"""Several processes that train one model, started by torchrun: each takes a share of every batch.

All processes hold the same weights and draw the same batch. Each one encodes its own rows, and
sends their features to the others. Its loss is that of its own rows, and the mean of these losses
over the processes is the loss of the whole batch, so the mean of the gradients is the gradient.

DistributedDataParallel averages gradients too, and sends some while others are still computed. Here
they are averaged in one message, because it wraps a model and so hides its methods, and our models
are small. Without torchrun there is one process, and every function here does nothing.
"""

import contextlib
import datetime
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.runtime import get_device

FAILED, STOPPED = 2, 130  # the exit status after an error, and after Ctrl-C
PAUSE = 0.02  # seconds between two answers of the first process
SLOWER = 5  # seconds in which the first process tells what has failed
LONGEST_WAIT = datetime.timedelta(hours=2)  # while the first process decodes images or evaluates


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0 on."""
    return dist.get_rank() if world_size() > 1 else 0


def is_first() -> bool:
    """Tell whether this is the first process, which alone writes, evaluates and prints."""
    return rank() == 0


# ---- starting and failing --------------------------------------------------------------------


@contextlib.contextmanager
def join_processes() -> Iterator[None]:
    """Join the processes that torchrun has started, for the length of a block.

    They talk through gloo on CPUs and through NCCL on CUDA, one card a process. All but the first
    print nothing, and are slower to fail: torchrun ends all processes as soon as one has failed, so
    an error that all of them meet is told once. Raises ValueError if there are more processes than
    cards, or for Apple's MPS.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    is_zero = int(os.environ["RANK"]) == 0  # `is_first` does not know it before they have joined
    try:
        join_as_told(get_device())
        with contextlib.nullcontext() if is_zero else contextlib.redirect_stdout(None):
            yield
    except KeyboardInterrupt:
        if is_zero:
            raise
        sys.exit(STOPPED)  # Ctrl-C reaches all of them
    except (Exception, SystemExit) as error:
        if not is_zero:
            time.sleep(SLOWER)
        if is_of_messages(error):
            raise RuntimeError(
                "another process of this training has ended, or cannot be reached, and this one "
                "cannot go on without it. What torchrun says below tells which one. To go on from "
                "the last state that was saved, add --resume to the same command."
            ) from error
        raise
    dist.destroy_process_group()


def join_as_told(device: torch.device) -> None:
    """Join the processes that torchrun's variables name. See `join_processes`."""
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"several processes cannot share {device.type}; set CLIPNB_DEVICE=cpu.")
    if device.type == "cuda":
        n_cards = torch.cuda.device_count()
        if int(os.environ["LOCAL_WORLD_SIZE"]) > n_cards:
            raise ValueError(
                f"each process needs a card of its own; set --nproc-per-node {n_cards} or less."
            )
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, own_rank, size = next(dist.rendezvous("env://"))
    # torchrun may keep its store for a restart, with the addresses of the processes that failed.
    store = dist.PrefixStore(agree_on_start(store, own_rank, size), store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(
        backend, store=store, rank=own_rank, world_size=size, timeout=LONGEST_WAIT
    )


def agree_on_start(store: dist.Store, own_rank: int, size: int) -> str:
    """Return a name of this start, which all processes of it know and none of an earlier one.

    torchrun counts restarts, but of several machines only on that of the failed process. So each
    process asks under a name of its own, and the first one answers until it has been understood: a
    question that it finds may be one that an earlier start has left in the store.
    """
    own_name = uuid.uuid4().hex
    if own_rank > 0:
        store.set(f"question {own_rank}", own_name)
        start = store.get(f"answer to {own_name}").decode()
        store.set(f"{start} understood {own_rank}", "yes")
        return start
    for other in range(1, size):
        while not store.check([f"{own_name} understood {other}"]):
            question = store.get(f"question {other}").decode()
            store.set(f"answer to {question}", own_name)
            time.sleep(PAUSE)
    return own_name


def is_of_messages(error: BaseException) -> bool:
    """Tell whether an error comes from gloo or NCCL, which carry what the processes say."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error).lower()
    )


def was_restarted() -> bool:
    """Tell whether torchrun has started the processes anew, because one of them had failed.

    On several machines only the one of the failed process counts the restart, so all are asked.
    """
    return any(gather_objects(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0))


def find_launch() -> str | None:
    """Return torchrun's name of this launch, which a restart keeps; None without torchrun.

    On one machine torchrun draws it. For several it is what all of them were given as --rdzv-id.
    """
    return os.environ.get("TORCHELASTIC_RUN_ID")


def on_first(action: Callable[[], Any]) -> Any:
    """Call a function in the first process, and return in all of them what it returned.

    Its error is raised there, and the other processes end without a word.
    """
    if world_size() == 1:
        return action()
    result, problem = None, None
    if is_first():
        try:
            result = action()
        except Exception as error:
            problem = error
    message = [result, problem is not None]
    dist.broadcast_object_list(message)
    if problem:
        raise problem
    if message[1]:
        sys.exit(FAILED)
    return message[0]


def share_batch_size(batch_size: int, n: int) -> int:
    """Return how many rows of a batch each of n processes takes.

    Raises ValueError if they cannot share it evenly.
    """
    if batch_size % n:
        even = max(n, batch_size // n * n)
        raise ValueError(
            f"batch_size {batch_size} cannot be shared evenly by {n} processes; choose another "
            f"--nproc-per-node, or --set batch_size={even}."
        )
    return batch_size // n


def check_same_data(tokens: Tensor) -> None:
    """Raise ValueError if a process has other tokens (N, K, T) than the first one."""
    place = torch.arange(1, 1 + tokens.numel())
    check_same("captions", (tuple(tokens.shape), int((tokens.flatten() * place).sum())))


def check_same_options(options: dict[str, Any]) -> None:
    """Raise ValueError in all processes, naming what differs, if one has other options.

    Every machine has a command of its own, so they can differ. The processes would train different
    models, and take the mean of their gradients for that of one.
    """
    all_options = gather_objects(options)
    for number, each in enumerate(all_options):
        if names := [name for name, value in each.items() if all_options[0].get(name) != value]:
            raise ValueError(
                f"process {number} was started with other options than process 0 "
                f"({', '.join(names)}); give every machine the same command."
            )


def check_same(what: str, content: Any) -> None:
    """Raise ValueError in all processes if one of them has read other data than the first one.

    what: the name of the data. content: what tells it from other data.
    """
    contents = gather_objects(content)
    for number, each in enumerate(contents):
        if each != contents[0]:
            raise ValueError(
                f"process {number} has read other {what} than process 0; give every machine the "
                "same dataset."
            )


# ---- shares ----------------------------------------------------------------------------------


def take_share(rows: Tensor, dim: int = 0) -> Tensor:
    """Return the rows of a whole batch that are this process's own."""
    return rows.tensor_split(world_size(), dim)[rank()]


def keep_draws_alike(batches: Iterator[tuple]) -> Iterator[tuple]:
    """Iterate over batches that all processes draw alike, whatever they draw between two of them.

    What a step draws, which is dropout, comes from random numbers that each process has of its own.
    """
    if world_size() == 1:
        yield from batches
        return
    of_batches = get_random_state()
    torch.manual_seed(torch.initial_seed() // 2 + 1 + rank())
    while True:
        of_steps = get_random_state()
        set_random_state(of_batches)
        batch = next(batches, None)
        of_batches = get_random_state()
        set_random_state(of_steps)
        if batch is None:
            return
        yield batch


def get_random_state() -> list[Tensor]:
    """Return the states of torch's generators: of the CPU, and of this process's card."""
    state = [torch.get_rng_state()]
    return [*state, torch.cuda.get_rng_state()] if get_device().type == "cuda" else state


def set_random_state(state: list[Tensor]) -> None:
    """Set torch's generators to what `get_random_state` returned."""
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.cuda.set_rng_state(state[1])


# ---- messages --------------------------------------------------------------------------------


class _Gather(torch.autograd.Function):
    """The tensors of all processes, stacked. The gradient comes back from all of them."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        """Return (R, ...) of R processes."""
        return gather_numbers(own)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Add up the gradients (R, ...) of all processes, and return this one's part."""
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)  # what the losses of all R processes say about each feature
        return gradient[rank()]


class _PassOn(torch.autograd.Function):
    """The tensor of the process before this one in a ring. Its gradient goes back there."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        """Return what the process before has sent."""
        return send_round(own, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient of what this process has sent to the next one."""
        return send_round(gradient, -1)


def send_round(own: Tensor, step: int) -> Tensor:
    """Send a tensor `step` processes on in a ring of all, and return the one that arrives."""
    own, arriving = own.contiguous(), torch.empty_like(own, memory_format=torch.contiguous_format)
    receiver, sender = (rank() + step) % world_size(), (rank() - step) % world_size()
    messages = [dist.P2POp(dist.isend, own, receiver), dist.P2POp(dist.irecv, arriving, sender)]
    for message in dist.batch_isend_irecv(messages):
        message.wait()
    return arriving


def pass_on(own: Tensor) -> Tensor:
    """Give a tensor to the next process in a ring, and return that of the one before.

    It keeps its gradient. All processes give tensors of the same shape.
    """
    return _PassOn.apply(own)


def gather_objects(own: Any) -> list:
    """Return what each of the R processes has, R objects of Python."""
    objects = [own] * world_size()
    if world_size() > 1:
        dist.all_gather_object(objects, own)
    return objects


def gather_numbers(own: Tensor) -> Tensor:
    """Return the tensors of all R processes, (R, ...), without gradients."""
    parts = own.new_empty((world_size(), *own.shape))
    dist.all_gather(list(parts), own.contiguous())
    return parts


def gather_features(own: list[Tensor]) -> list[Tensor]:
    """Return the features of the whole batch: of each tensor (b, D) the one of B rows.

    They keep their gradients, and all travel in one message. One process gets its own ones back.
    """
    if world_size() == 1:
        return own
    parts = _Gather.apply(torch.stack(own))  # (R, n, b, D)
    return list(parts.transpose(0, 1).flatten(1, 2))  # n times (B, D)


def gather_tokens(own: Tensor) -> Tensor:
    """Return the tokens of the whole batch (C, B, T), of the shares (C, b, t) of all processes.

    With shards each process trims its own share, so the lengths t differ. Zeros fill them up.
    """
    if world_size() == 1:
        return own
    length = torch.tensor(own.shape[-1], device=own.device)
    missing = int(gather_numbers(length).max() - length)
    return torch.cat(list(gather_numbers(F.pad(own, (0, missing)))), dim=1)


def average_gradients(model: nn.Module) -> None:
    """Replace the gradients of a model by their mean over the processes, in one message."""
    if world_size() == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world_size()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


def average_losses(loss: Tensor) -> Tensor:
    """Return the mean of a scalar over the processes, which is the loss of the whole batch."""
    return loss if world_size() == 1 else gather_numbers(loss).mean()


def copy_weights(model: nn.Module) -> None:
    """Copy the weights of the first process, and its batch statistics, to all others."""
    if world_size() > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)
