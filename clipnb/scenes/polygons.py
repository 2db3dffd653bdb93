"""Polygons as lists of points (x, y), y downwards: ovals, smooth curves, boxes, outlines."""

import functools
import math

Point = tuple[float, float]
Polygon = list[Point]


@functools.cache
def _unit_circle(corners: int) -> Polygon:
    """Return the corners of a regular polygon on a circle of radius 1."""
    angles = [2 * math.pi * i / corners for i in range(corners)]
    return [(math.cos(angle), math.sin(angle)) for angle in angles]


def oval(
    x: float, y: float, rx: float, ry: float | None = None, turn: float = 0.0, corners: int = 22
) -> Polygon:
    """Return an ellipse around (x, y), turned by `turn` degrees.

    rx, ry: its half axes; without `ry` it is a circle.
    """
    ry = rx if ry is None else ry
    if not turn:
        return [(x + rx * a, y + ry * b) for a, b in _unit_circle(corners)]
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return [
        (x + rx * a * cos - ry * b * sin, y + rx * a * sin + ry * b * cos)
        for a, b in _unit_circle(corners)
    ]


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """Return an upright rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def smooth(*points: Point, steps: int = 4) -> Polygon:
    """Return a closed curve without corners that passes through each of `points`.

    It is a Catmull-Rom spline with `steps` points from one given point to the next.
    """
    curve, n = [], len(points)
    for i in range(n):
        before, start, end, after = (points[(i + k) % n] for k in (-1, 0, 1, 2))
        for step in range(steps):
            t = step / steps
            x = _catmull_rom(before[0], start[0], end[0], after[0], t)
            y = _catmull_rom(before[1], start[1], end[1], after[1], t)
            curve.append((x, y))
    return curve


def _catmull_rom(before: float, start: float, end: float, after: float, t: float) -> float:
    """Return one coordinate of the curve, at `start` for t = 0 and at `end` for t = 1."""
    linear = (end - before) * t
    square = (2 * before - 5 * start + 4 * end - after) * t * t
    cubic = (3 * start - before - 3 * end + after) * t**3
    return 0.5 * (2 * start + linear + square + cubic)


def grow(points: Polygon, by: float) -> Polygon:
    """Return the polygon with every side moved outwards by `by`.

    Sharp corners are cut. Otherwise they would grow into spikes.
    """
    points = [point for i, point in enumerate(points) if math.dist(point, points[i - 1]) > 1e-6]
    n = len(points)
    area = sum(points[i - 1][0] * points[i][1] - points[i - 1][1] * points[i][0] for i in range(n))
    by = math.copysign(by, area)  # the sign tells which way round the points go
    normals = [_normal(points[i - 1], points[i]) for i in range(n)]  # of the side that ends in i
    grown = []
    for i, (x, y) in enumerate(points):
        (a, b), (c, d) = normals[i], normals[(i + 1) % n]
        bend = 1 + a * c + b * d  # 2 where the outline goes straight on, 0 where it turns back
        if bend > 0.6:
            grown.append((x + by * (a + c) / bend, y + by * (b + d) / bend))
        else:
            grown.append((x + by * a, y + by * b))
            grown.append((x + by * (a + c) / 1.2, y + by * (b + d) / 1.2))
            grown.append((x + by * c, y + by * d))
    return grown


def _normal(start: Point, end: Point) -> Point:
    """Return the vector of length 1 at a right angle to a side."""
    (a, b), (c, d) = start, end
    length = math.dist(start, end)
    return (d - b) / length, (a - c) / length


def shift(points: Polygon, dy: float) -> Polygon:
    """Return the polygon moved down by `dy`."""
    return [(x, y + dy) for x, y in points]
