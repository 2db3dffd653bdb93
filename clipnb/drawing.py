"""Draws a scene: where each thing stands (`layout`), and the picture itself (`render`), in five styles."""

import colorsys
import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from clipnb.landscapes import CLUTTER, HORIZON, PLACES, between, mixed, odds_and_ends
from clipnb.pictograms import OUTLINES, PICTOGRAMS, oval

STYLES = ("painted", "sketch", "negative", "blurred", "noisy")
FLIERS = ("bird", "kite", "plane")

# How hard the pictures are to read. Heights of things in parts of the picture; the two sizes must not meet.
HEIGHT = {"small": (0.20, 0.255), "big": (0.34, 0.43)}
CROWDED = {"small": (0.18, 0.225), "big": (0.28, 0.33)}  # when four or more things share the picture
TURN = {"kite": 25, "plane": 12, "bird": 12, "ball": 40, "fish": 12}  # degrees either way; 6 for the others
LIGHT = (0.82, 1.10)  # brightness of the whole picture
TINT = 0.05  # how far warm or cold light moves red against blue

HUES = {  # hue, saturation, value in [0, 1], and how far the hue strays either way
    "red": (0.995, 0.82, 0.84, 0.014), "orange": (0.072, 0.88, 0.96, 0.012), "yellow": (0.138, 0.80, 0.98, 0.012),
    "green": (0.370, 0.66, 0.66, 0.035), "blue": (0.610, 0.76, 0.82, 0.025), "purple": (0.765, 0.60, 0.70, 0.025),
    "black": (0.65, 0.10, 0.20, 0.2), "white": (0.12, 0.03, 0.97, 0.1),
}
PAINTS = {"ink": (40, 36, 44), "glass": (196, 224, 236), "white": (252, 252, 250), "wood": (134, 94, 62), "leaf": (84, 140, 78),
          "gold": (246, 190, 76), "pollen": (150, 96, 40), "metal": (200, 204, 210), "crimson": (196, 60, 62), "roof": (126, 88, 84),
          "brick": (150, 104, 92)}


@dataclass(frozen=True)
class Placed:
    """One drawn pictogram: which of the scene's things it is, its middle (x, y) and height in parts of the picture, its pose."""

    thing: int
    kind: str
    x: float
    y: float
    height: float
    turn: float  # degrees
    mirrored: bool


class Canvas:
    """A picture under construction; all coordinates in parts of the picture."""

    def __init__(self, side):
        self.side = side
        self.image = Image.new("RGB", (side, side))
        self.opaque, self.see_through = ImageDraw.Draw(self.image), ImageDraw.Draw(self.image, "RGBA")

    def polygon(self, points, colour, alpha=1.0):
        points = [(x * self.side, y * self.side) for x, y in points]
        if alpha < 1:
            self.see_through.polygon(points, fill=(*colour, round(255 * alpha)))
        else:
            self.opaque.polygon(points, fill=colour)

    def gradient(self, top, bottom):
        column = Image.new("RGB", (1, 32))
        column.putdata([mixed(top, bottom, i / 31) for i in range(32)])
        self.image.paste(column.resize((self.side, self.side), Image.Resampling.BILINEAR))


def _zones(scene):
    """For each thing the middle of its group, and how far its members may lie from it: (x, y, dx, dy)."""
    rng = random.Random(f"zones-{scene.seed}")
    horizon, things = HORIZON[scene.place], scene.things
    in_the_air = [t.kind in FLIERS for t in things]
    spread = [0.05 * (t.count - 1) for t in things]
    if scene.relation is None:
        y = between(rng, 0.2, 0.5) if in_the_air[0] else between(rng, horizon + 0.14, 0.78)
        return [(between(rng, 0.3, 0.7), y, 0.10 + 3 * spread[0], 0.06 + 2 * spread[0])]
    if scene.relation in ("left of", "right of"):
        y = between(rng, 0.25, 0.45) if all(in_the_air) else between(rng, horizon + 0.14, 0.72)
        zones = [(x, y, 0.07 + spread[0] * 0.7, 0.05 + 2 * spread[0]) for x in (between(rng, 0.24, 0.27), between(rng, 0.73, 0.76))]
        return zones if scene.relation == "left of" else zones[::-1]
    x = between(rng, 0.4, 0.6)
    zones = [(x, y, 0.08 + 3 * s, 0.03 + s * 0.5) for y, s in zip((between(rng, 0.22, 0.28), between(rng, 0.74, 0.80)), spread)]
    return zones if scene.relation == "above" else zones[::-1]


