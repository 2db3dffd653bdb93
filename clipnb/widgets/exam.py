"""The exam of the prompt laboratory: which typed name stands for which class of the images."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Exam:
    """Names as a reader typed them, and the class of the images that each stands for.

    classes: one for each name; None for a name that is a wrong answer for every image. n_images:
    how many images show one of the classes. n_others: how many show none, and are left out.
    """

    names: list[str]
    classes: list[str | None]
    n_images: int
    n_others: int

    @property
    def asked(self) -> list[str]:
        """The classes that the exam asks about."""
        return [name for name in self.classes if name is not None]


def fold(name: str) -> str:
    """Return what two spellings of a name share: letters in lower case, accents joined with them.

    A Mac writes the "ä" of a file's name as two characters, and a keyboard writes one.
    """
    return unicodedata.normalize("NFC", name).casefold()


def read_exam(text: str, truth: Sequence[str], start: Sequence[str]) -> Exam:
    """Read what a reader typed: names, or `class = name`, separated by commas.

    truth: what each image shows. start: the classes that the exam starts with. A name that some
    image shows stands for itself. Another name stands for the class at its place in `start`, so
    "puppy, cat" means "dog = puppy, cat" if the exam starts with dog and cat. If this class has a
    name already, or there is none at this place, the name is a wrong answer for every image. Upper
    and lower case are the same.

    Raises ValueError, in words, for a text that makes no exam.
    """
    known = {fold(name): name for name in truth}
    names: list[str] = []
    classes: list[str | None] = []
    for part in text.split(","):
        wanted, equals, name = part.rpartition("=")
        name = name.strip()
        if not name and not equals:  # nothing between two commas keeps its place
            names.append("")
            classes.append(None)
        else:
            shown = _read_class(wanted, name, known) if equals else known.get(fold(name))
            names.append(name if equals or not shown else shown)
            classes.append(shown)
    _fill_places(names, classes, [known.get(fold(name)) for name in start])
    typed = [(name, shown) for name, shown in zip(names, classes, strict=True) if name]
    if not typed:
        raise ValueError("Type class names, separated by commas.")
    names, classes = map(list, zip(*typed, strict=True))
    _check_doubles(names, classes)
    counts = Counter(truth)
    n_images = sum(counts[shown] for shown in classes if shown is not None)
    if not n_images:
        raise ValueError(f"No image shows one of these. The images show {join(sorted(counts))}.")
    return Exam(names, classes, n_images, len(truth) - n_images)


def _read_class(wanted: str, name: str, known: dict[str, str]) -> str:
    """Return the class of "class = name" as the images' truth spells it."""
    wanted = wanted.strip()
    if fold(wanted) not in known:
        shown = join(sorted(known.values()))
        raise ValueError(f"No image shows “{wanted}”. The images show {shown}.")
    if not name:
        raise ValueError(f"Write a name after “{wanted} =”.")
    return known[fold(wanted)]


def _fill_places(names: list[str], classes: list[str | None], start: Sequence[str | None]) -> None:
    """Let each name without a class stand for the class at its place, if this one is free."""
    for place, shown in enumerate(start[: len(names)]):
        if names[place] and classes[place] is None and shown not in classes:
            classes[place] = shown


def _check_doubles(names: list[str], classes: list[str | None]) -> None:
    """Raise ValueError if a name stands there twice, or a class has two names."""
    for name, n in Counter(fold(name) for name in names).items():
        if n > 1:
            raise ValueError(f"The name “{name}” stands there {count_times(n)}. Write it once.")
    for shown, n in Counter(shown for shown in classes if shown is not None).items():
        if n > 1:
            raise ValueError(f"The class “{shown}” has {n} names. Give it one.")


def count_times(n: int) -> str:
    """Say how often: twice, 3 times."""
    return "twice" if n == 2 else f"{n} times"


def join(words: Sequence[str], most: int = 12) -> str:
    """Join words as a sentence does: a, b and c. After `most` words it tells how many follow."""
    if len(words) > most:
        words = [*words[:most], f"{len(words) - most} more"]
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
