"""The eight places of the scenes: sky, ground and the clutter that lies about. All lengths in parts of the image, y downwards."""

import math

from clipnb.scenes.pictograms import oval

CLUTTER = (
    2,
    5,
)  # how many odds and ends lie behind the things: at least, at most; about half as many stand before them
HORIZON = {
    "beach": 0.46,
    "meadow": 0.44,
    "snow": 0.42,
    "street": 0.54,
    "night": 0.46,
    "sea": 0.40,
    "desert": 0.44,
    "forest": 0.50,
}


def between(rng, low, high):
    return low + (high - low) * rng.random()


def mixed(colour, other, share):
    """`colour` with `share` of `other` in it."""
    return tuple(round(a + (b - a) * share) for a, b in zip(colour, other))


def ridge(rng, y, height):
    """A rolling line at about `y`, closed along the bottom of the image."""
    waves = [(between(rng, 0.8, 1.8), 1.0), (between(rng, 2.2, 3.6), 0.4)]
    phases = [between(rng, 0, 6.283) for _ in waves]
    line = [
        (
            i / 24,
            y
            + height
            * sum(a * math.sin(6.283 * f * i / 24 + p) for (f, a), p in zip(waves, phases)),
        )
        for i in range(25)
    ]
    return line + [(1, 1.1), (0, 1.1)]


def hills(canvas, rises, colour):
    """Hills behind the ground for what stands high up. rises: list of (x, y of the top, half the width)."""
    for x, top, wide in sorted(rises, key=lambda rise: rise[1]):
        slope = [
            (x + 2 * wide * t, top + 0.4 * (1 - math.exp(-8 * abs(t) ** 3)))
            for t in (i / 12 - 1 for i in range(25))
        ]  # flat on top
        canvas.polygon(slope + [(x + 2 * wide, 1), (x - 2 * wide, 1)], colour)


def layers(canvas, rng, top, far, near, height=0.015, n=4):
    """Ground from the line `top` to the bottom of the image in `n` rolling layers, from the colour `far` to the colour `near`."""
    for i in range(n):
        canvas.polygon(
            ridge(rng, top + (1 - top) * (i / n) ** 1.2, height * (0.5 + i / n)),
            mixed(far, near, i / (n - 1)),
        )


def disc(canvas, x, y, r, colour, glow=0.9):
    """The sun or the moon, with a halo."""
    for k in (2.2, 1.6, 1.25):
        canvas.polygon(oval(x, y, r * k, corners=28), colour, glow * 0.22)
    canvas.polygon(oval(x, y, r, corners=28), colour)


def cloud(canvas, rng, x, y, s, colour=(255, 255, 255), alpha=0.8):
    for dx, dy, r in ((-0.9, 0.1, 0.5), (-0.3, -0.2, 0.7), (0.35, -0.1, 0.62), (0.95, 0.15, 0.42)):
        canvas.polygon(
            oval(x + dx * s, y + dy * s, r * s * between(rng, 0.85, 1.15), r * s * 0.62),
            colour,
            alpha,
        )


def clouds(canvas, rng, most, low, colour=(255, 255, 255), alpha=0.75):
    for _ in range(int(rng.random() * (most + 1))):
        cloud(
            canvas,
            rng,
            rng.random(),
            between(rng, 0.05, low),
            between(rng, 0.05, 0.11),
            colour,
            alpha,
        )


# Odds and ends: drawn at (x, y) = the middle of the foot, `s` = their width.


def rock(canvas, rng, x, y, s, colour):
    top = [
        (-0.5, 0),
        (-0.42, -0.3),
        (-0.12, between(rng, -0.62, -0.4)),
        (0.22, between(rng, -0.6, -0.4)),
        (0.46, -0.22),
        (0.5, 0),
    ]
    canvas.polygon([(x + a * s, y + b * s) for a, b in top], colour)
    canvas.polygon(
        [
            (x + a * s, y + b * s)
            for a, b in ((-0.42, -0.3), (-0.12, -0.44), (0.1, -0.42), (-0.1, -0.2))
        ],
        (255, 255, 255),
        0.35,
    )


def tuft(canvas, rng, x, y, s, colour):
    for a, tip in ((-0.3, -0.55), (-0.1, -0.2), (0.1, 0.12), (0.3, 0.5)):
        canvas.polygon(
            [
                (x + (a - 0.12) * s, y),
                (x + (a + 0.12) * s, y),
                (x + tip * s, y - between(rng, 0.7, 1.15) * s),
            ],
            colour,
        )