def layout(scene):
    """Where everything stands: a list of `Placed`, things in order. Depends on the scene alone, not on size or style."""
    rng = random.Random(f"layout-{scene.seed}")
    heights = HEIGHT if sum(t.count for t in scene.things) < 4 else CROWDED
    placed = []
    for i, (thing, (x, y, dx, dy)) in enumerate(zip(scene.things, _zones(scene))):
        for _ in range(thing.count):
            height, best = between(rng, *heights[thing.size]), None
            edge = 0.42 * height  # things stay inside the picture, but for a tail or a wing
            for _ in range(20):  # of twenty random spots the one farthest from what stands there already
                a = min(max(between(rng, x - dx, x + dx), edge), 1 - edge)
                b = min(max(between(rng, y - dy, y + dy), edge), 0.97 - height / 2)
                gap = min((math.hypot(a - p.x, b - p.y) / (height + p.height) for p in placed), default=0)
                if best is None or gap > best[0]:
                    best = (gap, a, b)
            limit = TURN.get(thing.kind, 6)
            placed.append(Placed(i, thing.kind, best[1], best[2], height, between(rng, -limit, limit), rng.random() < 0.5))
    return placed


def shades(colour, rng):
    """The paints of one thing of a named colour: body, shade, light and outline, straying a little as dyes do."""
    hue, saturation, value, stray = HUES[colour]
    hue, saturation, value = hue + between(rng, -stray, stray), saturation * between(rng, 0.88, 1.06), value * between(rng, 0.9, 1.03)
    body = tuple(round(255 * min(c, 1)) for c in colorsys.hsv_to_rgb(hue % 1, min(saturation, 1), min(value, 1)))
    if colour == "black":  # black needs lighter lines to be seen at all
        return {"body": body, "shade": mixed(body, (0, 0, 0), 0.35), "light": mixed(body, (255, 255, 255), 0.25),
                "outline": mixed(body, (255, 255, 255), 0.42)}
    dark = (116, 122, 150) if colour == "white" else (24, 16, 40)
    return {"body": body, "shade": mixed(body, dark, 0.34), "light": mixed(body, (255, 255, 255), 0.45),
            "outline": mixed(body, dark, 0.9 if colour == "white" else 0.66)}


def paint_thing(canvas, placed, colour, rng):
    """Draw one pictogram where `placed` says."""
    paints = {**PAINTS, **shades(colour, rng)}
    if colour == "black":
        paints["ink"] = (214, 210, 190)  # eyes that shine
    scale, turn = placed.height / 100, math.radians(placed.turn)
    cos, sin, side = scale * math.cos(turn), scale * math.sin(turn), -1 if placed.mirrored else 1

    def put(points):
        return [(placed.x + side * (x - 50) * cos - (y - 50) * sin, placed.y + side * (x - 50) * sin + (y - 50) * cos) for x, y in points]

    solids, details = PICTOGRAMS[placed.kind]
    for points in OUTLINES[placed.kind]:  # all outlines first: the parts then melt into one figure
        canvas.polygon(put(points), paints["outline"])
    for paint, points in solids + details:
        canvas.polygon(put(points), paints[paint])


def _hill(canvas, placed, colour):
    """Something to stand on for what is not on the ground and cannot fly."""
    foot, wide = placed.y + 0.47 * placed.height, 0.75 * placed.height + 0.08
    bell = [(placed.x + wide * t, foot + 0.34 * (1 - math.exp(-2.2 * t * t)) - 0.012) for t in (i / 10 - 1.4 for i in range(29))]
    canvas.polygon(bell + [(bell[-1][0], 0.72), (bell[0][0], 0.72)], colour)


def _stand(canvas, placed, scene):
    """A shadow under a thing, before it is drawn."""
    if scene.place != "sea" and placed.kind not in FLIERS:
        canvas.polygon(oval(placed.x + 0.02, placed.y + 0.47 * placed.height, 0.44 * placed.height, 0.07 * placed.height), (20, 20, 50), 0.28)


