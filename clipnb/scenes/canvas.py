"""An image under construction, and the mixing of its colours."""

from PIL import Image, ImageDraw

from clipnb.scenes.polygons import Polygon

Colour = tuple[int, int, int]  # red, green, blue, each 0 to 255
WHITE = (255, 255, 255)


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """Return `colour` with a share of `other` in it, 0 to 1."""
    return tuple(round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))


class Canvas:
    """A square image under construction.

    side: its width and height in pixels. All coordinates are parts of the image: (0, 0) is its
    upper left corner, (1, 1) its lower right one.
    """

    def __init__(self, side: int):
        self.side = side
        self.image = Image.new("RGB", (side, side))
        self.opaque = ImageDraw.Draw(self.image)
        self.translucent = ImageDraw.Draw(self.image, "RGBA")

    def polygon(self, points: Polygon, colour: Colour, alpha: float = 1.0) -> None:
        """Fill a polygon with a colour. alpha: below 1, what lies behind shines through."""
        pixels = [(x * self.side, y * self.side) for x, y in points]
        if alpha < 1:
            self.translucent.polygon(pixels, fill=(*colour, round(255 * alpha)))
        else:
            self.opaque.polygon(pixels, fill=colour)

    def gradient(self, top: Colour, bottom: Colour) -> None:
        """Fill the whole image with colours that go from `top` to `bottom`."""
        column = Image.new("RGB", (1, 32))
        column.putdata([mix(top, bottom, i / 31) for i in range(32)])
        column = column.resize((1, self.side), Image.Resampling.BILINEAR)
        self.image.paste(column.resize((self.side, self.side), Image.Resampling.NEAREST))
