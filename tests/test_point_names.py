"""Names beside the points of a figure: none hides another, and none leaves the frame."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from clipnb.claims.words.point_names import label_points


@pytest.fixture
def ax():
    _, axes = plt.subplots()
    yield axes
    plt.close("all")


def test_names_of_points_do_not_hide_each_other(ax):
    ax.set(xlim=(0, 10), ylim=(0, 10))
    label_points(ax, [5.0, 5.05, 5.1], [5.0, 5.0, 5.0], ["house", "forest", "bird"])
    renderer = ax.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in ax.texts]
    pairs = [(i, j) for i in range(3) for j in range(i)]
    assert not any(boxes[i].overlaps(boxes[j]) for i, j in pairs)


def test_a_name_lies_nearest_to_its_own_point_and_on_no_line(ax):
    ax.set(xlim=(0, 10), ylim=(-5, 5))
    xs, ys, names = [5.0, 5.3, 2.0], [0.6, 0.6, -0.1], ["forest", "flower", "plane"]
    label_points(ax, xs, ys, names, [0])
    points = ax.transData.transform(np.column_stack([xs, ys]))
    line = ax.transData.transform((0, 0))[1]
    renderer = ax.figure.canvas.get_renderer()
    for i, text in enumerate(ax.texts):
        box = text.get_window_extent(renderer)
        nearest = np.clip(points, box.min, box.max)
        assert np.hypot(*(points - nearest).T).argmin() == i
        assert not box.y0 < line < box.y1


def test_a_name_stays_in_the_frame(ax):
    ax.set(xlim=(0, 10), ylim=(0, 10))
    label_points(ax, [9.9, 0.1], [0.1, 9.9], ["house", "forest"])
    for text in ax.texts:
        box = text.get_window_extent(ax.figure.canvas.get_renderer())
        assert ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1
        assert ax.bbox.y0 <= box.y0 and box.y1 <= ax.bbox.y1
