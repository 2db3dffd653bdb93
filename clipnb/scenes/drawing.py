"""Draws a scene: where each thing stands (`layout`), and the image itself (`render`), in five styles."""

import colorsys
import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from clipnb.scenes.landscapes import CLUTTER, HORIZON, PLACES, between, mixed, odds_and_ends
from clipnb.scenes.pictograms import FLIERS, OUTLINES, PICTOGRAMS, oval

STYLES = ("painted", "sketch", "negative", "blurred", "noisy")

# How hard the images are to read. Heights of things in parts of the image; within an image the two sizes must not meet.
HEIGHT = {"small": (0.29, 0.34), "big": (0.48, 0.60)}
CROWDED = {"small": (0.24, 0.28), "big": (0.35, 0.41)}  # when four or more things share the image
GAP = 0.36  # between the middles of two things, in parts of their heights together: 0.5 touch, less overlap
TURN = {
    "kite": 25,
    "plane": 12,
    "bird": 12,
    "ball": 40,
    "fish": 12,
}  # degrees either way; 6 for the others
LIGHT = (0.82, 1.10)  # brightness of the whole image
TINT = 0.05  # how far warm or cold light moves red against blue

HUES = {  # hue, saturation, value in [0, 1], and how far the hue strays either way
    "red": (0.995, 0.82, 0.84, 0.014),
    "orange": (0.072, 0.88, 0.96, 0.012),
    "yellow": (0.138, 0.80, 0.98, 0.012),
    "green": (0.370, 0.66, 0.66, 0.035),
    "blue": (0.610, 0.76, 0.82, 0.025),
    "purple": (0.765, 0.60, 0.70, 0.025),
    "black": (0.65, 0.10, 0.20, 0.2),
    "white": (0.12, 0.03, 0.97, 0.1),
}
PAINTS = {
    "ink": (40, 36, 44),
    "glass": (196, 224, 236),
    "white": (252, 252, 250),
    "wood": (134, 94, 62),
    "leaf": (84, 140, 78),
    "gold": (246, 190, 76),
    "pollen": (150, 96, 40),
    "metal": (200, 204, 210),
    "crimson": (196, 60, 62),
    "roof": (126, 88, 84),
    "brick": (150, 104, 92),
}


@dataclass(frozen=True)
class Placed:
    """One drawn pictogram: which of the scene's things it is, its middle (x, y) and height in parts of the image, its pose."""

    thing: int
    kind: str
    x: float
    y: float
    height: float
    turn: float  # degrees
    mirrored: bool


class Canvas:
    """An image under construction; all coordinates in parts of the image."""

    def __init__(self, side):
        self.side = side
        self.image = Image.new("RGB", (side, side))
        self.opaque, self.see_through = (
            ImageDraw.Draw(self.image),
            ImageDraw.Draw(self.image, "RGBA"),
        )

    def polygon(self, points, colour, alpha=1.0):
        points = [(x * self.side, y * self.side) for x, y in points]
        if alpha < 1:
            self.see_through.polygon(points, fill=(*colour, round(255 * alpha)))
        else:
            self.opaque.polygon(points, fill=colour)

    def gradient(self, top, bottom):
        column = Image.new("RGB", (1, 32))
        column.putdata([mixed(top, bottom, i / 31) for i in range(32)])
        column = column.resize((1, self.side), Image.Resampling.BILINEAR)
        self.image.paste(column.resize((self.side, self.side), Image.Resampling.NEAREST))


def _zones(scene, heights):
    """For each thing the middle of its group, and how far its members may lie from it: (x, y, dx, dy)."""
    rng = random.Random(f"zones-{scene.seed}")
    low, things = (
        HORIZON[scene.place] + 0.14,
        scene.things,
    )  # a thing with its middle below `low` stands on the ground
    in_the_air = [t.kind in FLIERS for t in things]
    room = [sum(heights[t.size]) / 2 * (t.count - 1) for t in things]
    if scene.relation is None:
        y = between(rng, 0.2, 0.5) if in_the_air[0] else between(rng, low, 0.78)
        return [(between(rng, 0.3, 0.7), y, 0.10 + 0.5 * room[0], 0.06 + 0.4 * room[0])]
    if scene.relation in ("left of", "right of"):
        y = between(rng, 0.25, 0.45) if all(in_the_air) else between(rng, low, 0.72)
        zones = [
            (x, y, 0.07 + 0.1 * r, 0.05 + 0.5 * r)
            for x, r in zip((between(rng, 0.23, 0.26), between(rng, 0.74, 0.77)), room)
        ]
        return (
            zones
            if scene.relation == "left of"
            else [zones[1][:2] + zones[0][2:], zones[0][:2] + zones[1][2:]]
        )
    x, upper, lower = between(rng, 0.4, 0.6), between(rng, 0.22, 0.28), between(rng, 0.74, 0.80)
    return [
        (x, y, 0.08 + 0.6 * r, 0.03 + 0.08 * r)
        for y, r in zip((upper, lower) if scene.relation == "above" else (lower, upper), room)
    ]


