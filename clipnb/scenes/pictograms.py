"""The shapes of the twelve kinds of thing, in boxes of 100 by 100, y downwards, facing right."""

import math
from typing import NamedTuple

from clipnb.scenes.polygons import Polygon, box, grow, oval, shift, smooth

Part = tuple[str, Polygon]  # a paint and the shape to fill with it


class Pictogram(NamedTuple):
    """The parts of a figure, in the order of drawing.

    solids: the parts that get an outline. details: what lies on top of them, without an outline.
    The paints "body", "shade" and "light" follow the colour of the thing. The other paints have
    fixed colours, which drawing.py knows.
    """

    solids: list[Part]
    details: list[Part]


def _make_petals(paint: str, reach: float, rx: float, ry: float) -> list[Part]:
    """Make seven petals around the middle of the flower at (50, 32)."""
    petals = []
    for i in range(7):
        turn = 360 * i / 7
        x = 50 + reach * math.cos(math.radians(turn))
        y = 32 + reach * math.sin(math.radians(turn))
        petals.append((paint, oval(x, y, rx, ry, turn, corners=14)))
    return petals


# fmt: off
_SHAPES = {
    "dog": Pictogram(
        solids=[
            ("body",  smooth((18, 52), (6, 42), (1, 24), (7, 19), (12, 34), (26, 44))),  # tail
            ("shade", [(30, 62), (41, 62), (38, 80), (41, 95), (31, 95), (29, 80)]),  # far legs
            ("shade", [(58, 62), (69, 62), (67, 95), (58, 95)]),
            ("body",  smooth((14, 50), (24, 41), (46, 42), (60, 38), (70, 28), (82, 42),  # trunk
                             (76, 60), (66, 70), (46, 68), (24, 72), (14, 63))),
            ("body",  [(15, 58), (31, 62), (25, 78), (28, 97), (16, 97), (14, 78)]),  # near legs
            ("body",  [(66, 58), (79, 56), (77, 97), (66, 97)]),
            ("body",  smooth((64, 22), (74, 12), (86, 16), (91, 25), (99, 29), (99, 38),  # head
                             (88, 42), (74, 42), (65, 36))),
        ],
        details=[
            ("shade", smooth((70, 13), (62, 15), (57, 30), (60, 44), (67, 44), (72, 30))),  # ear
            ("light", smooth((88, 32), (98, 31), (97, 38), (88, 40))),  # muzzle
            ("ink",   oval(98, 30, 3.6, 3.2)),  # nose
            ("ink",   oval(82, 23, 2.9)),  # eye
            ("white", oval(82.8, 22, 1)),
        ],
    ),
    "cat": Pictogram(
        solids=[
            ("body",  smooth((66, 90), (84, 88), (88, 70), (80, 56), (86, 50), (96, 64),  # tail
                             (95, 88), (82, 98), (64, 97))),
            ("body",  smooth((50, 46), (66, 54), (74, 76), (72, 95), (50, 97), (28, 95),  # trunk
                             (26, 76), (34, 54))),
            ("body",  [(24, 32), (24, 3), (46, 16)]),  # ears
            ("body",  [(76, 32), (76, 3), (54, 16)]),
            ("body",  smooth((50, 13), (68, 18), (79, 33), (72, 48), (50, 53), (28, 48),  # head
                             (21, 33), (32, 18))),
        ],
        details=[
            ("light", [(28, 22), (28, 10), (38, 17)]),  # inside of the ears
            ("light", [(72, 22), (72, 10), (62, 17)]),
            ("light", smooth((50, 58), (60, 68), (58, 86), (50, 90), (42, 86), (40, 68))),  # belly
            ("shade", box(48.8, 78, 51.2, 97)),  # between the legs
            ("shade", box(35.5, 82, 37.5, 96)),
            ("shade", box(62.5, 82, 64.5, 96)),
            ("ink",   oval(39, 31, 3.6, 5)),  # eyes
            ("ink",   oval(61, 31, 3.6, 5)),
            ("white", oval(40, 29, 1.3)),
            ("white", oval(62, 29, 1.3)),
            ("ink",   [(46, 39), (54, 39), (50, 43.5)]),  # nose
            ("ink",   [(30, 41), (10, 38), (10, 39.4), (30, 42.4)]),  # whiskers
            ("ink",   [(70, 41), (90, 38), (90, 39.4), (70, 42.4)]),
            ("ink",   [(30, 44), (12, 48), (12, 49.4), (30, 45.4)]),
            ("ink",   [(70, 44), (88, 48), (88, 49.4), (70, 45.4)]),
        ],
    ),
    "bird": Pictogram(
        solids=[
            ("shade", smooth((46, 46), (44, 22), (56, 4), (62, 14), (64, 40))),  # far wing
            ("shade", [(26, 56), (2, 46), (6, 56), (0, 62), (8, 66), (24, 66)]),  # tail
            ("gold",  [(90, 40), (100, 46), (89, 50)]),  # beak
            ("body",  smooth((18, 58), (38, 46), (60, 42), (70, 33), (84, 33), (91, 43),  # trunk
                             (86, 56), (70, 68), (46, 70), (26, 65))),
            ("body",  smooth((36, 50), (22, 32), (20, 8), (28, 6), (36, 14), (50, 26),  # near wing
                             (60, 48), (50, 58))),
        ],
        details=[
            ("light", smooth((44, 62), (60, 60), (80, 54), (72, 65), (54, 69))),  # belly
            ("shade", smooth((29, 16), (36, 30), (48, 46), (36, 36))),  # feathers
            ("ink",   oval(81, 42, 3)),  # eye
            ("white", oval(82, 41, 1.1)),
        ],
    ),
    "fish": Pictogram(
        solids=[
            ("shade", smooth((44, 34), (50, 14), (66, 18), (70, 34))),  # upper fin
            ("shade", smooth((48, 66), (46, 82), (58, 80), (62, 66))),  # lower fin
            ("shade", smooth((26, 50), (8, 28), (1, 26), (7, 50), (1, 74), (8, 72))),  # tail
            ("body",  smooth((18, 50), (34, 33), (58, 27), (84, 34), (98, 50), (84, 66),  # trunk
                             (58, 73), (34, 67))),
        ],
        details=[
            ("light", smooth((36, 63), (58, 62), (88, 58), (80, 66), (58, 71))),  # belly
            ("shade", smooth((70, 32), (73, 50), (70, 68), (67, 66), (69, 50), (67, 34))),  # gill
            ("shade", smooth((50, 50), (42, 44), (44, 58), (58, 56))),  # side fin
            ("white", oval(82, 44, 5.2)),  # eye
            ("ink",   oval(83.5, 44, 3)),
            ("ink",   [(92, 57), (97, 54), (97.6, 55.5), (93, 58.6)]),  # mouth
        ],
    ),
    "car": Pictogram(
        solids=[
            ("body",  smooth((22, 50), (32, 28), (44, 24), (62, 25), (72, 34), (80, 51),  # cabin
                             (50, 56))),
            ("body",  smooth((4, 56), (12, 49), (50, 47), (84, 49), (97, 55), (98, 70),  # hull
                             (93, 74), (50, 75), (7, 74), (2, 69))),
            ("ink",   oval(25, 74, 12)),  # wheels
            ("ink",   oval(76, 74, 12)),
        ],
        details=[
            ("glass", [(30, 48), (37, 32), (49, 31), (49, 48)]),  # windows
            ("glass", [(53, 48), (53, 31), (62, 32), (72, 48)]),
            ("shade", box(4, 66, 97, 69)),  # sill
            ("shade", box(50.3, 50, 51.7, 66)),  # edge of the door
            ("light", box(12, 51.5, 46, 53.5)),  # reflection
            ("ink",   box(55, 54, 61, 56)),  # handle
            ("ink",   oval(25, 74, 12)),  # wheels
            ("ink",   oval(76, 74, 12)),
            ("metal", oval(25, 74, 6)),
            ("metal", oval(76, 74, 6)),
            ("gold",  oval(95, 58, 3, 4)),  # front light
            ("crimson", oval(4.5, 59, 2.2, 4)),  # rear light
        ],
    ),
    "boat": Pictogram(
        solids=[
            ("wood",  box(47.5, 4, 51.5, 76)),  # mast
            ("body",  [(54, 8), (57, 8), (92, 64), (54, 66)]),  # sails
            ("light", [(45, 16), (45, 66), (12, 64)]),
            ("body",  smooth((4, 72), (50, 75), (97, 70), (86, 92), (70, 97), (28, 97),  # hull
                             (14, 91))),
        ],
        details=[
            ("shade", [(54, 52), (84.5, 52), (92, 64), (54, 66)]),  # foot of a sail
            ("light", [(7, 76.5), (50, 79), (94, 75.5), (92.5, 80), (50, 83), (8.5, 81)]),  # rim
            ("shade", smooth((16, 91), (50, 93), (84, 91), (70, 96.5), (30, 96.5))),  # keel
            ("crimson", [(49.5, 4), (66, 8), (49.5, 12)]),  # flag
        ],
    ),
    "house": Pictogram(
        solids=[
            ("brick", box(68, 8, 79, 36)),  # chimney
            ("body",  box(14, 44, 86, 97)),  # wall
            ("roof",  [(4, 48), (50, 7), (96, 48), (90, 52), (10, 52)]),
        ],
        details=[
            ("shade", box(14, 52, 86, 57)),  # shadow of the roof
            ("wood",  box(42, 66, 58, 97)),  # door
            ("gold",  oval(55, 82, 1.6)),
            ("white", box(20, 62, 36, 79)),  # left window
            ("glass", box(22, 64, 34, 77)),
            ("white", box(27.2, 62, 28.8, 79)),
            ("white", box(20, 69.5, 36, 71)),
            ("white", box(64, 62, 80, 79)),  # right window
            ("glass", box(66, 64, 78, 77)),
            ("white", box(71.2, 62, 72.8, 79)),
            ("white", box(64, 69.5, 80, 71)),
            ("white", oval(50, 34, 6.4)),  # round window
            ("glass", oval(50, 34, 4.6)),
            ("shade", box(14, 92, 41, 97)),  # foot of the wall
            ("shade", box(59, 92, 86, 97)),
        ],
    ),
    "tree": Pictogram(
        solids=[
            ("wood",  [(42, 97), (45, 58), (55, 58), (58, 97), (66, 99), (34, 99)]),  # trunk
            ("body",  smooth((50, 2), (68, 8), (74, 20), (89, 28), (93, 46), (82, 62),  # crown
                             (66, 66), (50, 71), (34, 66), (18, 62), (7, 46), (11, 28),
                             (26, 20), (32, 8))),
        ],
        details=[
            ("shade", smooth((14, 54), (32, 60), (54, 62), (78, 54), (91, 42), (82, 61),
                             (66, 65), (50, 70), (34, 65), (19, 61))),
            ("light", smooth((30, 20), (40, 10), (52, 9), (46, 18), (36, 26))),
            ("light", smooth((16, 38), (26, 29), (33, 30), (26, 38), (18, 44))),
            ("light", smooth((60, 26), (72, 26), (78, 33), (68, 36))),
            ("wood",  [(49, 62), (51, 62), (62, 48), (60, 47)]),  # branches
            ("wood",  [(47, 66), (49, 64), (38, 50), (36, 51)]),
        ],
    ),
    "ball": Pictogram(
        solids=[("body", oval(50, 50, 46, corners=36))],
        details=[
            ("light", smooth((38, 6), (30, 28), (32, 54), (46, 84), (56, 95), (40, 94),  # stripe
                             (18, 74), (10, 46), (18, 20), (28, 9), steps=3)),
            ("shade", smooth((92, 32), (95, 52), (88, 74), (70, 91), (57, 95), (76, 78),
                             (86, 56), steps=3)),
            ("white", oval(36, 26, 8, 5, turn=-35)),  # reflection
            ("light", oval(49, 7, 7, 3.5)),
        ],
    ),
    "kite": Pictogram(
        solids=[("body", [(62, 1), (92, 33), (50, 74), (30, 26)])],
        details=[
            ("shade", [(62, 1), (92, 33), (57.5, 31.6)]),  # quarters
            ("light", [(30, 26), (57.5, 31.6), (50, 74)]),
            ("wood",  [(61, 1), (63, 1), (51, 73), (49, 74)]),  # rods
            ("wood",  [(30, 25), (92, 32), (92, 34), (30, 27)]),
            ("ink",   smooth((50, 74), (38, 82), (30, 80), (18, 90), (6, 95), (5, 97),  # string
                             (19, 92), (31, 82), (38, 84))),
            ("body",  [(37, 83), (44, 74), (47, 81)]),  # bows
            ("body",  [(37, 83), (31, 90), (29, 83)]),
            ("shade", [(18, 91), (20, 81), (27, 86)]),
            ("shade", [(18, 91), (10, 97), (9, 89)]),
        ],
    ),
    "flower": Pictogram(
        solids=[
            ("leaf",  smooth((48, 50), (51, 50), (53, 74), (52, 99), (48, 99), (49, 74),  # stalk
                             steps=3)),
            ("leaf",  smooth((51, 88), (60, 72), (78, 68), (72, 82))),
            ("leaf",  smooth((49, 92), (40, 78), (23, 76), (30, 88))),
            *_make_petals("body", 20, 14, 9.5),
        ],
        details=[
            *_make_petals("shade", 15, 6, 2.2),
            ("pollen", oval(50, 32, 10)),
            ("gold",  oval(48.5, 30.5, 5.6)),
        ],
    ),
    "plane": Pictogram(
        solids=[
            ("shade", [(44, 46), (30, 22), (38, 22), (62, 46)]),  # far wing
            ("body",  [(6, 46), (1, 18), (11, 18), (26, 46)]),  # fin
            ("body",  smooth((2, 46), (12, 42), (50, 40), (84, 41), (97, 49), (93, 57),  # hull
                             (80, 61), (44, 62), (16, 56))),
            ("shade", [(2, 48), (22, 50), (10, 58), (3, 58)]),  # tailplane
            ("body",  [(40, 53), (64, 53), (40, 86), (30, 86)]),  # near wing
        ],
        details=[
            ("shade", smooth((18, 56), (46, 58), (92, 55), (80, 61), (44, 62))),  # belly
            ("body",  [(41, 53), (63, 53), (40, 85), (31, 85)]),  # near wing
            ("light", [(44, 56), (50, 56), (36, 83), (34, 83)]),
            ("glass", [(84, 43), (91, 46), (93, 49), (85, 49)]),  # cockpit
            *[("glass", oval(x, 47.5, 2.4)) for x in (32, 40, 48, 56, 64, 72)],  # windows
        ],
    ),
}
# fmt: on

# What stands on the ground has its lowest point at about 98. These figures are drawn higher up.
_DROPS = {"fish": 16, "car": 12, "ball": 2}


def _drop(shape: Pictogram, dy: float) -> Pictogram:
    """Move all parts of a figure down by `dy`."""
    solids = [(paint, shift(points, dy)) for paint, points in shape.solids]
    details = [(paint, shift(points, dy)) for paint, points in shape.details]
    return Pictogram(solids, details)


def _outline(pictogram: Pictogram) -> list[Polygon]:
    """Return the solid parts, a little larger, to draw behind them."""
    return [grow(points, 1.8) for _, points in pictogram.solids]


PICTOGRAMS = {kind: _drop(shape, _DROPS.get(kind, 0)) for kind, shape in _SHAPES.items()}
OUTLINES = {kind: _outline(pictogram) for kind, pictogram in PICTOGRAMS.items()}
