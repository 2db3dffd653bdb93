"""Invented species: animals that no reader and no model has seen, drawn from a seed.

A species has a body, a crest and a tail, and a colour that half of its animals have. Everything
else varies from animal to animal. Its description tells the body and the usual colour alone.
"""

import math
import random
from dataclasses import dataclass

from PIL import Image

from clipnb.scenes.canvas import Canvas
from clipnb.scenes.chance import between
from clipnb.scenes.drawing import FIXED_PAINTS, mix_paints
from clipnb.scenes.landscapes import HORIZON, PLACE_PAINTERS
from clipnb.scenes.polygons import Polygon, grow, oval, smooth

BODIES = {  # what a description says of a body
    "round": "a round {colour} animal",
    "long": "a {colour} animal with fins",
}
CRESTS = ("horns", "ears", "spikes")
TAILS = ("curl", "fork", "brush")
PATTERNS = ("plain", "spots", "stripes")  # of an animal, not of its species
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
PLACES = ("beach", "meadow", "snow", "desert", "forest", "street")
N_SPECIES = 6  # three with each body
DRAWN_SIZE = 128
OVERSAMPLING = 3

ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z")
VOWELS = ("a", "e", "i", "o", "u")
ENDINGS = ("x", "k", "n", "p", "m", "bo", "lu", "ro", "ti", "va")


@dataclass(frozen=True)
class Species:
    """What all animals of a species have in common, and the colour that half of them have."""

    name: str
    body: str
    crest: str
    tail: str
    colour: str
    others: tuple[str, ...]  # the colours of the other half: the usual ones of its relatives

    @property
    def description(self) -> str:
        """A line in words that the captions of the scenes hold too."""
        return BODIES[self.body].format(colour=self.colour)


