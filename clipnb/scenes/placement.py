"""Where each thing of a scene stands: its position, its size in the image, and its pose."""

import math
import random
from dataclasses import dataclass
from typing import NamedTuple

from clipnb.scenes.chance import between, maybe
from clipnb.scenes.landscapes import HORIZON
from clipnb.scenes.world import FLIERS, Scene, Thing

Heights = dict[str, tuple[float, float]]  # size -> smallest and largest height

# Heights of things, as parts of the image. Within an image the two sizes must not meet.
HEIGHTS: Heights = {"small": (0.29, 0.34), "big": (0.48, 0.60)}
CROWDED_HEIGHTS: Heights = {"small": (0.24, 0.28), "big": (0.35, 0.41)}  # with four or more things
GAP = 0.36  # wanted between two things; at 0.5 they touch, below that they overlap
TRIES = 60  # for a group, to reach that gap
# The largest turn of a thing in degrees, to the left or to the right.
LARGEST_TURN = {"kite": 25, "plane": 12, "bird": 12, "ball": 40, "fish": 12}
LARGEST_TURN_OF_OTHERS = 6


@dataclass(frozen=True)
class Placed:
    """One pictogram to draw.

    thing: which of the scene's things it belongs to. x, y: its middle, and `height`, as parts of
    the image. turn: in degrees.
    """

    thing: int
    kind: str
    x: float
    y: float
    height: float
    turn: float
    mirrored: bool


class Zone(NamedTuple):
    """Where the members of a group may stand: around (x, y), no farther away than (dx, dy)."""

    x: float
    y: float
    dx: float
    dy: float


class Spot(NamedTuple):
    """The middle and the height of one member."""

    x: float
    y: float
    height: float


def layout(scene: Scene) -> list[Placed]:
    """Decide where everything stands. The things come in order, with all members of each.

    The result depends on the scene alone, not on image size or style.
    """
    rng = random.Random(f"layout-{scene.seed}")
    heights = heights_in(scene)
    zones = _choose_zones(scene, heights)
    placed, taken = [], []
    for i, (thing, zone) in enumerate(zip(scene.things, zones, strict=True)):
        spots = _place_group(rng, thing, zone, heights, taken)
        taken += spots
        limit = LARGEST_TURN.get(thing.kind, LARGEST_TURN_OF_OTHERS)
        for spot in spots:
            turn, mirrored = between(rng, -limit, limit), maybe(rng, 0.5)
            placed.append(Placed(i, thing.kind, spot.x, spot.y, spot.height, turn, mirrored))
    return placed


def heights_in(scene: Scene) -> Heights:
    """Return the range of heights of small and of big things in a scene."""
    n_members = sum(thing.count for thing in scene.things)
    return HEIGHTS if n_members < 4 else CROWDED_HEIGHTS


# ---- zones -----------------------------------------------------------------------------------


def _choose_zones(scene: Scene, heights: Heights) -> list[Zone]:
    """Choose a zone for each thing so that the relation holds."""
    rng = random.Random(f"zones-{scene.seed}")
    rooms = [_room(thing, heights) for thing in scene.things]
    if scene.relation is None:
        return [_choose_zone_of_one(rng, scene, rooms[0])]
    if scene.relation in ("left of", "right of"):
        return _choose_zones_side_by_side(rng, scene, rooms)
    return _choose_zones_one_above_the_other(rng, scene, rooms)


def _room(thing: Thing, heights: Heights) -> float:
    """Return how much room the members of a thing need: one mean height for each but the first."""
    return sum(heights[thing.size]) / 2 * (thing.count - 1)


def _ground(scene: Scene) -> float:
    """Return the y at or below which the middle of a thing lies if it stands on the ground."""
    return HORIZON[scene.place] + 0.14


def _choose_zone_of_one(rng: random.Random, scene: Scene, room: float) -> Zone:
    """Choose the zone of the only thing."""
    if scene.things[0].kind in FLIERS:
        y = between(rng, 0.2, 0.5)
    else:
        y = between(rng, _ground(scene), 0.78)
    x = between(rng, 0.3, 0.7)
    return Zone(x, y, dx=0.10 + 0.5 * room, dy=0.06 + 0.4 * room)


def _choose_zones_side_by_side(rng: random.Random, scene: Scene, rooms: list[float]) -> list[Zone]:
    """Choose zones to the left and to the right, at the same height."""
    if all(thing.kind in FLIERS for thing in scene.things):
        y = between(rng, 0.25, 0.45)
    else:
        y = between(rng, _ground(scene), 0.72)
    left, right = between(rng, 0.23, 0.26), between(rng, 0.74, 0.77)
    xs = (left, right) if scene.relation == "left of" else (right, left)
    return [
        Zone(x, y, dx=0.07 + 0.1 * room, dy=0.05 + 0.5 * room)
        for x, room in zip(xs, rooms, strict=True)
    ]


def _choose_zones_one_above_the_other(
    rng: random.Random, scene: Scene, rooms: list[float]
) -> list[Zone]:
    """Choose an upper and a lower zone."""
    x = between(rng, 0.4, 0.6)
    upper, lower = between(rng, 0.22, 0.28), between(rng, 0.74, 0.80)
    ys = (upper, lower) if scene.relation == "above" else (lower, upper)
    return [
        Zone(x, y, dx=0.08 + 0.6 * room, dy=0.03 + 0.08 * room)
        for y, room in zip(ys, rooms, strict=True)
    ]


# ---- spots -----------------------------------------------------------------------------------


def _place_group(
    rng: random.Random, thing: Thing, zone: Zone, heights: Heights, taken: list[Spot]
) -> list[Spot]:
    """Place the members of a thing in its zone so that none hides another, nor those `taken`.

    Positions are tried at random until the gaps are wide enough; otherwise the widest try counts.
    """
    member_heights = [between(rng, *heights[thing.size]) for _ in range(thing.count)]
    best, widest = [], -1.0
    for _ in range(TRIES):
        group, gap = _try_positions(rng, member_heights, zone, taken)
        if gap > widest:
            best, widest = group, gap
        if gap >= GAP:
            break
    return best


def _try_positions(
    rng: random.Random, member_heights: list[float], zone: Zone, taken: list[Spot]
) -> tuple[list[Spot], float]:
    """Place the members at random. Returns their spots and the smallest gap beside any of them."""
    group, smallest = [], 1.0
    for height in member_heights:
        x = between(rng, zone.x - zone.dx, zone.x + zone.dx)
        y = between(rng, zone.y - zone.dy, zone.y + zone.dy)
        x = _clamp(x, 0.44 * height, 1 - 0.44 * height)  # almost all of it is in the image
        y = _clamp(y, 0.46 * height, 0.97 - height / 2)
        spot = Spot(x, y, height)
        smallest = min(smallest, nearest_gap(spot, taken + group))
        group.append(spot)
    return group, smallest


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def nearest_gap(spot: Spot | Placed, others: list[Spot] | list[Placed]) -> float:
    """Return the gap between a spot and the nearest of others; 1 if there are no others.

    It is the distance between two middles, as a part of the sum of their heights.
    """
    gaps = []
    for other in others:
        distance = math.hypot(spot.x - other.x, spot.y - other.y)
        gaps.append(distance / (spot.height + other.height))
    return min(gaps, default=1.0)
