"""The eight places of the scenes: sky, ground, and what belongs to them.

All lengths are parts of the image, y downwards.
"""

import math
import random
from typing import NamedTuple

from clipnb.scenes.canvas import WHITE, Canvas, Colour, mix
from clipnb.scenes.chance import between
from clipnb.scenes.polygons import Polygon, box, oval

# fmt: off
HORIZON = {
    "beach": 0.46, "meadow": 0.44, "snow": 0.42, "street": 0.54,
    "night": 0.46, "sea": 0.40, "desert": 0.44, "forest": 0.50,
}
# fmt: on
PUFFS = ((-0.9, 0.1, 0.5), (-0.3, -0.2, 0.7), (0.35, -0.1, 0.62), (0.95, 0.15, 0.42))  # of a cloud


class Hill(NamedTuple):
    """Ground that reaches up to a thing which would otherwise stand in the sky."""

    x: float
    top: float
    half_width: float


# ---- parts of a landscape --------------------------------------------------------------------


def ridge(rng: random.Random, y: float, height: float) -> Polygon:
    """Return a rolling line at about `y`, closed below the bottom of the image."""
    slow, fast = between(rng, 0.8, 1.8), between(rng, 2.2, 3.6)  # waves across the image
    slow_phase, fast_phase = between(rng, 0, 6.283), between(rng, 0, 6.283)
    line = []
    for i in range(25):
        slow_wave = math.sin(6.283 * slow * i / 24 + slow_phase)
        fast_wave = math.sin(6.283 * fast * i / 24 + fast_phase)
        line.append((i / 24, y + height * (slow_wave + 0.4 * fast_wave)))
    return [*line, (1, 1.1), (0, 1.1)]


def draw_ground(
    canvas: Canvas,
    rng: random.Random,
    top: float,
    far: Colour,
    near: Colour,
    height: float = 0.015,
    n: int = 4,
) -> None:
    """Draw the ground from the line `top` to the bottom of the image in `n` rolling layers.

    Their colours go from `far` to `near`. height: how high the first layer rolls.
    """
    for i in range(n):
        y = top + (1 - top) * (i / n) ** 1.2
        layer = ridge(rng, y, height * (0.5 + i / n))
        canvas.polygon(layer, mix(far, near, i / (n - 1)))


def draw_hills(canvas: Canvas, hills: list[Hill], colour: Colour) -> None:
    """Draw hills with flat tops, the highest first."""
    for hill in sorted(hills, key=lambda hill: hill.top):
        reach = 2 * hill.half_width
        slope = []
        for i in range(25):
            t = i / 12 - 1  # -1 to 1
            drop = 0.4 * (1 - math.exp(-8 * abs(t) ** 3))
            slope.append((hill.x + reach * t, hill.top + drop))
        canvas.polygon([*slope, (hill.x + reach, 1), (hill.x - reach, 1)], colour)


def draw_disc(
    canvas: Canvas, x: float, y: float, r: float, colour: Colour, glow: float = 0.9
) -> None:
    """Draw the sun or the moon with a halo. glow: how strong the halo is."""
    for factor in (2.2, 1.6, 1.25):
        canvas.polygon(oval(x, y, r * factor, corners=28), colour, glow * 0.22)
    canvas.polygon(oval(x, y, r, corners=28), colour)


def draw_clouds(
    canvas: Canvas, rng: random.Random, most: int, low: float, colour: Colour = WHITE
) -> None:
    """Draw up to `most` clouds, none of them below `low`."""
    n = int(rng.random() * (most + 1))
    for _ in range(n):
        x, y = rng.random(), between(rng, 0.05, low)
        size = between(rng, 0.05, 0.11)
        for dx, dy, r in PUFFS:
            rx = r * size * between(rng, 0.85, 1.15)
            canvas.polygon(oval(x + dx * size, y + dy * size, rx, r * size * 0.62), colour, 0.75)


# ---- the places ------------------------------------------------------------------------------


def paint_beach(canvas: Canvas, rng: random.Random, horizon: float, hills: list[Hill]) -> None:
    """Paint sun, sea and sand."""
    canvas.gradient((110, 182, 228), (214, 236, 244))
    draw_disc(canvas, rng.random(), between(rng, 0.1, 0.24), 0.06, (255, 240, 190))
    draw_clouds(canvas, rng, 3, 0.3)
    canvas.polygon(box(0, horizon - 0.08, 1, 1), (64, 146, 190))
    canvas.polygon(ridge(rng, horizon - 0.02, 0.004), (92, 176, 204))
    canvas.polygon(ridge(rng, horizon + 0.04, 0.014), (244, 250, 250))  # foam
    draw_hills(canvas, hills, (214, 190, 148))
    draw_ground(canvas, rng, horizon + 0.06, (226, 204, 160), (240, 220, 176), 0.016)


