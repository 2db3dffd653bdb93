"""A command in a process of its own, which is killed when it touches a file for the n-th time.

`start` forks the process from one that has imported the package already, so that it starts in a
moment. `python doomed.py ARGUMENTS` does the same in a fresh interpreter.
"""

import hashlib
import http.client
import importlib
import json
import multiprocessing
import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import torch

CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ["clipnb.cli", "clipnb.commands.runs", "clipnb.training", "clipnb.retrieval"]
PRELOADED += ["clipnb.search.store", "clipnb.datasets.shard_files", "clipnb.datasets.download"]
PRELOADED += ["clipnb.scenes", "PIL.Image", "tokenizers", "webdataset", "torchvision.transforms"]
CONTEXT.set_forkserver_preload(PRELOADED)

WRITES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "sqlite3.connect"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
LONG = 300  # seconds; a command that takes longer hangs


# ---- in the process --------------------------------------------------------------------------


def run(words, home, environment=None, settings=None, reads=False, at=None, signal=None):
    """Run a command, and send this process a signal when it touches a file for the n-th time.

    words: a command line of clipnb, or the name of a function below and its arguments. home: the
    folder of cache, output and count; what is written or read below its parent is a touch.
    settings: {"clipnb.module.NAME": value}. reads: a file that is read counts too. at: the n; with
    None the command goes on to its end.
    """
    if os.getpid() != os.getsid(0):
        os.setsid()  # its workers belong to the same session, where `list_alive` finds them
    os.environ.update(environment or {}, CLIPNB_CACHE=f"{home}/cache", TQDM_DISABLE="1")
    with open(f"{home}.log", "ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    time.perf_counter = lambda: 0.0  # no two trainings take equally long; all else is the same
    for name, value in (settings or {}).items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)
    watch_touches(home, reads, at, signal)
    if words[0] in FUNCTIONS:
        FUNCTIONS[words[0]](*words[1:])
        return
    from clipnb import cli

    sys.argv = list(words)
    cli.main()


def watch_touches(home, reads, at, signal):
    """Write a byte into HOME.touches at each touch, in workers too, and die at number `at`.

    The audit hook of Python is told before the file is opened, renamed or removed.
    """
    owner, root = os.getpid(), os.path.dirname(home)
    counter = os.open(f"{home}.touches", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

    def touch():
        os.write(counter, b".")
        # Two threads may touch at once, and then no one of them counts exactly to `at`.
        if at is not None and os.fstat(counter).st_size >= at:
            os.kill(owner, signal)

    def notice(event, arguments):
        is_touch = event in WRITES or (event == "open" and (reads or is_writing(arguments)))
        if is_touch and str(arguments[0]).startswith(root):
            touch()

    sys.addaudithook(notice)
    receive = http.client.HTTPResponse.read

    def receive_and_touch(*arguments):
        touch()  # a block that is downloaded counts too
        return receive(*arguments)

    http.client.HTTPResponse.read = receive_and_touch


def is_writing(arguments):
    """Tell whether a file is opened for writing. The arguments are path, mode and flags."""
    return isinstance(arguments[2], int) and arguments[2] & WRITING


# ---- what a process may run, beside the command line -----------------------------------------


def draw():
    from clipnb.datasets import dataset_folder

    dataset_folder("scenes")


def decode(*splits):
    from clipnb.datasets import load_dataset

    for split in splits:
        load_dataset("small", split, 24)


def download(url):
    from clipnb.datasets.download import download_flickr8k

    download_flickr8k(Path(os.environ["CLIPNB_DATA"]) / "flickr8k", url)


def index_pictures(folder, answer):
    """Index a folder by mean colours, and write what was done and the most memory it took."""
    from store_parts import Means, update

    import clipnb.search.updates as updates
    from clipnb.bench.streaming import read_own_memory

    save, memory = updates.Update.save, []

    def save_and_measure(*arguments):
        save(*arguments)
        memory.append(read_own_memory())

    updates.Update.save = save_and_measure
    report = update(folder, Means()).report
    found = {"images": report.images, "added": report.added, "encoded": report.encoded}
    found |= {"first": memory[min(20, len(memory) - 1)], "most": max(memory)}
    Path(answer).write_text(json.dumps(found))


FUNCTIONS = {each.__name__: each for each in (draw, decode, download, index_pictures)}


# ---- outside of it ---------------------------------------------------------------------------


def start(*arguments, **options):
    """Run a command in a process. Returns its exit status, as `subprocess` gives it."""
    process = CONTEXT.Process(target=run, args=arguments, kwargs=options)
    process.start()
    process.join(LONG)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"the command hangs: {arguments[0]}")
    wait_for_workers(process.pid)
    return process.exitcode


def wait_for_workers(session):
    """Wait until no process of a session is alive; fail if one lives on."""
    deadline = time.monotonic() + 30
    while (alive := list_alive(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive, f"processes that live on: {alive}"


def list_alive(session):
    """List the processes of a session that are no zombies. On Linux."""
    alive = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, own, *_ = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(own) == session and state != "Z":
            alive.append(int(path.parent.name))
    return alive


def count_touches(home):
    """Return how many touches there were."""
    return os.path.getsize(f"{home}.touches")


def list_tree(folder):
    """Return {path: SHA-256} of all files below a folder, hidden and temporary ones included.

    Of a database the rows count, however SQLite lays them out, and of a state of training the
    values, however pickle writes a text that occurs twice.
    """
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest(path) for path in files}


def digest(path):
    """Return the SHA-256 of a file, in hexadecimal digits. `list_tree` says what of it counts."""
    content = path.read_bytes()
    if path.suffix == ".pt":
        content = describe_state(torch.load(path, weights_only=True)).encode()
    if content.startswith(b"SQLite format 3\0"):
        with closing(sqlite3.connect(path)) as database:
            content = "\n".join(sorted(database.iterdump())).encode()
    return hashlib.sha256(content).hexdigest()


def describe_state(value):
    """Describe a state of training: its tensors by all their bytes."""
    if isinstance(value, dict):
        return "\n".join(f"{key!r}: {describe_state(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(describe_state, value))}]"
    if isinstance(value, torch.Tensor):
        return f"{value.dtype} {list(value.shape)} {value.numpy().tobytes().hex()}"
    return repr(value)


if __name__ == "__main__":
    run(**json.loads(sys.argv[1]))
