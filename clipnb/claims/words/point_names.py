"""How a name is written beside each point of a figure: in the frame, and where it hides nothing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipnb.plots import BLACK

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def label_points(
    ax: "Axes",
    xs: Sequence[float],
    ys: Sequence[float],
    names: Sequence[str],
    lines: Sequence[float] = (),
) -> None:
    """Write a name beside each point, in the frame, where it hides nothing and is nearest to it.

    xs, ys: (N,), in data units. lines: heights in data units that no name should cross. If no
    place is left, a name stands where it hides nothing, or else to the right of its point.
    """
    points = ax.transData.transform(np.column_stack([xs, ys]))  # (N, 2), in pixels
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    frame = left, _, right, _ = ax.bbox.extents
    for line in lines:
        height = ax.transData.transform((xs[0], line))[1]
        taken.append((left, height - 2, right, height + 2))
    for i, name in enumerate(names):
        places = list_places(*points[i], width=7 * len(name) + 3)
        places = [box for box in places if is_inside(box, frame)] or places
        free = [box for box in places if not any(boxes_touch(box, other) for other in taken)]
        clear = [box for box in free if is_nearest(box, points, i)]
        box = (clear or free or places)[0]
        taken.append(box)
        scale = 72 / ax.figure.dpi  # from pixels to points
        offset = [scale * float(shift) for shift in np.subtract(box[:2], points[i])]
        where = (xs[i], ys[i])
        style = {"fontsize": 9, "color": BLACK, "va": "bottom"}
        ax.annotate(name, where, offset, textcoords="offset points", **style)


def list_places(x: float, y: float, width: float) -> list[tuple[float, ...]]:
    """List boxes for a name around a point, the best one first, in pixels."""
    sides = {"right": 9, "left": -9 - width, "middle": -width / 2}
    heights = {"level": -7, "above": 6, "below": -20, "high": 21, "low": -35}
    order = [(side, "level") for side in ("right", "left")]
    order += [(side, height) for height in list(heights)[1:] for side in sides]
    corners = [(x + sides[side], y + heights[height]) for side, height in order]
    return [(left, bottom, left + width, bottom + 14) for left, bottom in corners]


def is_inside(box: Sequence[float], frame: Sequence[float]) -> bool:
    """Tell whether a box (left, bottom, right, top) lies in a frame."""
    starts = box[0] >= frame[0] and box[1] >= frame[1]
    return starts and box[2] <= frame[2] and box[3] <= frame[3]


def is_nearest(box: Sequence[float], points: np.ndarray, own: int) -> bool:
    """Tell whether no point lies as near to a box as its own one, by a few pixels."""
    nearest = np.clip(points, box[:2], box[2:])  # (N, 2), the place in the box
    distances = np.hypot(*(points - nearest).T)  # (N,)
    return bool((np.delete(distances, own) > distances[own] + 3).all())


def boxes_touch(first: Sequence[float], second: Sequence[float]) -> bool:
    """Tell whether two boxes (left, bottom, right, top) have a point in common."""
    apart = first[0] > second[2] or second[0] > first[2]
    return not (apart or first[1] > second[3] or second[1] > first[3])
