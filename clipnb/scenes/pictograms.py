"""The shapes of the twelve kinds of thing: polygons in a box of 100 by 100, y downwards, looking to the right.

A pictogram is two lists of (paint, points): `solids` make the outline, `details` lie on top of them without one. The paints
"body", "shade" and "light" follow the colour of the thing; the others ("ink", "glass", "wood" ...) are fixed, see drawing.py.
"""

import functools
import math


@functools.cache
def _circle(corners):
    return [
        (math.cos(2 * math.pi * i / corners), math.sin(2 * math.pi * i / corners))
        for i in range(corners)
    ]


def oval(x, y, rx, ry=None, turn=0.0, corners=22):
    """Points of an ellipse around (x, y), turned by `turn` degrees."""
    ry = rx if ry is None else ry
    if not turn:
        return [(x + rx * a, y + ry * b) for a, b in _circle(corners)]
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return [
        (x + rx * a * cos - ry * b * sin, y + rx * a * sin + ry * b * cos)
        for a, b in _circle(corners)
    ]


def smooth(*points, steps=4):
    """A closed Catmull-Rom curve through `points`: it passes through each of them, and has no corners."""
    curve, n = [], len(points)
    for i in range(n):
        p, q, r, s = (points[(i + k) % n] for k in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            curve.append(
                tuple(
                    0.5
                    * (
                        2 * b
                        + (c - a) * t
                        + (2 * a - 5 * b + 4 * c - d) * t * t
                        + (3 * b - a - 3 * c + d) * t**3
                    )
                    for a, b, c, d in zip(p, q, r, s)
                )
            )
    return curve


def box(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


FLIERS = ("bird", "kite", "plane")  # drawn in the air, without a foot to stand on


def _petals(n, reach, rx, ry, x=50, y=32):
    turns = [360 * i / n for i in range(n)]
    return [
        oval(
            x + reach * math.cos(math.radians(t)),
            y + reach * math.sin(math.radians(t)),
            rx,
            ry,
            t,
            14,
        )
        for t in turns
    ]


def grown(points, by):
    """The polygon with every side moved outwards by `by`; sharp corners are cut, or they would grow into spikes."""
    points = [p for i, p in enumerate(points) if math.dist(p, points[i - 1]) > 1e-6]
    n = len(points)
    area = sum(points[i - 1][0] * points[i][1] - points[i][0] * points[i - 1][1] for i in range(n))
    by, sides, outer = math.copysign(by, area), [], []
    for i in range(n):  # the outward normal of the side that ends in point i
        (a, b), (c, d) = points[i - 1], points[i]
        sides.append(((d - b) / math.dist((a, b), (c, d)), (a - c) / math.dist((a, b), (c, d))))
    for i, (x, y) in enumerate(points):
        (a, b), (c, d) = sides[i], sides[(i + 1) % n]
        bend = 1 + a * c + b * d
        if bend > 0.6:
            outer.append((x + by * (a + c) / bend, y + by * (b + d) / bend))
        else:
            outer += [
                (x + by * a, y + by * b),
                (x + by * (a + c) / 1.2, y + by * (b + d) / 1.2),
                (x + by * c, y + by * d),
            ]
    return outer


def _shifted(parts, dy):
    return [(paint, [(x, y + dy) for x, y in points]) for paint, points in parts]


_DRAWN = {
    "dog": (
        [
            ("body", smooth((18, 52), (6, 42), (1, 24), (7, 19), (12, 34), (26, 44))),
            ("shade", [(30, 62), (41, 62), (38, 80), (41, 95), (31, 95), (29, 80)]),
            ("shade", [(58, 62), (69, 62), (67, 95), (58, 95)]),
            (
                "body",
                smooth(
                    (14, 50),
                    (24, 41),
                    (46, 42),
                    (60, 38),
                    (70, 28),
                    (82, 42),
                    (76, 60),
                    (66, 70),
                    (46, 68),
                    (24, 72),
                    (14, 63),
                ),
            ),
            ("body", [(15, 58), (31, 62), (25, 78), (28, 97), (16, 97), (14, 78)]),
            ("body", [(66, 58), (79, 56), (77, 97), (66, 97)]),
            (
                "body",
                smooth(
                    (64, 22),
                    (74, 12),
                    (86, 16),
                    (91, 25),
                    (99, 29),
                    (99, 38),
                    (88, 42),
                    (74, 42),
                    (65, 36),
                ),
            ),
        ],
        [
            ("shade", smooth((70, 13), (62, 15), (57, 30), (60, 44), (67, 44), (72, 30))),
            ("light", smooth((88, 32), (98, 31), (97, 38), (88, 40))),
            ("ink", oval(98, 30, 3.6, 3.2)),
            ("ink", oval(82, 23, 2.9)),
            ("white", oval(82.8, 22, 1)),
        ],
    ),
    "cat": (
        [
            (
                "body",
                smooth(
                    (66, 90),
                    (84, 88),
                    (88, 70),
                    (80, 56),
                    (86, 50),
                    (96, 64),
                    (95, 88),
                    (82, 98),
                    (64, 97),
                ),
            ),
            (
                "body",
                smooth(
                    (50, 46), (66, 54), (74, 76), (72, 95), (50, 97), (28, 95), (26, 76), (34, 54)
                ),
            ),
            ("body", [(24, 32), (24, 3), (46, 16)]),
            ("body", [(76, 32), (76, 3), (54, 16)]),
            (
                "body",
                smooth(
                    (50, 13), (68, 18), (79, 33), (72, 48), (50, 53), (28, 48), (21, 33), (32, 18)
                ),
            ),
        ],
        [
            ("light", [(28, 22), (28, 10), (38, 17)]),
            ("light", [(72, 22), (72, 10), (62, 17)]),
            ("light", smooth((50, 58), (60, 68), (58, 86), (50, 90), (42, 86), (40, 68))),
            ("shade", box(48.8, 78, 51.2, 97)),
            ("shade", box(35.5, 82, 37.5, 96)),
            ("shade", box(62.5, 82, 64.5, 96)),
            ("ink", oval(39, 31, 3.6, 5)),
            ("ink", oval(61, 31, 3.6, 5)),
            ("white", oval(40, 29, 1.3)),
            ("white", oval(62, 29, 1.3)),
            ("ink", [(46, 39), (54, 39), (50, 43.5)]),
            ("ink", [(30, 41), (10, 38), (10, 39.4), (30, 42.4)]),
            ("ink", [(70, 41), (90, 38), (90, 39.4), (70, 42.4)]),
            ("ink", [(30, 44), (12, 48), (12, 49.4), (30, 45.4)]),
            ("ink", [(70, 44), (88, 48), (88, 49.4), (70, 45.4)]),
        ],
    ),
    "bird": (
        [
            ("shade", smooth((46, 46), (44, 22), (56, 4), (62, 14), (64, 40))),
            ("shade", [(26, 56), (2, 46), (6, 56), (0, 62), (8, 66), (24, 66)]),
            ("gold", [(90, 40), (100, 46), (89, 50)]),
            (
                "body",
                smooth(
                    (18, 58),
                    (38, 46),
                    (60, 42),
                    (70, 33),
                    (84, 33),
                    (91, 43),
                    (86, 56),
                    (70, 68),
                    (46, 70),
                    (26, 65),
                ),
            ),
            (
                "body",
                smooth(
                    (36, 50), (22, 32), (20, 8), (28, 6), (36, 14), (50, 26), (60, 48), (50, 58)
                ),
            ),
        ],
        [
            ("light", smooth((44, 62), (60, 60), (80, 54), (72, 65), (54, 69))),
            ("shade", smooth((29, 16), (36, 30), (48, 46), (36, 36))),
            ("ink", oval(81, 42, 3)),
            ("white", oval(82, 41, 1.1)),
        ],
    ),
    "fish": (
        [
            ("shade", smooth((44, 34), (50, 14), (66, 18), (70, 34))),
            ("shade", smooth((48, 66), (46, 82), (58, 80), (62, 66))),
            ("shade", smooth((26, 50), (8, 28), (1, 26), (7, 50), (1, 74), (8, 72))),
            (
                "body",
                smooth(
                    (18, 50), (34, 33), (58, 27), (84, 34), (98, 50), (84, 66), (58, 73), (34, 67)
                ),
            ),
        ],
        [
            ("light", smooth((36, 63), (58, 62), (88, 58), (80, 66), (58, 71))),
            ("shade", smooth((70, 32), (73, 50), (70, 68), (67, 66), (69, 50), (67, 34))),
            ("shade", smooth((50, 50), (42, 44), (44, 58), (58, 56))),
            ("white", oval(82, 44, 5.2)),
            ("ink", oval(83.5, 44, 3)),
            ("ink", [(92, 57), (97, 54), (97.6, 55.5), (93, 58.6)]),
        ],
    ),
    "car": (
        [
            ("body", smooth((22, 50), (32, 28), (44, 24), (62, 25), (72, 34), (80, 51), (50, 56))),
            (
                "body",
                smooth(
                    (4, 56),
                    (12, 49),
                    (50, 47),
                    (84, 49),
                    (97, 55),
                    (98, 70),
                    (93, 74),
                    (50, 75),
                    (7, 74),
                    (2, 69),
                ),
            ),
            ("ink", oval(25, 74, 12)),
            ("ink", oval(76, 74, 12)),
        ],
        [
            ("glass", [(30, 48), (37, 32), (49, 31), (49, 48)]),
            ("glass", [(53, 48), (53, 31), (62, 32), (72, 48)]),
            ("shade", box(4, 66, 97, 69)),
            ("shade", box(50.3, 50, 51.7, 66)),
            ("light", box(12, 51.5, 46, 53.5)),
            ("ink", box(55, 54, 61, 56)),
            ("ink", oval(25, 74, 12)),
            ("ink", oval(76, 74, 12)),
            ("metal", oval(25, 74, 6)),
            ("metal", oval(76, 74, 6)),
            ("gold", oval(95, 58, 3, 4)),
            ("crimson", oval(4.5, 59, 2.2, 4)),
        ],
    ),
    "boat": (
        [
            ("wood", box(47.5, 4, 51.5, 76)),
            ("body", [(54, 8), (57, 8), (92, 64), (54, 66)]),
            ("light", [(45, 16), (45, 66), (12, 64)]),
            ("body", smooth((4, 72), (50, 75), (97, 70), (86, 92), (70, 97), (28, 97), (14, 91))),
        ],
        [
            ("shade", [(54, 52), (84.5, 52), (92, 64), (54, 66)]),
            ("light", [(7, 76.5), (50, 79), (94, 75.5), (92.5, 80), (50, 83), (8.5, 81)]),
            ("shade", smooth((16, 91), (50, 93), (84, 91), (70, 96.5), (30, 96.5))),
            ("crimson", [(49.5, 4), (66, 8), (49.5, 12)]),
        ],
    ),
    "house": (
        [
            ("brick", box(68, 8, 79, 36)),
            ("body", box(14, 44, 86, 97)),
            ("roof", [(4, 48), (50, 7), (96, 48), (90, 52), (10, 52)]),
        ],
        [
            ("shade", box(14, 52, 86, 57)),
            ("wood", box(42, 66, 58, 97)),
            ("gold", oval(55, 82, 1.6)),
            ("white", box(20, 62, 36, 79)),
            ("glass", box(22, 64, 34, 77)),
            ("white", box(27.2, 62, 28.8, 79)),
            ("white", box(20, 69.5, 36, 71)),
            ("white", box(64, 62, 80, 79)),
            ("glass", box(66, 64, 78, 77)),
            ("white", box(71.2, 62, 72.8, 79)),
            ("white", box(64, 69.5, 80, 71)),
            ("white", oval(50, 34, 6.4)),
            ("glass", oval(50, 34, 4.6)),
            ("shade", box(14, 92, 41, 97)),
            ("shade", box(59, 92, 86, 97)),
        ],
    ),
    "tree": (
        [
            ("wood", [(42, 97), (45, 58), (55, 58), (58, 97), (66, 99), (34, 99)]),
            (
                "body",
                smooth(
                    (50, 2),
                    (68, 8),
                    (74, 20),
                    (89, 28),
                    (93, 46),
                    (82, 62),
                    (66, 66),
                    (50, 71),
                    (34, 66),
                    (18, 62),
                    (7, 46),
                    (11, 28),
                    (26, 20),
                    (32, 8),
                ),
            ),
        ],
        [
            (
                "shade",
                smooth(
                    (14, 54),
                    (32, 60),
                    (54, 62),
                    (78, 54),
                    (91, 42),
                    (82, 61),
                    (66, 65),
                    (50, 70),
                    (34, 65),
                    (19, 61),
                ),
            ),
            ("light", smooth((30, 20), (40, 10), (52, 9), (46, 18), (36, 26))),
            ("light", smooth((16, 38), (26, 29), (33, 30), (26, 38), (18, 44))),
            ("light", smooth((60, 26), (72, 26), (78, 33), (68, 36))),
            ("wood", [(49, 62), (51, 62), (62, 48), (60, 47)]),
            ("wood", [(47, 66), (49, 64), (38, 50), (36, 51)]),
        ],
    ),
    "ball": (
        [("body", oval(50, 50, 46, corners=36))],
        [
            (
                "light",
                smooth(
                    (38, 6),
                    (30, 28),
                    (32, 54),
                    (46, 84),
                    (56, 95),
                    (40, 94),
                    (18, 74),
                    (10, 46),
                    (18, 20),
                    (28, 9),
                    steps=3,
                ),
            ),
            (
                "shade",
                smooth(
                    (92, 32), (95, 52), (88, 74), (70, 91), (57, 95), (76, 78), (86, 56), steps=3
                ),
            ),
            ("white", oval(36, 26, 8, 5, -35)),
            ("light", oval(49, 7, 7, 3.5)),
        ],
    ),
    "kite": (
        [("body", [(62, 1), (92, 33), (50, 74), (30, 26)])],
        [
            ("shade", [(62, 1), (92, 33), (57.5, 31.6)]),
            ("light", [(30, 26), (57.5, 31.6), (50, 74)]),
            ("wood", [(61, 1), (63, 1), (51, 73), (49, 74)]),
            ("wood", [(30, 25), (92, 32), (92, 34), (30, 27)]),
            (
                "ink",
                smooth(
                    (50, 74),
                    (38, 82),
                    (30, 80),
                    (18, 90),
                    (6, 95),
                    (5, 97),
                    (19, 92),
                    (31, 82),
                    (38, 84),
                ),
            ),
            ("body", [(37, 83), (44, 74), (47, 81)]),
            ("body", [(37, 83), (31, 90), (29, 83)]),
            ("shade", [(18, 91), (20, 81), (27, 86)]),
            ("shade", [(18, 91), (10, 97), (9, 89)]),
        ],
    ),
    "flower": (
        [
            ("leaf", smooth((48, 50), (51, 50), (53, 74), (52, 99), (48, 99), (49, 74), steps=3)),
            ("leaf", smooth((51, 88), (60, 72), (78, 68), (72, 82))),
            ("leaf", smooth((49, 92), (40, 78), (23, 76), (30, 88))),
        ]
        + [("body", petal) for petal in _petals(7, 20, 14, 9.5)],
        [("shade", petal) for petal in _petals(7, 15, 6, 2.2)]
        + [("pollen", oval(50, 32, 10)), ("gold", oval(48.5, 30.5, 5.6))],
    ),
    "plane": (
        [
            ("shade", [(44, 46), (30, 22), (38, 22), (62, 46)]),
            ("body", [(6, 46), (1, 18), (11, 18), (26, 46)]),
            (
                "body",
                smooth(
                    (2, 46),
                    (12, 42),
                    (50, 40),
                    (84, 41),
                    (97, 49),
                    (93, 57),
                    (80, 61),
                    (44, 62),
                    (16, 56),
                ),
            ),
            ("shade", [(2, 48), (22, 50), (10, 58), (3, 58)]),
            ("body", [(40, 53), (64, 53), (40, 86), (30, 86)]),
        ],
        [
            ("shade", smooth((18, 56), (46, 58), (92, 55), (80, 61), (44, 62))),
            ("body", [(41, 53), (63, 53), (40, 85), (31, 85)]),
            ("light", [(44, 56), (50, 56), (36, 83), (34, 83)]),
            ("glass", [(84, 43), (91, 46), (93, 49), (85, 49)]),
        ]
        + [("glass", oval(x, 47.5, 2.4)) for x in (32, 40, 48, 56, 64, 72)],
    ),
}

# What stands on something has its lowest point at 98. The outline is the figure itself, a little larger: worked out once, here.
_DROP = {"fish": 16, "car": 12, "ball": 2}
PICTOGRAMS = {
    kind: (_shifted(solids, _DROP.get(kind, 0)), _shifted(details, _DROP.get(kind, 0)))
    for kind, (solids, details) in _DRAWN.items()
}
OUTLINES = {
    kind: [grown(points, 1.8) for _, points in solids] for kind, (solids, _) in PICTOGRAMS.items()
}