def invent_species(seed: int) -> list[Species]:
    """Invent six species. Three share a body, and have each other's colours now and then."""
    rng = random.Random(f"species-{seed}")
    names = invent_names(rng, N_SPECIES)
    found = []
    for body in BODIES:
        colours = rng.sample(COLOURS, N_SPECIES // len(BODIES))
        (crest, other_crest), (tail, other_tail) = rng.sample(CRESTS, 2), rng.sample(TAILS, 2)
        # No crest, tail or colour tells a species alone.
        shapes = [(crest, tail), (crest, other_tail), (other_crest, other_tail)]
        for (crest, tail), colour in zip(shapes, colours, strict=True):
            others = tuple(other for other in colours if other != colour)
            found.append(Species(names.pop(), body, crest, tail, colour, others))
    rng.shuffle(found)
    return found


def invent_names(rng: random.Random, n: int) -> list[str]:
    """Invent n names of two syllables, each with another first letter."""
    names = []
    for first in rng.sample(ONSETS, n):
        middle = rng.choice(VOWELS) + rng.choice(ONSETS) + rng.choice(VOWELS)
        names.append((first + middle + rng.choice(ENDINGS)).capitalize())
    return names


def draw_animal(species: Species, rng: random.Random, size: int = DRAWN_SIZE) -> Image.Image:
    """Draw an animal of a species as an RGB image of size x size pixels.

    Its colour, pattern, size, pose and place, and the length of its crest and tail are by chance.
    """
    canvas = Canvas(size * OVERSAMPLING)
    place = rng.choice(PLACES)
    PLACE_PAINTERS[place](canvas, rng, HORIZON[place], [])
    colour = species.colour if rng.random() < 0.5 else rng.choice(species.others)
    paints = FIXED_PAINTS | mix_paints(colour, rng)
    scale = between(rng, 0.5, 0.72)
    turn = math.radians(between(rng, -22, 22))
    x, y = between(rng, 0.42, 0.58), between(rng, 0.5, 0.62)
    way = rng.choice((-1, 1))

    def pose(points: Polygon) -> Polygon:
        """Bring points of a box of 100 x 100, facing right, to where the animal stands."""
        posed = []
        for across, down in points:
            dx, dy = way * (across - 50) / 100 * scale, (down - 50) / 100 * scale
            posed.append(
                (
                    x + dx * math.cos(turn) - dy * math.sin(turn),
                    y + dx * math.sin(turn) + dy * math.cos(turn),
                )
            )
        return posed

    parts = shape_animal(species, rng)
    for _, points in parts:  # the outlines come first, so that the parts melt into one figure
        canvas.polygon(pose(grow(points, 1.6)), paints["outline"])
    for paint, points in parts + mark_animal(species, rng):
        canvas.polygon(pose(points), paints[paint])
    return canvas.image.reduce(OVERSAMPLING)


def shape_animal(species: Species, rng: random.Random) -> list[tuple[str, Polygon]]:
    """Return the parts that get an outline, each as (paint, polygon), far ones first."""
    longer = between(rng, 0.75, 1.25)
    limbs = [("shade", oval(40, 82, 5, 12)), ("shade", oval(60, 82, 5, 12))]
    body = ("body", oval(50, 55, 29))
    top, back = 30, 23  # where the crest and the tail begin
    if species.body == "long":
        limbs = [
            ("shade", smooth((46, 70), (60, 70), (52, 90), (38, 92))),
            ("shade", smooth((44, 46), (60, 46), (46, 30), (36, 32))),
        ]
        body = ("body", smooth((14, 58), (40, 42), (72, 38), (90, 52), (76, 70), (40, 70)))
        top, back = 42, 18
    return [
        *_shape_tail(species.tail, back, longer),
        *limbs,
        body,
        *_shape_crest(species, top, longer),
    ]


def _shape_crest(species: Species, top: float, longer: float) -> list[tuple[str, Polygon]]:
    """Return the crest over the front of a body whose back is at the height `top`."""
    middle = 76 if species.body == "long" else 60
    high = 24 * longer
    if species.crest == "horns":
        tips = ((middle - 14, -16), (middle + 8, 10))
        return [
            (
                "wood",
                [(foot - 4, top + 6), (foot + 5, top + 6), (foot + lean, top - high)],
            )
            for foot, lean in tips
        ]
    if species.crest == "ears":
        return [
            ("body", oval(middle - 11, top - high / 3, 7, 6 + high / 2, turn=-12)),
            ("body", oval(middle + 9, top - high / 3, 7, 6 + high / 2, turn=12)),
        ]
    return [
        ("shade", [(foot - 6, top + 7), (foot + 6, top + 7), (foot, top - high / 2)])
        for foot in (middle - 26, middle - 14, middle - 2, middle + 10)
    ]


def _shape_tail(tail: str, back: float, longer: float) -> list[tuple[str, Polygon]]:
    """Return the tail of a body whose end is at `back`."""
    end = back - 20 * longer
    if tail == "curl":
        middle = back - 10 * longer
        return [("body", oval(middle, 50, 12 * longer)), ("outline", oval(middle, 50, 6))]
    if tail == "fork":
        return [
            ("body", [(back + 10, 54), (back + 10, 60), (end, 40)]),
            ("body", [(back + 10, 54), (back + 10, 60), (end, 76)]),
        ]
    return [
        ("body", [(back + 8, 53), (back + 8, 61), (end + 6, 58)]),
        ("light", oval(end + 3, 57, 8)),
    ]


def mark_animal(species: Species, rng: random.Random) -> list[tuple[str, Polygon]]:
    """Return the parts that lie on the body: the animal's pattern, and the eye."""
    front = 80 if species.body == "long" else 66
    high = 52 if species.body == "long" else 47
    pattern = rng.choice(PATTERNS)
    marks = []
    if pattern == "spots":
        places = ((38, 58), (50, 64), (52, 50), (62, 62))
        marks = [("light", oval(x, y, between(rng, 3, 5))) for x, y in places]
    if pattern == "stripes":
        marks = [("light", oval(x, 57, 2.4, 11)) for x in (36, 46, 56)]
    eye = [("white", oval(front, high, 6.5)), ("ink", oval(front + 1.5, high, 3.4))]
    return [*marks, *eye]
