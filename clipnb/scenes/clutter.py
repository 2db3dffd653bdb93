"""What lies about in a place: rocks, bushes, starfish. The captions never name it.

Every `draw_...` function draws one piece at (x, y), the middle of its foot. `size` is about its
width, and all lengths are parts of the image, y downwards.
"""

import math
import random

from clipnb.scenes.canvas import WHITE, Canvas, Colour, mix
from clipnb.scenes.chance import between, pick
from clipnb.scenes.polygons import Polygon, box, oval


def _place_points(points: Polygon, x: float, y: float, size: float) -> Polygon:
    """Scale a polygon by `size`, and move its origin to (x, y)."""
    return [(x + a * size, y + b * size) for a, b in points]


def draw_rock(
    canvas: Canvas, rng: random.Random, x: float, y: float, size: float, colour: Colour
) -> None:
    """Draw a rock with a light top."""
    left_peak, right_peak = between(rng, -0.62, -0.4), between(rng, -0.6, -0.4)
    # fmt: off
    rock = [
        (-0.5, 0), (-0.42, -0.3), (-0.12, left_peak), (0.22, right_peak), (0.46, -0.22), (0.5, 0),
    ]
    # fmt: on
    light = [(-0.42, -0.3), (-0.12, -0.44), (0.1, -0.42), (-0.1, -0.2)]
    canvas.polygon(_place_points(rock, x, y, size), colour)
    canvas.polygon(_place_points(light, x, y, size), WHITE, 0.35)


def draw_tuft(
    canvas: Canvas, rng: random.Random, x: float, y: float, size: float, colour: Colour
) -> None:
    """Draw four blades of grass."""
    for foot, tip in ((-0.3, -0.55), (-0.1, -0.2), (0.1, 0.12), (0.3, 0.5)):
        left, right = x + (foot - 0.12) * size, x + (foot + 0.12) * size
        top = y - between(rng, 0.7, 1.15) * size
        canvas.polygon([(left, y), (right, y), (x + tip * size, top)], colour)


def draw_bush(
    canvas: Canvas, rng: random.Random, x: float, y: float, size: float, colour: Colour
) -> None:
    """Draw a bush of three balls."""
    for dx, r in ((-0.32, 0.26), (0.3, 0.28), (0.0, 0.38)):
        ball = oval(x + dx * size, y - 0.2 * size, r * size, r * size * 0.9)
        canvas.polygon(ball, mix(colour, WHITE, 0.1 * rng.random()))


def draw_starfish(
    canvas: Canvas, rng: random.Random, x: float, y: float, size: float, colour: Colour
) -> None:
    """Draw a starfish, turned by chance."""
    turn = rng.random()
    star = []
    for i in range(10):
        r = 0.5 if i % 2 == 0 else 0.2
        angle = 6.283 * (i / 10 + turn)
        star.append((x + r * size * math.cos(angle), y + r * size * 0.7 * math.sin(angle)))
    canvas.polygon(star, colour)


def draw_cactus(
    canvas: Canvas, rng: random.Random, x: float, y: float, size: float, colour: Colour
) -> None:
    """Draw a cactus with two arms."""
    stems = ((-0.1, 0.1, 1.0, 0), (-0.34, -0.2, 0.72, 0.36), (0.2, 0.34, 0.85, 0.46))
    links = ((-0.34, -0.48, 0.1, -0.36), (0, -0.58, 0.34, -0.46))  # from an arm to the trunk
    size *= 1.3
    for left, right, top, foot in stems:
        middle = (left + right) / 2
        # fmt: off
        stem = [(left, -foot), (left, -top), (middle, -(top + 0.08)), (right, -top), (right, -foot)]
        # fmt: on
        canvas.polygon(_place_points(stem, x, y, size), colour)
    for link in links:
        canvas.polygon(_place_points(box(*link), x, y, size), colour)


