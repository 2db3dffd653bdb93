"""What there is in the drawn world: the content of a scene, and how scenes are sampled.

A scene depends on its seed alone, so it is the same on every platform.
"""

import random
from dataclasses import asdict, dataclass

from clipnb.scenes.chance import maybe, pick

PLACES = ("beach", "meadow", "snow", "street", "night", "sea", "desert", "forest")
# fmt: off
KINDS = (
    "dog", "cat", "bird", "fish", "car", "boat",
    "house", "tree", "ball", "kite", "flower", "plane",
)
# fmt: on
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "black", "white")
SIZES = ("small", "big")
RELATIONS = ("left of", "right of", "above", "below")
FLIERS = ("bird", "kite", "plane")  # drawn in the air, without ground under them

# Where a kind is at home. Chance puts it there three times as often as elsewhere.
HOMES = {
    "dog": ("beach", "meadow", "street"),
    "cat": ("meadow", "street", "night"),
    "bird": ("sea", "meadow", "forest"),
    "fish": ("sea",),
    "car": ("street", "desert"),
    "boat": ("sea", "beach"),
    "house": ("snow", "night", "street"),
    "tree": ("snow", "desert", "night"),
    "ball": ("beach", "meadow", "street"),
    "kite": ("beach", "desert"),
    "flower": ("meadow", "forest"),
    "plane": ("night", "desert", "sea"),
}

# The (kind, colour) pairs of the `compositions` split, which train, dev and test do not show: two
# of each colour, one or two of each kind.
# fmt: off
HELD_OUT = frozenset({
    ("dog", "red"),     ("dog", "blue"),    ("cat", "orange"),   ("cat", "purple"),
    ("bird", "yellow"), ("bird", "black"),  ("fish", "green"),   ("fish", "white"),
    ("car", "blue"),    ("boat", "purple"), ("house", "yellow"), ("tree", "orange"),
    ("ball", "black"),  ("kite", "green"),  ("flower", "white"), ("plane", "red"),
})
# fmt: on


@dataclass(frozen=True)
class Thing:
    """One to three equal objects of a scene; `size` is "small" or "big"."""

    kind: str
    colour: str
    size: str
    count: int


@dataclass(frozen=True)
class Scene:
    """What an image shows: a place and one or two things.

    relation: how the first thing lies to the second, such as "left of"; None with one thing.
    seed: decides everything that has no name, such as positions, shades and clutter.
    """

    place: str
    things: tuple[Thing, ...]
    relation: str | None
    seed: int


def sample_scene(rng: random.Random, compositions: bool = False) -> Scene:
    """Sample a scene. Its two things are of different kinds.

    compositions: use only the (kind, colour) pairs in `HELD_OUT`; otherwise use none of them.
    """
    n_things = 2 if maybe(rng, 0.6) else 1
    things: list[Thing] = []
    while len(things) < n_things:
        kind = pick(rng, KINDS)
        if all(kind != thing.kind for thing in things):
            things.append(_sample_thing(rng, kind, compositions))
    place = _sample_place(rng, things)
    relation = pick(rng, RELATIONS) if n_things == 2 else None
    return Scene(place, tuple(things), relation, seed=int(rng.random() * 2**32))


def _sample_thing(rng: random.Random, kind: str, compositions: bool) -> Thing:
    """Sample colour, size and count of a thing of this kind."""
    allowed = [colour for colour in COLOURS if ((kind, colour) in HELD_OUT) == compositions]
    colour = pick(rng, allowed)
    size = pick(rng, SIZES)
    count = 1 + int(rng.random() * 3)
    return Thing(kind, colour, size, count)


def _sample_place(rng: random.Random, things: list[Thing]) -> str:
    """Sample a place: three times as often one where any of the things is at home."""
    tickets = []
    for place in PLACES:
        at_home = any(place in HOMES[thing.kind] for thing in things)
        tickets += [place] * (3 if at_home else 1)
    return pick(rng, tickets)


def dataset_scene(split: str, i: int, seed: int = 0) -> Scene:
    """Return scene `i` of a split of the dataset with this seed.

    Each scene is sampled from a seed of its own, so you can make any without the others.
    """
    rng = random.Random(f"{seed}-{split}-{i}")
    return sample_scene(rng, compositions=split == "compositions")


def labels(scene: Scene) -> dict:
    """Return the truth about a scene as plain data, ready for JSON.

    The keys are "place", "objects" (one dict with "kind", "colour", "size" and "count" for each
    thing) and "relation". The relation says how objects[0] lies to objects[1]: "left of",
    "right of", "above" or "below"; it is None with one object.
    """
    return {
        "place": scene.place,
        "objects": [asdict(thing) for thing in scene.things],
        "relation": scene.relation,
    }