def paint_meadow(canvas: Canvas, rng: random.Random, horizon: float, hills: list[Hill]) -> None:
    """Paint sun, far hills, and grass with clover."""
    canvas.gradient((132, 196, 236), (226, 240, 238))
    draw_disc(canvas, rng.random(), between(rng, 0.1, 0.22), 0.055, (255, 238, 170))
    draw_clouds(canvas, rng, 4, 0.28)
    canvas.polygon(ridge(rng, horizon - 0.07, 0.035), (164, 200, 168))
    canvas.polygon(ridge(rng, horizon, 0.025), (152, 194, 122))
    draw_hills(canvas, hills, (140, 182, 108))
    draw_ground(canvas, rng, horizon + 0.05, (170, 206, 104), (134, 184, 78), 0.02)
    for _ in range(30):
        clover = oval(rng.random(), between(rng, horizon + 0.1, 1), 0.006, corners=8)
        canvas.polygon(clover, (250, 250, 230), 0.8)


def paint_snow(canvas: Canvas, rng: random.Random, horizon: float, hills: list[Hill]) -> None:
    """Paint snow and three mountains with white tops."""
    canvas.gradient((150, 176, 206), (226, 232, 240))
    draw_clouds(canvas, rng, 3, 0.3, (236, 240, 246))
    middle = rng.random()
    for dx, height in ((-0.3, 0.2), (0.02, 0.28), (0.36, 0.17)):
        x, y = middle + dx, horizon - height  # the peak
        foot = horizon + 0.06
        canvas.polygon([(x - 0.3, foot), (x, y), (x + 0.3, foot)], (152, 168, 196))
        white_top = [
            (x - 0.09, y + 0.3 * height),
            (x, y),
            (x + 0.09, y + 0.3 * height),
            (x + 0.03, y + 0.24 * height),
            (x - 0.02, y + 0.36 * height),
        ]
        canvas.polygon(white_top, (246, 248, 252))
    draw_hills(canvas, hills, (208, 219, 234))
    draw_ground(canvas, rng, horizon, (220, 229, 240), (240, 244, 250), 0.03)


def paint_street(canvas: Canvas, rng: random.Random, horizon: float, hills: list[Hill]) -> None:
    """Paint a row of houses, a pavement, a road and a street lamp."""
    canvas.gradient((176, 200, 220), (232, 230, 222))
    draw_clouds(canvas, rng, 2, 0.2)
    x = -0.05
    while x < 1:
        width = between(rng, 0.11, 0.22)
        top = horizon - between(rng, 0.16, 0.4)
        _draw_building(canvas, rng, x, width, top, horizon)
        x += width + 0.006
    draw_hills(canvas, hills, (140, 164, 116))
    canvas.polygon(box(0, horizon - 0.01, 1, 1), (196, 190, 182))  # the pavement
    road = horizon + 0.1
    canvas.polygon(box(0, road, 1, 0.95), (104, 106, 114))
    first = between(rng, -0.2, 0)
    for i in range(6):
        x, top, bottom = first + 0.22 * i, road + 0.15, road + 0.175
        marking = [(x, top), (x + 0.12, top), (x + 0.11, bottom), (x - 0.01, bottom)]
        canvas.polygon(marking, (226, 222, 206))
    lamp = between(rng, 0.04, 0.96)
    canvas.polygon(box(lamp - 0.008, road - 0.42, lamp + 0.008, road), (70, 72, 82))
    canvas.polygon(oval(lamp, road - 0.43, 0.032, 0.026), (255, 244, 200))


def _draw_building(
    canvas: Canvas, rng: random.Random, left: float, width: float, top: float, bottom: float
) -> None:
    """Draw a building with a flat roof and rows of windows."""
    wall = mix((172, 160, 150), (140, 150, 170), rng.random())
    canvas.polygon(box(left, top, left + width, bottom), wall)
    is_lit = rng.random() < 0.5
    window = mix(wall, (250, 240, 200) if is_lit else (90, 100, 120), 0.5)
    for column in range(int(width / 0.045)):
        for row in range(int((bottom - top) / 0.06)):
            x = left + 0.014 + 0.045 * column
            y = top + 0.02 + 0.06 * row
            canvas.polygon(box(x, y, x + 0.022, y + 0.03), window)