def _gap(spot, others):
    """Distance of (x, y, height) from the nearest of `others`, in parts of the two heights together."""
    return min(
        (math.hypot(spot[0] - x, spot[1] - y) / (spot[2] + h) for x, y, h in others), default=1.0
    )


def layout(scene):
    """Where everything stands: a list of `Placed`, things in order. Depends on the scene alone, not on size or style."""
    rng = random.Random(f"layout-{scene.seed}")
    heights = HEIGHT if sum(t.count for t in scene.things) < 4 else CROWDED
    placed, taken = [], []
    for i, (thing, (x, y, dx, dy)) in enumerate(zip(scene.things, _zones(scene, heights))):
        tall, best, widest = (
            [between(rng, *heights[thing.size]) for _ in range(thing.count)],
            None,
            -1,
        )
        for _ in range(
            60
        ):  # throw the group until its members do not hide one another, or keep the best throw
            group, gap = [], 1.0
            for h in tall:
                a, b = between(rng, x - dx, x + dx), between(rng, y - dy, y + dy)
                spot = (min(max(a, 0.44 * h), 1 - 0.44 * h), min(max(b, 0.46 * h), 0.97 - h / 2), h)
                gap = min(gap, _gap(spot, taken + group))
                group.append(spot)
            if gap > widest:
                best, widest = group, gap
            if gap >= GAP:
                break
        limit = TURN.get(thing.kind, 6)
        placed += [
            Placed(i, thing.kind, *spot, between(rng, -limit, limit), rng.random() < 0.5)
            for spot in best
        ]
        taken += best
    return placed


def shades(colour, rng):
    """The paints of one thing of a named colour: body, shade, light and outline, straying a little as dyes do."""
    hue, saturation, value, stray = HUES[colour]
    hue, saturation, value = (
        hue + between(rng, -stray, stray),
        saturation * between(rng, 0.88, 1.06),
        value * between(rng, 0.9, 1.03),
    )
    body = tuple(
        round(255 * min(c, 1))
        for c in colorsys.hsv_to_rgb(hue % 1, min(saturation, 1), min(value, 1))
    )
    if colour == "black":  # black needs lighter lines to be seen at all
        return {
            "body": body,
            "shade": mixed(body, (0, 0, 0), 0.35),
            "light": mixed(body, (255, 255, 255), 0.25),
            "outline": mixed(body, (255, 255, 255), 0.42),
        }
    dark = (116, 122, 150) if colour == "white" else (24, 16, 40)
    return {
        "body": body,
        "shade": mixed(body, dark, 0.34),
        "light": mixed(body, (255, 255, 255), 0.45),
        "outline": mixed(body, dark, 0.9 if colour == "white" else 0.66),
    }


def paint_thing(canvas, placed, colour, rng):
    """Draw one pictogram where `placed` says."""
    paints = {**PAINTS, **shades(colour, rng)}
    if colour == "black":
        paints["ink"] = (214, 210, 190)  # eyes that shine
    scale, turn, way = (
        placed.height / 100 * canvas.side,
        math.radians(placed.turn),
        -1 if placed.mirrored else 1,
    )
    cos, sin, x0, y0 = (
        scale * math.cos(turn),
        scale * math.sin(turn),
        placed.x * canvas.side,
        placed.y * canvas.side,
    )

    def put(points, paint):  # from the pictogram's box straight to pixels
        points = [
            (x0 + way * (x - 50) * cos - (y - 50) * sin, y0 + way * (x - 50) * sin + (y - 50) * cos)
            for x, y in points
        ]
        canvas.opaque.polygon(points, fill=paints[paint])

    solids, details = PICTOGRAMS[placed.kind]
    for points in OUTLINES[placed.kind]:  # all outlines first: the parts then melt into one figure
        put(points, "outline")
    for paint, points in solids + details:
        put(points, paint)


