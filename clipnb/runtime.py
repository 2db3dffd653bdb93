"""All that depends on the machine: device, precision, seeds and progress bars.

Its folders are in places.py and the writing of files in disk.py; both can be imported from here.
"""

import contextlib
import ctypes
import multiprocessing
import multiprocessing.util
import operator
import os
import platform
import random
import sys
import threading
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from clipnb.disk import replace_when_done, write_file
from clipnb.places import ROOT, cache_dir, data_dir, display_path, is_repository, results_dir

# fmt: off
__all__ = [
    "NOTEBOOK_ENV", "ROOT", "autocast", "cache_dir", "cpu_name", "data_dir", "describe_machine",
    "display_path", "end_with_parent", "get_device", "has_bf16", "is_repository",
    "keep_freed_memory", "list_versions", "may_use_bf16", "memory_format", "progress",
    "replace_when_done", "results_dir", "seed_everything", "write_file",
]
# fmt: on

# Tests and committed notebooks run with these settings, so that both give the same text everywhere.
NOTEBOOK_ENV = {
    "TQDM_DISABLE": "1",
    "CLIPNB_PRECISION": "float32",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


def get_device() -> torch.device:
    """Return the device to compute on: `CLIPNB_DEVICE`, else the fastest one here.

    The order is CUDA, Apple's MPS, the CPU. Raises ValueError if `CLIPNB_DEVICE` is not here.
    """
    is_here = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    here = [name for name, there in is_here.items() if there]
    name = os.environ.get("CLIPNB_DEVICE") or here[0]
    if name.partition(":")[0] not in here:
        raise ValueError(f"CLIPNB_DEVICE={name} is no device here; choose from {', '.join(here)}.")
    return torch.device(name)


def has_bf16(device: torch.device) -> bool:
    """Tell whether bfloat16 is faster than float32 on a device.

    It is on most CUDA cards, and on CPUs with AMX. AVX512-BF16 alone is not enough: on such a
    Xeon convolutions took twice as long as in float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu.get_capabilities().get("amx_bf16"))
    return False


def memory_format(device: torch.device) -> torch.memory_format:
    """Return the memory layout in which convolutions are fastest on a device.

    It is channels last, except on Apple's MPS.
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def keep_freed_memory(keep: bool = True) -> None:
    """Make the C library keep freed memory for the next tensor. It has an effect on Linux only.

    By default (`keep=False`) glibc returns every tensor above 32 MB to the system, and the next
    one is mapped again page by page. For the baseline at 224 px that is a third of a step.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 2**30 if keep else 2**25)  # M_MMAP_THRESHOLD: larger blocks are mapped
        libc.mallopt(-1, 2**31 - 1 if keep else 2**26)  # M_TRIM_THRESHOLD: more than that is freed


def may_use_bf16(device: torch.device) -> bool:
    """Tell whether to compute in bfloat16: `has_bf16` says yes, `CLIPNB_PRECISION=float32` no."""
    return os.environ.get("CLIPNB_PRECISION") != "float32" and has_bf16(device)


def autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """Return a context that computes in bfloat16 where that is faster, else in float32.

    `CLIPNB_PRECISION=float32` turns bfloat16 off.
    """
    if may_use_bf16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def as_float(x: torch.Tensor) -> torch.Tensor:
    """Return a tensor in at least single precision. Sums and losses need more than half of that."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def seed_everything(*seeds: int) -> None:
    """Seed Python's and torch's generators from integers, such as (seed, epoch).

    Tuples that are close to each other give unrelated random numbers.
    """
    seeds = tuple(operator.index(seed) for seed in seeds)  # np.int64(0) is 0
    seed = random.Random(str(seeds)).getrandbits(63)
    random.seed(seed)
    torch.manual_seed(seed)


def end_with_parent() -> None:
    """Let this worker end when the process that started it is gone, however that ended.

    It waits for work in a pipe that it or other workers hold open too, so it would wait forever.
    """

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


# All forked workers end so: those of a DataLoader, which would keep the lock of a run that they
# have inherited, and those of the experiments, whose code protocols hold fixed.
multiprocessing.util.register_after_fork(end_with_parent, lambda end: end())


def progress(iterable: Iterable | None = None, **options: Any) -> Any:
    """Return a `tqdm.auto` bar. tqdm's own variable `TQDM_DISABLE=1` silences it.

    tqdm reads that variable in a terminal, but its notebook bar does not, so it is read here.
    """
    from tqdm.auto import tqdm

    options.setdefault("disable", os.environ.get("TQDM_DISABLE") == "1")
    return tqdm(iterable, **options)


def cpu_name() -> str:
    """Return the processor's name as the operating system gives it."""
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe_machine() -> dict:
    """Describe the computer for a record: CPU, cores, GPU, operating system, bfloat16."""
    device = get_device()
    names = {"cuda": torch.cuda.get_device_name, "mps": lambda: "Apple GPU"}
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "gpu": names[device.type]() if device.type in names else None,
        "system": f"{platform.system()} {platform.machine()}",
        "bf16": has_bf16(device),
    }


def list_versions() -> dict:
    """Return the versions of Python and of the libraries that can change a number."""
    python = ".".join(map(str, sys.version_info[:3]))
    names = ["torch", "torchvision", "tokenizers", "pillow"]
    return {"python": python, **{name: version(name) for name in names}}
