"""The roadmap at the top of a notebook: its way through the course, and where we are on it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle
from shapes import GREY, PALE, draw_box, draw_tick, make_card, write_text

from clipnb.plots import BLACK, BLUE, GREEN

MARGIN = 16  # left and right of the stations
LINE_Y = 182  # the height of the line between the stations


class Station(NamedTuple):
    """A notebook on a way. draw: takes axes and the upper left corner of the pictogram."""

    number: int
    name: str
    words: str
    draw: Callable[[Axes, float, float], None]


@dataclass(frozen=True)
class Way:
    """A part of the course: its stations in order, and the width of their pictograms."""

    stations: list[Station]
    pictogram_width: float


def draw_roadmap(way: Way, current: int) -> Axes:
    """Draw a way with the station numbered `current` lit. Returns the axes.

    The stations before it are ticked, those after it pale.
    """
    width, height = 1200, 260
    ax = make_card(width, height)
    step = (width - 2 * MARGIN) / len(way.stations)
    for i, station in enumerate(way.stations):
        left = MARGIN + step * i
        if station.number == current:
            draw_box(ax, left + 4, 10, step - 8, 240, "#E6F1F8", BLUE, corner=12, line=1.8)
        station.draw(ax, left + (step - way.pictogram_width) / 2, 24)
        if station.number > current:
            draw_veil(ax, left + 6, step - 12)
        middle = left + step / 2
        if station is not way.stations[0]:
            draw_line(ax, left, middle, passed=station.number <= current)
        if station is not way.stations[-1]:
            draw_line(ax, middle, left + step, passed=station.number < current)
        draw_stop(ax, middle, station, current)
    return ax


def draw_veil(ax: Axes, x: float, width: float) -> None:
    """Draw a veil over the pictogram of a station that is still to come."""
    veil = Rectangle((x, 16), width, 142, facecolor="white", alpha=0.68, zorder=6)
    ax.add_patch(veil)


def draw_line(ax: Axes, start: float, end: float, passed: bool) -> None:
    """Draw a piece of the line between two stations."""
    colour = GREEN if passed else PALE
    ax.plot([start, end], [LINE_Y, LINE_Y], color=colour, linewidth=3, zorder=1.5)


def draw_stop(ax: Axes, x: float, station: Station, current: int) -> None:
    """Draw a station on the line: a tick or its number, and its name and words below."""
    lit = station.number == current
    later = station.number > current
    if station.number < current:
        draw_tick(ax, x, LINE_Y, 15)
    else:
        disc = Circle(
            (x, LINE_Y),
            15,
            facecolor=BLUE if lit else "white",
            edgecolor="white" if lit else GREY,
            linewidth=1.4,
            zorder=4,
        )
        ax.add_patch(disc)
        colour = "white" if lit else GREY
        write_text(ax, x, LINE_Y, station.number, 12, colour, fontweight="bold", zorder=5)
    write_text(ax, x, 216, station.name, 14, GREY if later else BLACK, fontweight="bold")
    write_text(ax, x, 237, station.words, 9.5, BLACK if lit else GREY)