def bush(canvas, rng, x, y, s, colour):
    for dx, r in ((-0.32, 0.26), (0.3, 0.28), (0.0, 0.38)):
        canvas.polygon(
            oval(x + dx * s, y - 0.2 * s, r * s, r * s * 0.9),
            mixed(colour, (255, 255, 255), 0.1 * rng.random()),
        )


def starfish(canvas, rng, x, y, s, colour):
    turn = rng.random()
    star = [(0.5 if i % 2 == 0 else 0.2, 6.283 * (i / 10 + turn)) for i in range(10)]
    canvas.polygon(
        [(x + r * s * math.cos(a), y + r * s * 0.7 * math.sin(a)) for r, a in star], colour
    )


def cactus(canvas, rng, x, y, s, colour):
    s *= 1.3
    for left, right, top, foot in (
        (-0.1, 0.1, 1.0, 0),
        (-0.34, -0.2, 0.72, 0.36),
        (0.2, 0.34, 0.85, 0.46),
    ):
        canvas.polygon(
            [
                (x + left * s, y - foot * s),
                (x + left * s, y - top * s),
                (x + (left + right) / 2 * s, y - (top + 0.08) * s),
                (x + right * s, y - top * s),
                (x + right * s, y - foot * s),
            ],
            colour,
        )
    canvas.polygon(
        [
            (x - 0.34 * s, y - 0.48 * s),
            (x + 0.1 * s, y - 0.48 * s),
            (x + 0.1 * s, y - 0.36 * s),
            (x - 0.34 * s, y - 0.36 * s),
        ],
        colour,
    )
    canvas.polygon(
        [
            (x, y - 0.58 * s),
            (x + 0.34 * s, y - 0.58 * s),
            (x + 0.34 * s, y - 0.46 * s),
            (x, y - 0.46 * s),
        ],
        colour,
    )


def crest(canvas, rng, x, y, s, colour):
    for dx in (-0.5, 0.1):
        canvas.polygon(
            [(x + (dx + i / 12) * s, y + 0.1 * s * math.sin(i * 0.52)) for i in range(7)]
            + [
                (x + (dx + i / 12) * s, y + 0.1 * s * math.sin(i * 0.52) - 0.06 * s)
                for i in range(6, -1, -1)
            ],
            colour,
            0.7,
        )


def mushroom(canvas, rng, x, y, s, colour):
    canvas.polygon(
        [
            (x - 0.1 * s, y),
            (x + 0.1 * s, y),
            (x + 0.07 * s, y - 0.4 * s),
            (x - 0.07 * s, y - 0.4 * s),
        ],
        (235, 225, 205),
    )
    canvas.polygon(
        [
            (
                x + 0.34 * s * math.cos(a / 10 * 3.1416),
                y - (0.34 + 0.34 * math.sin(a / 10 * 3.1416)) * s,
            )
            for a in range(11)
        ],
        colour,
    )


def bollard(canvas, rng, x, y, s, colour):
    canvas.polygon(
        [
            (x - 0.16 * s, y),
            (x + 0.16 * s, y),
            (x + 0.12 * s, y - 0.8 * s),
            (x - 0.12 * s, y - 0.8 * s),
        ],
        colour,
    )
    canvas.polygon(oval(x, y - 0.8 * s, 0.17 * s, 0.12 * s), mixed(colour, (255, 255, 255), 0.35))


ODDS = {  # what lies about in each place: (shape, colour), drawn in turn by chance
    "beach": [
        (rock, (150, 138, 128)),
        (starfish, (214, 120, 96)),
        (tuft, (150, 156, 92)),
        (rock, (196, 172, 140)),
    ],
    "meadow": [
        (tuft, (78, 138, 58)),
        (tuft, (104, 158, 66)),
        (bush, (86, 132, 70)),
        (rock, (158, 158, 150)),
    ],
    "snow": [
        (rock, (146, 156, 172)),
        (bush, (222, 230, 240)),
        (tuft, (140, 130, 116)),
        (rock, (206, 216, 230)),
    ],
    "street": [
        (bollard, (96, 98, 106)),
        (bush, (96, 132, 92)),
        (bollard, (128, 110, 96)),
        (rock, (140, 140, 140)),
    ],
    "night": [
        (tuft, (30, 58, 72)),
        (bush, (32, 56, 70)),
        (rock, (70, 78, 104)),
        (tuft, (42, 74, 84)),
    ],
    "sea": [
        (crest, (255, 255, 255)),
        (crest, (214, 236, 244)),
        (crest, (255, 255, 255)),
        (rock, (104, 112, 120)),
    ],
    "desert": [
        (cactus, (96, 134, 84)),
        (rock, (176, 124, 84)),
        (rock, (150, 106, 80)),
        (tuft, (166, 150, 84)),
    ],
    "forest": [
        (bush, (50, 92, 58)),
        (tuft, (70, 112, 62)),
        (mushroom, (176, 92, 72)),
        (rock, (112, 116, 104)),
    ],
}


