"""Scenes of clipnb's world that the figures show, made to order."""

from clipnb.scenes import Scene, Thing


def make_scene(place: str, kind: str, colour: str, count: int, seed: int) -> Scene:
    """Make a scene with one kind of big thing in it."""
    return Scene(place, (Thing(kind, colour, "big", count),), None, seed)


KITE = make_scene("beach", "kite", "red", 1, seed=3)
WHITE_BOATS = make_scene("sea", "boat", "white", 3, seed=3)
CAT = make_scene("snow", "cat", "black", 1, seed=3)
FLOWERS = make_scene("forest", "flower", "yellow", 3, seed=4)
CARS = make_scene("street", "car", "orange", 2, seed=0)
HOUSE = make_scene("night", "house", "red", 1, seed=3)
GREEN_BOATS = make_scene("sea", "boat", "green", 2, seed=8)
RED_BOAT = make_scene("sea", "boat", "red", 1, seed=5)

SIX_SCENES = [KITE, WHITE_BOATS, CAT, FLOWERS, CARS, HOUSE]  # no two of them alike
