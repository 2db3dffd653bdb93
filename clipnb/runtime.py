"""Where things lie, which device computes, how precisely, and how progress shows: all that depends on the machine."""

import contextlib
import ctypes
import os
import platform
import random
import shutil
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent

# What tests and the committed notebooks are run with, so that both give the same text everywhere.
NOTEBOOK_ENV = {"CLIPNB_PROGRESS": "0", "CLIPNB_PRECISION": "float32", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}


def data_dir():
    """The folder that contains the dataset folders: `CLIPNB_DATA`, or `data/` in the repository."""
    return Path(os.environ.get("CLIPNB_DATA") or ROOT / "data").expanduser()


def cache_dir():
    """The folder for what is made: decoded pictures, drawn scenes, runs. `CLIPNB_CACHE`, or `data/cache`; made if missing."""
    folder = Path(os.environ.get("CLIPNB_CACHE") or ROOT / "data" / "cache").expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def shown(path):
    """A path as text to print: relative to the repository where it lies inside, so that it reads the same on every machine."""
    path = Path(path).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


@contextlib.contextmanager
def replace_when_done(path):
    """Yield a temporary path beside `path` (for a file or a folder); it takes `path`'s place when the block ends well.

    On any error, Ctrl-C included, the temporary is removed and `path` is as it was: nothing is ever half written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield holder / path.name
        old = holder / ".old"
        while True:
            if path.is_dir():  # os.replace moves a folder only onto an empty one
                os.replace(path, old)
            try:
                os.replace(holder / path.name, path)
                break
            except BaseException as error:
                if old.exists():
                    os.replace(old, path)
                elif isinstance(error, OSError) and path.is_dir():  # another process made the same in this very moment
                    continue
                raise
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def get_device():
    """The device to compute on: `CLIPNB_DEVICE` (cpu, cuda, mps) if set, else the fastest here: CUDA, Apple's MPS, the CPU."""
    if name := os.environ.get("CLIPNB_DEVICE"):
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def has_bf16(device):
    """Whether bfloat16 is faster than float32 there: on most CUDA cards, and on CPUs with AMX.

    AVX512-BF16 alone is not enough: on such a Xeon convolutions took twice as long as in float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu.get_capabilities().get("amx_bf16"))
    return False


def memory_format(device):
    """How pictures and convolutions lie in memory: channels last, which is faster, but not on Apple's MPS, where it is slower."""
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def keep_freed_memory(keep=True):
    """Have the C library keep freed memory for the next tensor (`keep=False`: glibc's usual habit); elsewhere than on Linux nothing happens.

    Usually every tensor above 32 MB is handed back to the system and asked for anew, page by page: for the baseline at 224 px
    that is a third of a step.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(-3, 2**30 if keep else 2**25)  # M_MMAP_THRESHOLD: larger blocks are mapped one by one
            libc.mallopt(-1, 2**31 - 1 if keep else 2**26)  # M_TRIM_THRESHOLD: more free memory than that goes back


def autocast(device):
    """A context that computes in bfloat16 where the hardware has it, in float32 elsewhere or when `CLIPNB_PRECISION=float32`."""
    if os.environ.get("CLIPNB_PRECISION") != "float32" and has_bf16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def seed_everything(*seeds):
    """Seed Python's and torch's generators from a tuple of integers, such as (seed, epoch); nearby tuples give unrelated streams."""
    seed = random.Random(str(seeds)).getrandbits(63)
    random.seed(seed)
    torch.manual_seed(seed)


def progress(iterable=None, **options):
    """`tqdm.auto`, silenced by `CLIPNB_PROGRESS=0` (a bar is an output, and nbval compares outputs)."""
    from tqdm.auto import tqdm

    return tqdm(iterable, disable=os.environ.get("CLIPNB_PROGRESS") == "0", **options)


def cpu_name():
    """The processor's name, as the operating system gives it."""
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine():
    """What a run's record says of the computer: CPU, cores, GPU, operating system."""
    device = get_device()
    gpu = torch.cuda.get_device_name() if device.type == "cuda" else "Apple GPU" if device.type == "mps" else None
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "gpu": gpu, "system": f"{platform.system()} {platform.machine()}",
            "bf16": has_bf16(device)}


def versions():
    """Versions of Python and of the libraries that can move a number."""
    from importlib.metadata import version

    names = ["torch", "torchvision", "tokenizers", "pillow"]
    return {"python": ".".join(map(str, sys.version_info[:3])), **{name: version(name) for name in names}}
