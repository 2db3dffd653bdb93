"""The words and phrases that the captions of the scenes are made of."""

from typing import NamedTuple


class NounForms(NamedTuple):
    """The nouns for a kind of thing, each as (singular, plural)."""

    plain: list[tuple[str, str]]
    synonyms: list[tuple[str, str]]
    vague: tuple[str, str]


class PlacePhrases(NamedTuple):
    """Phrases that say where: with things on the ground, with fliers alone, and bare nouns."""

    ground: list[str]
    air: list[str]
    nouns: list[str]


# fmt: off
NOUN_FORMS = {
    "dog": NounForms(
        [("dog", "dogs")],
        [("puppy", "puppies"), ("pup", "pups"), ("hound", "hounds")],
        ("animal", "animals")),
    "cat": NounForms(
        [("cat", "cats")],
        [("kitten", "kittens"), ("kitty", "kitties")],
        ("animal", "animals")),
    "bird": NounForms(
        [("bird", "birds")],
        [("songbird", "songbirds"), ("birdie", "birdies")],
        ("animal", "animals")),
    "fish": NounForms(
        [("fish", "fish")],
        [("fish", "fishes")],
        ("animal", "animals")),
    "car": NounForms(
        [("car", "cars")],
        [("automobile", "automobiles"), ("motorcar", "motorcars"), ("sedan", "sedans")],
        ("vehicle", "vehicles")),
    "boat": NounForms(
        [("boat", "boats")],
        [("sailboat", "sailboats"), ("ship", "ships"), ("yacht", "yachts")],
        ("vessel", "vessels")),
    "house": NounForms(
        [("house", "houses")],
        [("cottage", "cottages"), ("home", "homes"), ("cabin", "cabins")],
        ("building", "buildings")),
    "tree": NounForms(
        [("tree", "trees")],
        [("leafy tree", "leafy trees"), ("round tree", "round trees")],
        ("plant", "plants")),
    "ball": NounForms(
        [("ball", "balls")],
        [("rubber ball", "rubber balls"), ("toy ball", "toy balls")],
        ("toy", "toys")),
    "kite": NounForms(
        [("kite", "kites")],
        [("paper kite", "paper kites"), ("toy kite", "toy kites")],
        ("toy", "toys")),
    "flower": NounForms(
        [("flower", "flowers")],
        [("blossom", "blossoms"), ("bloom", "blooms")],
        ("plant", "plants")),
    "plane": NounForms(
        [("plane", "planes")],
        [("airplane", "airplanes"), ("aeroplane", "aeroplanes"), ("aircraft", "aircraft")],
        ("flying machine", "flying machines")),
}
COLOUR_SYNONYMS = {
    "red": ["scarlet", "crimson"],
    "orange": ["tangerine"],
    "yellow": ["golden"],
    "green": ["emerald"],
    "blue": ["azure"],
    "purple": ["violet"],
    "black": ["ebony", "pitch-black"],
    "white": ["ivory", "pale"],
}
SIZE_WORDS = {"small": ["small", "little", "tiny"], "big": ["big", "large", "huge"]}
ACTIVITIES = {  # what can be seen whatever the place, as (singular, plural, participle)
    "dog": [
        ("stands", "stand", "standing"),
        ("looks around", "look around", "looking around"),
        ("waits", "wait", "waiting")],
    "cat": [
        ("sits", "sit", "sitting"),
        ("stares at the camera", "stare at the camera", "staring at the camera")],
    "bird": [
        ("flies", "fly", "flying"),
        ("flaps its wings", "flap their wings", "with open wings")],
    "fish": [
        ("shows its fins", "show their fins", "seen from the side"),
        ("rests", "rest", "resting")],
    "car": [("is parked", "are parked", "parked"), ("stands", "stand", "standing")],
    "boat": [
        ("has its sails up", "have their sails up", "with sails up"),
        ("rests", "rest", "resting")],
    "house": [("stands", "stand", "standing")],
    "tree": [("grows", "grow", "growing"), ("stands", "stand", "standing")],
    "ball": [("lies", "lie", "lying"), ("rests", "rest", "resting")],
    "kite": [
        ("flies", "fly", "flying"),
        ("dances in the wind", "dance in the wind", "dancing in the wind")],
    "flower": [("blooms", "bloom", "blooming"), ("grows", "grow", "growing")],
    "plane": [("flies", "fly", "flying"), ("glides", "glide", "gliding")],
}
PLACE_PHRASES = {
    "beach": PlacePhrases(
        ["on the beach", "on a sandy beach", "at the seaside", "on the sand", "on the shore"],
        ["over the beach", "over the sand", "at the seaside"],
        ["a beach", "a sandy shore"]),
    "meadow": PlacePhrases(
        ["in a meadow", "on the grass", "in a grassy field", "in the countryside", "in a field"],
        ["over a meadow", "over a grassy field", "in the countryside"],
        ["a meadow", "a grassy field"]),
    "snow": PlacePhrases(
        ["in the snow", "on a snowy field", "in the snowy mountains", "on a winter day"],
        ["over the snow", "in the snowy mountains", "on a winter day"],
        ["a snowy field", "a winter landscape"]),
    "street": PlacePhrases(
        ["on the street", "in the city", "on the road", "in town", "on a city street"],
        ["over the street", "in the city", "over the road"],
        ["a street", "a city road"]),
    "night": PlacePhrases(
        ["at night", "in the dark", "in the moonlight", "under the stars", "under a starry sky"],
        ["at night", "in the night sky", "in the moonlight", "under the stars"],
        ["a moonlit night", "a starry night"]),
    "sea": PlacePhrases(
        ["in the sea", "in the water", "in the ocean", "among the waves", "at sea"],
        ["over the sea", "over the water", "over the ocean"],
        ["the sea", "the open ocean"]),
    "desert": PlacePhrases(
        ["in the desert", "among the dunes", "in a dry desert", "in the hot desert"],
        ["over the desert", "over the dunes"],
        ["a desert", "a dry landscape"]),
    "forest": PlacePhrases(
        ["in the forest", "in the woods", "in a shady forest", "in the woodland"],
        ["in the forest", "in the woods", "over the forest floor"],
        ["a forest", "a shady wood"]),
}
# fmt: on
RELATION_PHRASES = {
    "left of": ["left of", "to the left of", "on the left of"],
    "right of": ["right of", "to the right of", "on the right of"],
    "above": ["above", "higher than"],
    "below": ["below", "under", "beneath"],
}
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
