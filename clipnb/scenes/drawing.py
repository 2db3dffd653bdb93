"""Draw a scene as an image, in five styles."""

import colorsys
import math
import random

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from clipnb.scenes.canvas import WHITE, Canvas, Colour, mix
from clipnb.scenes.chance import between
from clipnb.scenes.clutter import scatter_clutter
from clipnb.scenes.landscapes import HORIZON, PLACE_PAINTERS, Hill
from clipnb.scenes.pictograms import OUTLINES, PICTOGRAMS
from clipnb.scenes.placement import Placed, layout
from clipnb.scenes.polygons import Polygon, oval
from clipnb.scenes.world import FLIERS, Scene

STYLES = ("painted", "sketch", "negative", "blurred", "noisy")

# How hard the images are to read, together with the heights in placement.py.
CLUTTER_COUNTS = (2, 5)  # pieces behind the things, at least and at most; half as many in front
BRIGHTNESS = (0.82, 1.10)  # of the whole image
LARGEST_TINT = 0.05  # how far warm or cold light changes red against blue

# fmt: off
PAINT_HUES = {  # hue, saturation and value in [0, 1], and how far the hue strays either way
    "red":    (0.995, 0.82, 0.84, 0.014),
    "orange": (0.072, 0.88, 0.96, 0.012),
    "yellow": (0.138, 0.80, 0.98, 0.012),
    "green":  (0.370, 0.66, 0.66, 0.035),
    "blue":   (0.610, 0.76, 0.82, 0.025),
    "purple": (0.765, 0.60, 0.70, 0.025),
    "black":  (0.65,  0.10, 0.20, 0.2),
    "white":  (0.12,  0.03, 0.97, 0.1),
}
FIXED_PAINTS = {
    "ink":   (40, 36, 44),    "glass":  (196, 224, 236), "white":   (252, 252, 250),
    "wood":  (134, 94, 62),   "leaf":   (84, 140, 78),   "gold":    (246, 190, 76),
    "metal": (200, 204, 210), "pollen": (150, 96, 40),   "crimson": (196, 60, 62),
    "roof":  (126, 88, 84),   "brick":  (150, 104, 92),
}
# fmt: on


def render(scene: Scene, size: int = 64, style: str = "painted") -> Image.Image:
    """Draw a scene as an RGB image of `size` x `size` pixels.

    style: one of `STYLES`; the layout is the same in all of them. Raises ValueError for another
    style.
    """
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}; choose one of {', '.join(STYLES)}")
    factor = _oversampling(size)
    image = _paint(scene, size * factor).reduce(factor)
    if style == "negative":
        return ImageOps.invert(image)
    if style == "blurred":
        return image.filter(ImageFilter.GaussianBlur(size / 36))
    if style == "noisy":
        return _add_noise(image, scene.seed)
    if style == "sketch":
        return _sketch(image)
    return image


def _oversampling(size: int) -> int:
    """Return how many times larger an image is drawn. Reducing it then makes edges smooth."""
    if size < 100:
        return 4
    if size < 200:
        return 3
    return 2


# ---- one image -------------------------------------------------------------------------------