def draw_wave_crest(
    canvas: Canvas, rng: random.Random, x: float, y: float, size: float, colour: Colour
) -> None:
    """Draw the white crests of two small waves."""
    for dx in (-0.5, 0.1):
        line = [(x + (dx + i / 12) * size, y + 0.1 * size * math.sin(i * 0.52)) for i in range(7)]
        upper = [(a, b - 0.06 * size) for a, b in reversed(line)]
        canvas.polygon(line + upper, colour, 0.7)


def draw_mushroom(
    canvas: Canvas, rng: random.Random, x: float, y: float, size: float, colour: Colour
) -> None:
    """Draw a mushroom with a round cap."""
    stem = [(-0.1, 0), (0.1, 0), (0.07, -0.4), (-0.07, -0.4)]
    canvas.polygon(_place_points(stem, x, y, size), (235, 225, 205))
    cap = []
    for i in range(11):
        angle = i / 10 * 3.1416
        height = 0.34 + 0.34 * math.sin(angle)
        cap.append((x + 0.34 * size * math.cos(angle), y - height * size))
    canvas.polygon(cap, colour)


def draw_bollard(
    canvas: Canvas, rng: random.Random, x: float, y: float, size: float, colour: Colour
) -> None:
    """Draw a bollard with a light head."""
    post = [(-0.16, 0), (0.16, 0), (0.12, -0.8), (-0.12, -0.8)]
    canvas.polygon(_place_points(post, x, y, size), colour)
    head = oval(x, y - 0.8 * size, 0.17 * size, 0.12 * size)
    canvas.polygon(head, mix(colour, WHITE, 0.35))


# What lies about in each place, as (function, colour). Each has the same chance.
# fmt: off
CLUTTER = {
    "beach": [
        (draw_rock, (150, 138, 128)),       (draw_starfish, (214, 120, 96)),
        (draw_tuft, (150, 156, 92)),        (draw_rock, (196, 172, 140))],
    "meadow": [
        (draw_tuft, (78, 138, 58)),         (draw_tuft, (104, 158, 66)),
        (draw_bush, (86, 132, 70)),         (draw_rock, (158, 158, 150))],
    "snow": [
        (draw_rock, (146, 156, 172)),       (draw_bush, (222, 230, 240)),
        (draw_tuft, (140, 130, 116)),       (draw_rock, (206, 216, 230))],
    "street": [
        (draw_bollard, (96, 98, 106)),      (draw_bush, (96, 132, 92)),
        (draw_bollard, (128, 110, 96)),     (draw_rock, (140, 140, 140))],
    "night": [
        (draw_tuft, (30, 58, 72)),          (draw_bush, (32, 56, 70)),
        (draw_rock, (70, 78, 104)),         (draw_tuft, (42, 74, 84))],
    "sea": [
        (draw_wave_crest, (255, 255, 255)), (draw_wave_crest, (214, 236, 244)),
        (draw_wave_crest, (255, 255, 255)), (draw_rock, (104, 112, 120))],
    "desert": [
        (draw_cactus, (96, 134, 84)),       (draw_rock, (176, 124, 84)),
        (draw_rock, (150, 106, 80)),        (draw_tuft, (166, 150, 84))],
    "forest": [
        (draw_bush, (50, 92, 58)),          (draw_tuft, (70, 112, 62)),
        (draw_mushroom, (176, 92, 72)),     (draw_rock, (112, 116, 104))],
}
# fmt: on


def scatter_clutter(
    canvas: Canvas,
    rng: random.Random,
    place: str,
    n: int,
    top: float,
    bottom: float,
    sizes: tuple[float, float] = (0.05, 0.12),
) -> None:
    """Draw `n` pieces with their feet between `top` and `bottom`, the far ones first.

    sizes: the smallest and the largest; what is near is drawn larger.
    """
    for y in sorted(between(rng, top, bottom) for _ in range(n)):
        draw, colour = pick(rng, CLUTTER[place])
        tint = WHITE if rng.random() < 0.5 else (40, 40, 60)
        colour = mix(colour, tint, 0.15 * rng.random())
        x = rng.random()
        size = between(rng, *sizes) * (0.7 + 0.5 * y)
        draw(canvas, rng, x, y, size, colour)