def paint_night(canvas: Canvas, rng: random.Random, horizon: float, hills: list[Hill]) -> None:
    """Paint stars and a moon over dark hills."""
    canvas.gradient((22, 28, 70), (70, 80, 136))
    for _ in range(34):
        x, y, r = rng.random(), between(rng, 0, horizon), between(rng, 0.003, 0.007)
        canvas.polygon(oval(x, y, r, corners=8), (255, 252, 226), 0.9)
    x, y = between(rng, 0.08, 0.92), between(rng, 0.1, 0.22)
    draw_disc(canvas, x, y, 0.06, (246, 240, 206), glow=0.6)
    canvas.polygon(oval(x - 0.02, y - 0.015, 0.012), (222, 214, 180))  # craters
    canvas.polygon(oval(x + 0.018, y + 0.022, 0.015), (222, 214, 180))
    canvas.polygon(ridge(rng, horizon - 0.06, 0.04), (52, 60, 108))
    draw_hills(canvas, hills, (42, 56, 80))
    draw_ground(canvas, rng, horizon, (58, 84, 112), (46, 72, 92), 0.025)


def paint_sea(canvas: Canvas, rng: random.Random, horizon: float, hills: list[Hill]) -> None:
    """Paint open water, half of the time with an island far away."""
    canvas.gradient((142, 200, 232), (236, 240, 232))
    draw_disc(canvas, rng.random(), between(rng, 0.08, 0.2), 0.055, (255, 242, 196))
    draw_clouds(canvas, rng, 4, 0.28)
    if rng.random() < 0.5:
        x = rng.random()
        angles = [i / 10 * 3.1416 for i in range(11)]
        island = [(x + 0.16 * math.cos(a), horizon - 0.07 * math.sin(a)) for a in angles]
        canvas.polygon(island, (140, 166, 160))
    draw_hills(canvas, hills, (120, 128, 126))
    draw_ground(canvas, rng, horizon, (92, 170, 198), (36, 112, 166), 0.012, n=6)


def paint_desert(canvas: Canvas, rng: random.Random, horizon: float, hills: list[Hill]) -> None:
    """Paint dunes and a table mountain."""
    canvas.gradient((244, 190, 130), (252, 232, 190))
    draw_disc(canvas, rng.random(), between(rng, 0.1, 0.26), 0.07, (255, 250, 220))
    x, top, foot = between(rng, 0.1, 0.9), horizon - 0.14, horizon + 0.05
    mountain = [(x - 0.17, foot), (x - 0.12, top), (x + 0.1, top), (x + 0.16, foot)]
    canvas.polygon(mountain, (204, 136, 104))
    draw_hills(canvas, hills, (214, 160, 106))
    draw_ground(canvas, rng, horizon, (226, 176, 118), (236, 190, 128), 0.035)


def paint_forest(canvas: Canvas, rng: random.Random, horizon: float, hills: list[Hill]) -> None:
    """Paint two rows of trunks, leaves above them, and a shaft of light."""
    canvas.gradient((170, 200, 160), (214, 224, 184))
    _draw_trunks(canvas, rng, horizon, 9, 0.03, (126, 158, 122))
    _draw_trunks(canvas, rng, horizon, 7, 0.045, (88, 108, 84))
    for i in range(9):
        leaves = oval((i + rng.random()) / 9, between(rng, -0.04, 0.05), 0.11, 0.09)
        canvas.polygon(leaves, mix((62, 104, 66), (90, 132, 80), rng.random()))
    canvas.polygon([(0.55, 0), (0.75, 0), (0.5, 1), (0.2, 1)], (255, 250, 210), 0.16)
    draw_hills(canvas, hills, (108, 130, 84))
    draw_ground(canvas, rng, horizon, (122, 142, 84), (96, 112, 66), 0.018)


def _draw_trunks(
    canvas: Canvas, rng: random.Random, horizon: float, n: int, width: float, colour: Colour
) -> None:
    """Draw a row of `n` trunks, wider at the foot."""
    foot = horizon + 0.08
    for i in range(n):
        x = (i + rng.random()) / n
        top = [(x - width / 2, 0), (x + width / 2, 0)]
        canvas.polygon([*top, (x + width * 0.7, foot), (x - width * 0.7, foot)], colour)


PLACE_PAINTERS = {
    "beach": paint_beach,
    "meadow": paint_meadow,
    "snow": paint_snow,
    "street": paint_street,
    "night": paint_night,
    "sea": paint_sea,
    "desert": paint_desert,
    "forest": paint_forest,
}