def odds_and_ends(canvas, rng, place, n, top, bottom, size=(0.05, 0.12)):
    """Scatter `n` of them with their feet between `top` and `bottom`, the far ones first."""
    for y in sorted(between(rng, top, bottom) for _ in range(n)):
        shape, colour = ODDS[place][int(rng.random() * len(ODDS[place]))]
        colour = mixed(
            colour, (255, 255, 255) if rng.random() < 0.5 else (40, 40, 60), 0.15 * rng.random()
        )
        shape(canvas, rng, rng.random(), y, between(rng, *size) * (0.7 + 0.5 * y), colour)


def beach(canvas, rng, horizon, rises):
    canvas.gradient((110, 182, 228), (214, 236, 244))
    disc(canvas, rng.random(), between(rng, 0.1, 0.24), 0.06, (255, 240, 190))
    clouds(canvas, rng, 3, 0.3)
    canvas.polygon([(0, horizon - 0.08), (1, horizon - 0.08), (1, 1), (0, 1)], (64, 146, 190))
    canvas.polygon(ridge(rng, horizon - 0.02, 0.004), (92, 176, 204))
    canvas.polygon(ridge(rng, horizon + 0.04, 0.014), (244, 250, 250))
    hills(canvas, rises, (214, 190, 148))
    layers(canvas, rng, horizon + 0.06, (226, 204, 160), (240, 220, 176), 0.016)


def meadow(canvas, rng, horizon, rises):
    canvas.gradient((132, 196, 236), (226, 240, 238))
    disc(canvas, rng.random(), between(rng, 0.1, 0.22), 0.055, (255, 238, 170))
    clouds(canvas, rng, 4, 0.28)
    canvas.polygon(ridge(rng, horizon - 0.07, 0.035), (164, 200, 168))
    canvas.polygon(ridge(rng, horizon, 0.025), (152, 194, 122))
    hills(canvas, rises, (140, 182, 108))
    layers(canvas, rng, horizon + 0.05, (170, 206, 104), (134, 184, 78), 0.02)
    for _ in range(30):  # specks of clover
        canvas.polygon(
            oval(rng.random(), between(rng, horizon + 0.1, 1), 0.006, corners=8),
            (250, 250, 230),
            0.8,
        )


def snow(canvas, rng, horizon, rises):
    canvas.gradient((150, 176, 206), (226, 232, 240))
    clouds(canvas, rng, 3, 0.3, (236, 240, 246))
    x = rng.random()
    for dx, height in ((-0.3, 0.2), (0.02, 0.28), (0.36, 0.17)):  # mountains with white tops
        peak, foot = (x + dx, horizon - height), horizon + 0.06
        canvas.polygon([(peak[0] - 0.3, foot), peak, (peak[0] + 0.3, foot)], (152, 168, 196))
        canvas.polygon(
            [
                (peak[0] - 0.09, peak[1] + 0.3 * height),
                peak,
                (peak[0] + 0.09, peak[1] + 0.3 * height),
                (peak[0] + 0.03, peak[1] + 0.24 * height),
                (peak[0] - 0.02, peak[1] + 0.36 * height),
            ],
            (246, 248, 252),
        )
    hills(canvas, rises, (208, 219, 234))
    layers(canvas, rng, horizon, (220, 229, 240), (240, 244, 250), 0.03)


def street(canvas, rng, horizon, rises):
    canvas.gradient((176, 200, 220), (232, 230, 222))
    clouds(canvas, rng, 2, 0.2)
    x = -0.05
    while x < 1:  # a row of flat-roofed blocks
        width, top = between(rng, 0.11, 0.22), horizon - between(rng, 0.16, 0.4)
        wall = mixed((172, 160, 150), (140, 150, 170), rng.random())
        canvas.polygon([(x, horizon), (x, top), (x + width, top), (x + width, horizon)], wall)
        pane = mixed(wall, (250, 240, 200) if rng.random() < 0.5 else (90, 100, 120), 0.5)
        for i in range(int(width / 0.045)):
            for j in range(int((horizon - top) / 0.06)):
                left, high = x + 0.014 + 0.045 * i, top + 0.02 + 0.06 * j
                canvas.polygon(
                    [
                        (left, high),
                        (left + 0.022, high),
                        (left + 0.022, high + 0.03),
                        (left, high + 0.03),
                    ],
                    pane,
                )
        x += width + 0.006
    hills(canvas, rises, (140, 164, 116))
    canvas.polygon([(0, horizon - 0.01), (1, horizon - 0.01), (1, 1), (0, 1)], (196, 190, 182))
    road = horizon + 0.1
    canvas.polygon([(0, road), (1, road), (1, 0.95), (0, 0.95)], (104, 106, 114))
    start = between(rng, -0.2, 0)
    for i in range(6):
        left = start + 0.22 * i
        canvas.polygon(
            [
                (left, road + 0.15),
                (left + 0.12, road + 0.15),
                (left + 0.11, road + 0.175),
                (left - 0.01, road + 0.175),
            ],
            (226, 222, 206),
        )
    x = between(rng, 0.04, 0.96)
    canvas.polygon(
        [(x - 0.008, road), (x + 0.008, road), (x + 0.008, road - 0.42), (x - 0.008, road - 0.42)],
        (70, 72, 82),
    )
    canvas.polygon(oval(x, road - 0.43, 0.032, 0.026), (255, 244, 200))


