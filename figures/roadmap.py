"""The roadmap at the top of a notebook: the two ways through the course, and where we are.

Both ways start at notebook 00. A pictogram fills 116 x 72 units.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle
from shapes import GREY, PALE, draw_box, draw_tick, make_card, write_text

from clipnb.plots import BLACK, BLUE, GREEN

WIDTH, HEIGHT = 1050, 354
COLUMNS = 7  # a longer way ends below its last station, in the row of the other one
START_WIDTH = 158  # of the column of notebook 00
STEP = (WIDTH - START_WIDTH - 12) / COLUMNS  # between the stations of a way
PICTOGRAM = (116, 72)
ROWS = (43, 211)  # the upper ends of the pictograms of the two ways
LINE = 92  # from there down to the line between the stations
START_LINE = 240  # the height of the line that leaves notebook 00
START_X, FORK_X = 71, 145  # of notebook 00, and where its line parts


class Station(NamedTuple):
    """A notebook on a way. draw: takes axes and the upper left corner of the pictogram."""

    number: int
    name: str
    draw: Callable[[Axes, float, float], None]


class Way(NamedTuple):
    """A way through the course: its name and its stations in order."""

    name: str
    stations: Sequence[Station]

    def find(self, number: int) -> int | None:
        """Return the place of a station on this way, None if it is not there."""
        numbers = [station.number for station in self.stations]
        return numbers.index(number) if number in numbers else None


def draw_roadmap(start: Station, ways: Sequence[Way], current: int) -> Axes:
    """Draw both ways with the station numbered `current` lit. Returns the axes.

    The stations before it on its way are ticked, all other ones are pale. At the start all are
    in full colour, because both ways are open.
    """
    ax = make_card(WIDTH, HEIGHT)
    for way, top in zip(ways, ROWS, strict=True):
        draw_way(ax, way, top, current, at_start=current == start.number)
    draw_start(ax, start, lit=current == start.number)
    return ax


def draw_start(ax: Axes, station: Station, lit: bool) -> None:
    """Draw the station where both ways begin."""
    if lit:
        draw_light(ax, 6, 91, 131, 200)
    station.draw(ax, START_X - 55, 104)
    draw_stop(ax, START_X, START_LINE, station, lit=lit, passed=not lit)


def draw_way(ax: Axes, way: Way, top: float, current: int, at_start: bool) -> None:
    """Draw the stations of a way, the line through them, and the line from the start to them."""
    place = way.find(current)  # None: we are not on this way
    first = START_WIDTH + STEP / 2
    line_y = top + LINE
    write_text(ax, START_WIDTH + 10, top - 21, way.name, 11, GREY, ha="left", fontweight="bold")
    fork = [(START_X, START_LINE), (FORK_X, START_LINE), (FORK_X, line_y), (first, line_y)]
    colour = GREEN if place is not None else PALE
    draw_line(ax, fork, colour)
    for i, station in enumerate(way.stations):
        middle = first + STEP * min(i, COLUMNS - 1)
        upper = top if i < COLUMNS else ROWS[1]  # of the station
        passed = place is not None and i < place
        lit = i == place
        if lit:
            draw_light(ax, middle - STEP / 2 + 3, upper - 7, STEP - 6, 146)
        station.draw(ax, middle - PICTOGRAM[0] / 2, upper)
        if not (passed or lit or at_start):
            draw_veil(ax, middle - STEP / 2 + 4, upper - 3)
        if i + 1 < len(way.stations):
            ends = [(middle, line_y), (middle + STEP, line_y)]
            if i + 1 == COLUMNS:  # round the edge, and down
                edge = middle + STEP / 2 + 4
                below = ROWS[1] + LINE
                ends = [(middle, line_y), (edge, line_y), (edge, below), (middle, below)]
            draw_line(ax, ends, GREEN if passed else PALE)
        draw_stop(ax, middle, upper + LINE, station, lit, passed, pale=not at_start)


def draw_light(ax: Axes, x: float, y: float, width: float, height: float) -> None:
    """Draw the background of the station where we are."""
    draw_box(ax, x, y, width, height, "#E6F1F8", BLUE, corner=10, line=1.8)


def draw_veil(ax: Axes, x: float, y: float) -> None:
    """Draw a veil over the pictogram of a station where we have not been."""
    size = (STEP - 8, PICTOGRAM[1] + 6)
    ax.add_patch(Rectangle((x, y), *size, facecolor="white", alpha=0.66, zorder=6))


def draw_line(ax: Axes, points: Sequence[tuple[float, float]], colour: str) -> None:
    """Draw a piece of the line between stations; green lies in front of grey."""
    xs, ys = zip(*points, strict=True)
    layer = 1.6 if colour == GREEN else 1.5
    ax.plot(xs, ys, color=colour, linewidth=3, solid_joinstyle="round", zorder=layer)


def draw_stop(
    ax: Axes,
    x: float,
    y: float,
    station: Station,
    lit: bool,
    passed: bool,
    pale: bool = True,
) -> None:
    """Draw a station on the line: a tick or its number, and its name below."""
    if passed:
        draw_tick(ax, x, y, 13)
    else:
        disc = Circle(
            (x, y),
            13,
            facecolor=BLUE if lit else "white",
            edgecolor="white" if lit else GREY,
            linewidth=1.4,
            zorder=4,
        )
        ax.add_patch(disc)
        ink = "white" if lit else GREY
        number = f"{station.number:02}" if station.number == 0 else station.number
        write_text(ax, x, y, number, 11, ink, fontweight="bold", zorder=5)
    colour = BLACK if lit or passed or not pale else GREY
    write_text(ax, x, y + 31, station.name, 12, colour, fontweight="bold")