def _paint(scene: Scene, side: int) -> Image.Image:
    """Paint a scene at `side` x `side` pixels: the place, clutter, the things, clutter in front."""
    rng = random.Random(f"paint-{scene.seed}")
    canvas = Canvas(side)
    horizon = HORIZON[scene.place]
    placed = layout(scene)
    hills = _find_hills(placed, horizon)
    PLACE_PAINTERS[scene.place](canvas, rng, horizon, hills)

    fewest, most = CLUTTER_COUNTS
    n = fewest + int(rng.random() * (most - fewest + 1))
    scatter_clutter(canvas, rng, scene.place, n, horizon + 0.06, 0.9)
    for item in sorted(placed, key=lambda item: item.y + 0.5 * item.height):  # far to near
        stands = item.kind not in FLIERS
        if stands and scene.place != "sea":
            _draw_shadow(canvas, item)
        paint_thing(canvas, item, scene.things[item.thing].colour, rng)
        if stands and scene.place == "sea" and item.y + 0.48 * item.height > horizon + 0.05:
            _draw_water_around(canvas, item)
    scatter_clutter(canvas, rng, scene.place, n // 2, 0.95, 1.03, sizes=(0.05, 0.10))
    if scene.place == "snow":
        _draw_snowflakes(canvas, rng)
    return _light(canvas.image, scene.seed)


def _find_hills(placed: list[Placed], horizon: float) -> list[Hill]:
    """Return a hill for each thing that would stand in the sky."""
    return [
        Hill(item.x, item.y + 0.46 * item.height, 0.72 * item.height + 0.04)
        for item in placed
        if item.kind not in FLIERS and item.y + 0.48 * item.height < horizon + 0.05
    ]


def _draw_shadow(canvas: Canvas, item: Placed) -> None:
    """Draw the shadow under a thing, before the thing itself."""
    x, y = item.x + 0.02, item.y + 0.47 * item.height
    canvas.polygon(oval(x, y, 0.44 * item.height, 0.07 * item.height), (20, 20, 50), 0.28)


def _draw_water_around(canvas: Canvas, item: Placed) -> None:
    """Draw water with a wave round the foot of a thing that swims."""
    x, y, height = item.x, item.y + 0.40 * item.height, item.height
    wave = []
    for i in range(16):
        wave.append((x + height * (i / 12 - 0.62), y + 0.02 * height * math.sin(i * 1.4)))
    foot = y + 0.13 * height
    water = [*wave, (x + 0.5 * height, foot), (x - 0.5 * height, foot)]
    foam = wave + [(a, b + 0.03 * height) for a, b in reversed(wave)]
    canvas.polygon(water, (60, 140, 182))
    canvas.polygon(foam, (230, 244, 248))


def _draw_snowflakes(canvas: Canvas, rng: random.Random) -> None:
    for _ in range(40):
        flake = oval(rng.random(), rng.random(), between(rng, 0.004, 0.009), corners=8)
        canvas.polygon(flake, WHITE, 0.9)


def _light(image: Image.Image, seed: int) -> Image.Image:
    """Change brightness and warmth of an image."""
    brightness, warmth = find_light(seed)
    gains = (brightness * (1 + warmth), brightness, brightness * (1 - warmth))
    table = [min(255, round(value * gain)) for gain in gains for value in range(256)]
    return image.point(table)


def find_light(seed: int) -> tuple[float, float]:
    """Return the brightness and the warmth of a scene's image; 1 and 0 change nothing.

    The light has a seed of its own, so that it stays when a count or the place is changed.
    """
    rng = random.Random(f"light-{seed}")
    return between(rng, *BRIGHTNESS), between(rng, -LARGEST_TINT, LARGEST_TINT)


# ---- one thing -------------------------------------------------------------------------------


def paint_thing(canvas: Canvas, placed: Placed, colour: str, rng: random.Random) -> None:
    """Draw one pictogram where `placed` says, in a colour of `PAINT_HUES`."""
    paints = FIXED_PAINTS | mix_paints(colour, rng)
    if colour == "black":
        paints["ink"] = (214, 210, 190)  # eyes that shine
    pictogram = PICTOGRAMS[placed.kind]
    # All outlines come first, so that the parts melt into one figure.
    for points in OUTLINES[placed.kind]:
        canvas.opaque.polygon(_to_pixels(points, placed, canvas.side), fill=paints["outline"])
    for paint, points in pictogram.solids + pictogram.details:
        canvas.opaque.polygon(_to_pixels(points, placed, canvas.side), fill=paints[paint])


def _to_pixels(points: Polygon, placed: Placed, side: int) -> Polygon:
    """Turn points in a pictogram's box of 100 x 100 into pixels of an image."""
    scale, turn = placed.height / 100 * side, math.radians(placed.turn)
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    middle_x, middle_y = placed.x * side, placed.y * side
    way = -1 if placed.mirrored else 1
    pixels = []
    for x, y in points:
        across, down = way * (x - 50), y - 50
        pixels.append((middle_x + across * cos - down * sin, middle_y + across * sin + down * cos))
    return pixels


def mix_paints(colour: str, rng: random.Random) -> dict[str, Colour]:
    """Mix the paints of one thing of a named colour, which vary a little as dyes do.

    The names of the paints are "body", "shade", "light" and "outline".
    """
    hue, saturation, value, stray = PAINT_HUES[colour]
    hue += between(rng, -stray, stray)
    saturation *= between(rng, 0.88, 1.06)
    value *= between(rng, 0.9, 1.03)
    rgb = colorsys.hsv_to_rgb(hue % 1, min(saturation, 1), min(value, 1))
    body = tuple(round(255 * min(part, 1)) for part in rgb)
    if colour == "black":  # it needs lighter lines to be seen at all
        return {
            "body": body,
            "shade": mix(body, (0, 0, 0), 0.35),
            "light": mix(body, WHITE, 0.25),
            "outline": mix(body, WHITE, 0.42),
        }
    dark = (116, 122, 150) if colour == "white" else (24, 16, 40)
    return {
        "body": body,
        "shade": mix(body, dark, 0.34),
        "light": mix(body, WHITE, 0.45),
        "outline": mix(body, dark, 0.9 if colour == "white" else 0.66),
    }


# ---- styles ----------------------------------------------------------------------------------


def _add_noise(image: Image.Image, seed: int, strength: float = 0.26) -> Image.Image:
    """Add grain as in a film in bad light.

    Half of the noise is coarse, so that it survives a later change of size.
    """
    rng = random.Random(f"noise-{seed}")
    side = image.width
    for grain in (1, 2):  # pixels
        n = math.ceil(side / grain)
        noise = Image.frombytes("RGB", (n, n), rng.randbytes(3 * n * n))
        noise = noise.resize((side, side), Image.Resampling.NEAREST)
        image = Image.blend(image, noise, strength)
    return image


def _sketch(image: Image.Image) -> Image.Image:
    """Turn an image into a pencil drawing.

    The grey image divided by its own blur leaves the edges. Then a little of the tones is added.
    """
    grey = ImageOps.grayscale(image)
    blurred = grey.filter(ImageFilter.GaussianBlur(image.width / 40))
    tones = np.asarray(grey, dtype=np.float32)
    lines = np.clip(tones / (np.asarray(blurred, dtype=np.float32) + 1), 0, 1) ** 2.2
    drawing = 246 * (0.86 * lines + 0.14 * tones / 255)
    channels = []
    for tint in (1.0, 0.985, 0.95):  # yellowish paper
        channel = (drawing * tint).clip(0, 255).astype(np.uint8)
        channels.append(Image.fromarray(channel))
    return Image.merge("RGB", channels)