def night(canvas, rng, horizon, rises):
    canvas.gradient((22, 28, 70), (70, 80, 136))
    for _ in range(34):
        canvas.polygon(
            oval(rng.random(), between(rng, 0, horizon), between(rng, 0.003, 0.007), corners=8),
            (255, 252, 226),
            0.9,
        )
    x, y = between(rng, 0.08, 0.92), between(rng, 0.1, 0.22)
    disc(canvas, x, y, 0.06, (246, 240, 206), 0.6)
    canvas.polygon(oval(x - 0.02, y - 0.015, 0.012), (222, 214, 180))
    canvas.polygon(oval(x + 0.018, y + 0.022, 0.015), (222, 214, 180))
    canvas.polygon(ridge(rng, horizon - 0.06, 0.04), (52, 60, 108))
    hills(canvas, rises, (42, 56, 80))
    layers(canvas, rng, horizon, (58, 84, 112), (46, 72, 92), 0.025)


def sea(canvas, rng, horizon, rises):
    canvas.gradient((142, 200, 232), (236, 240, 232))
    disc(canvas, rng.random(), between(rng, 0.08, 0.2), 0.055, (255, 242, 196))
    clouds(canvas, rng, 4, 0.28)
    if rng.random() < 0.5:  # an island far away
        x = rng.random()
        canvas.polygon(
            [
                (x + 0.16 * math.cos(a / 10 * 3.1416), horizon - 0.07 * math.sin(a / 10 * 3.1416))
                for a in range(11)
            ],
            (140, 166, 160),
        )
    hills(canvas, rises, (120, 128, 126))
    layers(canvas, rng, horizon, (92, 170, 198), (36, 112, 166), 0.012, 6)


def desert(canvas, rng, horizon, rises):
    canvas.gradient((244, 190, 130), (252, 232, 190))
    disc(canvas, rng.random(), between(rng, 0.1, 0.26), 0.07, (255, 250, 220))
    x = between(rng, 0.1, 0.9)
    canvas.polygon(
        [
            (x - 0.17, horizon + 0.05),
            (x - 0.12, horizon - 0.14),
            (x + 0.1, horizon - 0.14),
            (x + 0.16, horizon + 0.05),
        ],
        (204, 136, 104),
    )
    hills(canvas, rises, (214, 160, 106))
    layers(canvas, rng, horizon, (226, 176, 118), (236, 190, 128), 0.035)


def forest(canvas, rng, horizon, rises):
    canvas.gradient((170, 200, 160), (214, 224, 184))
    for shade, n, width in (
        ((126, 158, 122), 9, 0.03),
        ((88, 108, 84), 7, 0.045),
    ):  # two rows of trunks
        for i in range(n):
            x = (i + rng.random()) / n
            canvas.polygon(
                [
                    (x - width / 2, 0),
                    (x + width / 2, 0),
                    (x + width * 0.7, horizon + 0.08),
                    (x - width * 0.7, horizon + 0.08),
                ],
                shade,
            )
    for i in range(9):  # leaves over our heads
        canvas.polygon(
            oval((i + rng.random()) / 9, between(rng, -0.04, 0.05), 0.11, 0.09),
            mixed((62, 104, 66), (90, 132, 80), rng.random()),
        )
    canvas.polygon(
        [(0.55, 0), (0.75, 0), (0.5, 1), (0.2, 1)], (255, 250, 210), 0.16
    )  # a shaft of light
    hills(canvas, rises, (108, 130, 84))
    layers(canvas, rng, horizon, (122, 142, 84), (96, 112, 66), 0.018)


PLACES = {
    "beach": beach,
    "meadow": meadow,
    "snow": snow,
    "street": street,
    "night": night,
    "sea": sea,
    "desert": desert,
    "forest": forest,
}