def _wash(canvas, placed):
    """Water round the foot of a thing that swims."""
    x, y, h = placed.x, placed.y + 0.40 * placed.height, placed.height
    crest = [(x + h * (i / 12 - 0.62), y + 0.02 * h * math.sin(i * 1.4)) for i in range(16)]
    canvas.polygon(crest + [(x + 0.5 * h, y + 0.13 * h), (x - 0.5 * h, y + 0.13 * h)], (60, 140, 182))
    canvas.polygon(crest + [(a, b + 0.03 * h) for a, b in reversed(crest)], (230, 244, 248))


def _paint(scene, side):
    """The scene on a canvas of `side` pixels: place, hills, clutter, things from far to near, clutter before them."""
    rng, canvas = random.Random(f"paint-{scene.seed}"), Canvas(side)
    place, horizon, things = scene.place, HORIZON[scene.place], layout(scene)
    PLACES[place](canvas, rng, horizon)
    for p in sorted(things, key=lambda p: p.y):
        if p.kind not in FLIERS and p.y + 0.47 * p.height < horizon + 0.05:
            _hill(canvas, p, mixed(canvas.image.getpixel((side // 2, int(side * (horizon + 0.12)))), (90, 96, 90), 0.2))
    n = CLUTTER[0] + int(rng.random() * (CLUTTER[1] - CLUTTER[0] + 1))
    odds_and_ends(canvas, rng, place, n, horizon + 0.06, 0.9)
    for p in sorted(things, key=lambda p: p.y + 0.5 * p.height):
        _stand(canvas, p, scene)
        paint_thing(canvas, p, scene.things[p.thing].colour, rng)
        if place == "sea" and p.kind not in FLIERS and p.y > horizon:
            _wash(canvas, p)
    odds_and_ends(canvas, rng, place, n // 2, 0.95, 1.03, (0.05, 0.10))
    if place == "snow":
        for _ in range(40):
            canvas.polygon(oval(rng.random(), rng.random(), between(rng, 0.004, 0.009), corners=8), (255, 255, 255), 0.9)
    gain, warmth = between(rng, *LIGHT), between(rng, -TINT, TINT)
    gains = (gain * (1 + warmth), gain, gain * (1 - warmth))
    return canvas.image.point([min(255, round(v * g)) for g in gains for v in range(256)])


def render(scene, size=64, style="painted"):
    """Draw `scene` as a PIL RGB image of `size` x `size` pixels. The same scene in another style has the same layout.

    style: one of STYLES. Raises ValueError for another style.
    """
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}; choose one of {', '.join(STYLES)}")
    factor = 4 if size < 100 else 3 if size < 200 else 2  # drawn larger and averaged down: smooth edges
    image = _paint(scene, size * factor).reduce(factor)
    if style == "negative":
        return ImageOps.invert(image)
    if style == "blurred":
        return image.filter(ImageFilter.GaussianBlur(size / 36))
    if style == "noisy":
        return _with_noise(image, scene.seed)
    return _as_sketch(image) if style == "sketch" else image


def _with_noise(image, seed, strength=0.30):
    """Grain as of film in bad light: half the noise is coarse, so that it survives a later change of size."""
    rng, side = random.Random(f"noise-{seed}"), image.width
    for grain in (1, 2):
        n = -(-side // grain)
        noise = Image.frombytes("RGB", (n, n), rng.randbytes(3 * n * n)).resize((side, side), Image.Resampling.NEAREST)
        image = Image.blend(image, noise, strength)
    return image


def _as_sketch(image):
    """A pencil drawing: grey divided by its own blur leaves the edges, then a little of the tones comes back."""
    grey = ImageOps.grayscale(image)
    soft = grey.filter(ImageFilter.GaussianBlur(image.width / 40))
    import numpy as np

    tone, blur = np.asarray(grey, dtype=np.float32), np.asarray(soft, dtype=np.float32)
    lines = np.clip(tone / (blur + 1), 0, 1) ** 2.2
    paper = 246 * (0.86 * lines + 0.14 * tone / 255)
    return Image.merge("RGB", [Image.fromarray((paper * c).clip(0, 255).astype(np.uint8)) for c in (1.0, 0.985, 0.95)])
