"""Killed at any moment, the same command goes on to the same bytes, and nothing is left over."""

import shutil
import signal
import sys
import threading
from dataclasses import dataclass, field

import pytest
from doomed import count_touches, list_tree, start
from download_parts import Server

from clipnb.scenes import write_scenes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks for workers in /proc")

FIELDS = {
    "image_encoder": "tiny_cnn",
    "image_size": 16,
    "stored_size": 16,
    "vocab_size": 200,
    "embed_dim": 16,
    "epochs": 3,
    "batch_size": 16,
}
TINY = [f"--set={field}={value}" for field, value in FIELDS.items()]
TRAIN = ["clipnb", "train", "--recipe", "quick", "--dataset", "{dataset}", *TINY]
SPLITS = ("train", "dev", "test")


@dataclass
class Command:
    """A command that is killed n times, at touches of files that are spread over its whole length.

    words: as in `doomed.run`, where {root}, {home}, {url} and {dataset} stand for those of the try.
    reads: a file that it reads counts as a touch too. settings: {"clipnb.module.NAME": value}, so
    that it saves or shares its work more often. before: the command whose outcome is there already.
    """

    words: list
    n: int
    dataset: str = "small"
    reads: bool = False
    settings: dict = field(default_factory=dict)
    before: str | None = None


MANY_SAVES = {"clipnb.streaming.SAVE_EVERY": 2}
SMALL_JOBS = {"clipnb.scenes.IMAGES_PER_JOB": 5}
FEW_SCENES = {"clipnb.scenes.COUNTS": dict.fromkeys(SPLITS, 20)}
COMMANDS = {
    "training": Command([*TRAIN, "--resume"], 18),
    "training again": Command(TRAIN, 10, before="training"),
    "training from shards": Command([*TRAIN, "--resume"], 12, "{root}/shards", settings=MANY_SAVES),
    "drawing": Command(["draw"], 10, settings=SMALL_JOBS | FEW_SCENES),
    "decoding": Command(["decode", *SPLITS], 10, reads=True),
    "writing shards": Command(
        ["clipnb", "shards", "small", "{home}/out", "--image-size=16", "--pairs=6"], 10
    ),
    "indexing": Command(
        ["clipnb", "index", "{root}/data/small/Images", "--run={root}/run"],
        12,
        reads=True,
        settings={"clipnb.search.updates.BATCH_SIZE": 8},
    ),
    "downloading": Command(["download", "{url}"], 12),
}
POINTS = [(name, i) for name, command in COMMANDS.items() for i in range(command.n)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a dataset, its shards, a trained run, and a server of two archives."""
    root = tmp_path_factory.mktemp("place")
    write_scenes(root / "data" / "small", {"train": 48, "dev": 20, "test": 20}, size=24, workers=1)
    place = Place(root)
    shutil.copytree(place.finish("writing shards") / "out", root / "shards")
    (run,) = (place.finish("training") / "cache" / "runs").iterdir()
    shutil.copytree(run, root / "run")
    yield place
    place.server.shutdown()
    place.server.server_close()


class Place:
    """Where the commands run, and what each of them makes if nothing disturbs it."""

    def __init__(self, root):
        self.root = root
        self.server = Server()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.finished = {}

    def finish(self, name):
        """Return the folder of a command that was not disturbed."""
        if name not in self.finished:
            home = self.make_home(name, "undisturbed")
            assert self.start(name, home) == 0, read_log(home)
            self.finished[name] = home
        return self.finished[name]

    def make_home(self, name, number):
        """Make a folder for one try of a command. The outcome of the command before is in it."""
        home = self.root / f"{name} {number}"
        before = COMMANDS[name].before
        if before:
            shutil.copytree(self.finish(before), home)
        home.mkdir(exist_ok=True)
        return home

    def start(self, name, home, at=None, how=None):
        """Run a command in a process, and return its exit status: 0, or minus the signal.

        at, how: the number of the touch at which it is killed, and the signal.
        """
        command = COMMANDS[name]
        values = {"root": self.root, "home": home, "url": self.server.url}
        values["dataset"] = command.dataset.format(**values)
        words = [word.format(**values) for word in command.words]
        data = home if name == "downloading" else self.root / "data"
        environment = {"CLIPNB_DATA": str(data), "no_proxy": "127.0.0.1"}
        options = {"settings": command.settings, "reads": command.reads, "at": at, "signal": how}
        return start(words, str(home), environment, **options)


def read_log(home):
    with open(f"{home}.log", encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize("name, number", POINTS, ids=lambda value: str(value))
def test_a_killed_command_goes_on_to_the_same_bytes(name, number, place, record_property):
    whole = place.finish(name)
    expected = list_tree(whole)
    at = 1 + round((count_touches(whole) - 1) * number / COMMANDS[name].n)  # 1 is the first touch
    how = signal.SIGTERM if number % 4 == 3 else signal.SIGKILL
    home = place.make_home(name, number)
    before = list_tree(home)
    assert place.start(name, home, at, how) == -how, read_log(home)
    if COMMANDS[name].before:  # what was finished is still there
        assert before.items() <= list_tree(home).items()
    assert place.start(name, home) == 0, read_log(home)
    assert list_tree(home) == expected
    record_property("kill points", 1)
    shutil.rmtree(home)