def _stand(canvas, placed, scene):
    """A shadow under a thing, before it is drawn."""
    if scene.place != "sea" and placed.kind not in FLIERS:
        canvas.polygon(
            oval(
                placed.x + 0.02,
                placed.y + 0.47 * placed.height,
                0.44 * placed.height,
                0.07 * placed.height,
            ),
            (20, 20, 50),
            0.28,
        )


def _wash(canvas, placed):
    """Water round the foot of a thing that swims."""
    x, y, h = placed.x, placed.y + 0.40 * placed.height, placed.height
    crest = [(x + h * (i / 12 - 0.62), y + 0.02 * h * math.sin(i * 1.4)) for i in range(16)]
    canvas.polygon(
        crest + [(x + 0.5 * h, y + 0.13 * h), (x - 0.5 * h, y + 0.13 * h)], (60, 140, 182)
    )
    canvas.polygon(crest + [(a, b + 0.03 * h) for a, b in reversed(crest)], (230, 244, 248))


def _paint(scene, side):
    """The scene on a canvas of `side` pixels: place, hills, clutter, things from far to near, clutter before them."""
    rng, canvas = random.Random(f"paint-{scene.seed}"), Canvas(side)
    place, horizon, things = scene.place, HORIZON[scene.place], layout(scene)
    rises = [
        (p.x, p.y + 0.46 * p.height, 0.72 * p.height + 0.04)
        for p in things
        if p.kind not in FLIERS and p.y + 0.48 * p.height < horizon + 0.05
    ]
    PLACES[place](canvas, rng, horizon, rises)
    n = CLUTTER[0] + int(rng.random() * (CLUTTER[1] - CLUTTER[0] + 1))
    odds_and_ends(canvas, rng, place, n, horizon + 0.06, 0.9)
    for p in sorted(things, key=lambda p: p.y + 0.5 * p.height):
        _stand(canvas, p, scene)
        paint_thing(canvas, p, scene.things[p.thing].colour, rng)
        if place == "sea" and p.kind not in FLIERS and p.y + 0.48 * p.height > horizon + 0.05:
            _wash(canvas, p)
    odds_and_ends(canvas, rng, place, n // 2, 0.95, 1.03, (0.05, 0.10))
    if place == "snow":
        for _ in range(40):
            canvas.polygon(
                oval(rng.random(), rng.random(), between(rng, 0.004, 0.009), corners=8),
                (255, 255, 255),
                0.9,
            )
    light = random.Random(
        f"light-{scene.seed}"
    )  # of its own: the light stays when a count or a place is changed
    gain, warmth = between(light, *LIGHT), between(light, -TINT, TINT)
    gains = (gain * (1 + warmth), gain, gain * (1 - warmth))
    return canvas.image.point([min(255, round(v * g)) for g in gains for v in range(256)])


def render(scene, size=64, style="painted"):
    """Draw `scene` as a PIL RGB image of `size` x `size` pixels. The same scene in another style has the same layout.

    style: one of STYLES. Raises ValueError for another style.
    """
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}; choose one of {', '.join(STYLES)}")
    factor = (
        4 if size < 100 else 3 if size < 200 else 2
    )  # drawn larger and averaged down: smooth edges
    image = _paint(scene, size * factor).reduce(factor)
    if style == "negative":
        return ImageOps.invert(image)
    if style == "blurred":
        return image.filter(ImageFilter.GaussianBlur(size / 36))
    if style == "noisy":
        return _with_noise(image, scene.seed)
    return _as_sketch(image) if style == "sketch" else image


def _with_noise(image, seed, strength=0.26):
    """Grain as of film in bad light: half the noise is coarse, so that it survives a later change of size."""
    rng, side = random.Random(f"noise-{seed}"), image.width
    for grain in (1, 2):
        n = -(-side // grain)
        noise = Image.frombytes("RGB", (n, n), rng.randbytes(3 * n * n)).resize(
            (side, side), Image.Resampling.NEAREST
        )
        image = Image.blend(image, noise, strength)
    return image


def _as_sketch(image):
    """A pencil drawing: grey divided by its own blur leaves the edges, then a little of the tones comes back."""
    grey = ImageOps.grayscale(image)
    soft = grey.filter(ImageFilter.GaussianBlur(image.width / 40))
    tone, blur = np.asarray(grey, dtype=np.float32), np.asarray(soft, dtype=np.float32)
    lines = np.clip(tone / (blur + 1), 0, 1) ** 2.2
    paper = 246 * (0.86 * lines + 0.14 * tone / 255)
    return Image.merge(
        "RGB",
        [Image.fromarray((paper * c).clip(0, 255).astype(np.uint8)) for c in (1.0, 0.985, 0.95)],
    )
