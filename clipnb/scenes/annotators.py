"""Five people describe a scene. Each has habits; all leave things out, and none ever says what is not in the image.

A caption is built from the scene alone with pure-Python randomness, so it is the same on every platform.
"""

import random

from clipnb.scenes.pictograms import FLIERS

NOUNS = {  # plain name, other names, and a vague one; each as (one, several)
    "dog": (
        [("dog", "dogs")],
        [("puppy", "puppies"), ("pup", "pups"), ("hound", "hounds")],
        ("animal", "animals"),
    ),
    "cat": (
        [("cat", "cats")],
        [("kitten", "kittens"), ("kitty", "kitties")],
        ("animal", "animals"),
    ),
    "bird": (
        [("bird", "birds")],
        [("songbird", "songbirds"), ("birdie", "birdies")],
        ("animal", "animals"),
    ),
    "fish": ([("fish", "fish")], [("fish", "fishes")], ("animal", "animals")),
    "car": (
        [("car", "cars")],
        [("automobile", "automobiles"), ("motorcar", "motorcars"), ("sedan", "sedans")],
        ("vehicle", "vehicles"),
    ),
    "boat": (
        [("boat", "boats")],
        [("sailboat", "sailboats"), ("ship", "ships"), ("yacht", "yachts")],
        ("vessel", "vessels"),
    ),
    "house": (
        [("house", "houses")],
        [("cottage", "cottages"), ("home", "homes"), ("cabin", "cabins")],
        ("building", "buildings"),
    ),
    "tree": (
        [("tree", "trees")],
        [("leafy tree", "leafy trees"), ("round tree", "round trees")],
        ("plant", "plants"),
    ),
    "ball": (
        [("ball", "balls")],
        [("rubber ball", "rubber balls"), ("toy ball", "toy balls")],
        ("toy", "toys"),
    ),
    "kite": (
        [("kite", "kites")],
        [("paper kite", "paper kites"), ("toy kite", "toy kites")],
        ("toy", "toys"),
    ),
    "flower": (
        [("flower", "flowers")],
        [("blossom", "blossoms"), ("bloom", "blooms")],
        ("plant", "plants"),
    ),
    "plane": (
        [("plane", "planes")],
        [("airplane", "airplanes"), ("aeroplane", "aeroplanes"), ("aircraft", "aircraft")],
        ("flying machine", "flying machines"),
    ),
}
HUES = {
    "red": ["scarlet", "crimson"],
    "orange": ["tangerine"],
    "yellow": ["golden"],
    "green": ["emerald"],
    "blue": ["azure"],
    "purple": ["violet"],
    "black": ["ebony", "pitch-black"],
    "white": ["ivory", "pale"],
}
SIZES = {"small": ["small", "little", "tiny"], "big": ["big", "large", "huge"]}
DOING = {  # what can be seen whatever the place: (one, several, participle)
    "dog": [
        ("stands", "stand", "standing"),
        ("looks around", "look around", "looking around"),
        ("waits", "wait", "waiting"),
    ],
    "cat": [
        ("sits", "sit", "sitting"),
        ("stares at the camera", "stare at the camera", "staring at the camera"),
    ],
    "bird": [
        ("flies", "fly", "flying"),
        ("flaps its wings", "flap their wings", "with open wings"),
    ],
    "fish": [
        ("shows its fins", "show their fins", "seen from the side"),
        ("rests", "rest", "resting"),
    ],
    "car": [("is parked", "are parked", "parked"), ("stands", "stand", "standing")],
    "boat": [
        ("has its sails up", "have their sails up", "with sails up"),
        ("rests", "rest", "resting"),
    ],
    "house": [("stands", "stand", "standing")],
    "tree": [("grows", "grow", "growing"), ("stands", "stand", "standing")],
    "ball": [("lies", "lie", "lying"), ("rests", "rest", "resting")],
    "kite": [
        ("flies", "fly", "flying"),
        ("dances in the wind", "dance in the wind", "dancing in the wind"),
    ],
    "flower": [("blooms", "bloom", "blooming"), ("grows", "grow", "growing")],
    "plane": [("flies", "fly", "flying"), ("glides", "glide", "gliding")],
}
WHERE = {  # with things on the ground, with nothing but things in the air, and the bare noun
    "beach": (
        ["on the beach", "on a sandy beach", "at the seaside", "on the sand", "on the shore"],
        ["over the beach", "over the sand", "at the seaside"],
        ["a beach", "a sandy shore"],
    ),
    "meadow": (
        ["in a meadow", "on the grass", "in a grassy field", "in the countryside", "in a field"],
        ["over a meadow", "over a grassy field", "in the countryside"],
        ["a meadow", "a grassy field"],
    ),
    "snow": (
        ["in the snow", "on a snowy field", "in the snowy mountains", "on a winter day"],
        ["over the snow", "in the snowy mountains", "on a winter day"],
        ["a snowy field", "a winter landscape"],
    ),
    "street": (
        ["on the street", "in the city", "on the road", "in town", "on a city street"],
        ["over the street", "in the city", "over the road"],
        ["a street", "a city road"],
    ),
    "night": (
        ["at night", "in the dark", "in the moonlight", "under the stars", "under a starry sky"],
        ["at night", "in the night sky", "in the moonlight", "under the stars"],
        ["a moonlit night", "a starry night"],
    ),
    "sea": (
        ["in the sea", "in the water", "in the ocean", "among the waves", "at sea"],
        ["over the sea", "over the water", "over the ocean"],
        ["the sea", "the open ocean"],
    ),
    "desert": (
        ["in the desert", "among the dunes", "in a dry desert", "in the hot desert"],
        ["over the desert", "over the dunes"],
        ["a desert", "a dry landscape"],
    ),
    "forest": (
        ["in the forest", "in the woods", "in a shady forest", "in the woodland"],
        ["in the forest", "in the woods", "over the forest floor"],
        ["a forest", "a shady wood"],
    ),
}
RELATIONS = {
    "left of": ["left of", "to the left of", "on the left of"],
    "right of": ["right of", "to the right of", "on the right of"],
    "above": ["above", "higher than"],
    "below": ["below", "under", "beneath"],
}
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def pick(rng, options):
    """One of `options`. Only `rng.random()` is drawn on: Python promises that it never changes."""
    return options[int(rng.random() * len(options))]


def maybe(rng, chance):
    return rng.random() < chance


def _noun(rng, thing, names):
    """names: "plain", "other" (synonyms) or "vague"."""
    plain, other, vague = NOUNS[thing.kind]
    one, several = vague if names == "vague" else pick(rng, other if names == "other" else plain)
    return one if thing.count == 1 else several


def _number(rng, thing, exact=True):
    if thing.count == 1:
        return "one" if maybe(rng, 0.06) else "a"
    if exact or thing.count == 2:
        return pick(rng, ["two", "two", "a pair of"]) if thing.count == 2 else "three"
    return pick(rng, ["some", "several", "a few"])


def _thing(
    rng, thing, colour=1.0, size=0.0, names="plain", number=True, exact=True, other_hue=False
):
    """A noun phrase; `colour` and `size` are the chances that they are mentioned."""
    words = [_number(rng, thing, exact)] if number else []
    if maybe(rng, size):
        words.append(pick(rng, SIZES[thing.size]))
    if maybe(rng, colour):
        words.append(pick(rng, HUES[thing.colour]) if other_hue else thing.colour)
    words.append(_noun(rng, thing, names))
    if words[0] == "a" and words[1][0] in "aeiou":
        words[0] = "an"
    return " ".join(words)


def _where(rng, scene, things, plain=False):
    options = WHERE[scene.place][all(t.kind in FLIERS for t in things)]
    return options[0] if plain else pick(rng, options)


def _ordered(rng, scene, swap):
    """The things in the order of telling, and the words that relate the first to the second (None with one thing)."""
    if scene.relation is None:
        return scene.things, None
    turned = maybe(rng, swap)
    relation = OPPOSITE[scene.relation] if turned else scene.relation
    return (scene.things[::-1] if turned else scene.things), pick(rng, RELATIONS[relation])


def _being(thing):
    return "is" if thing.count == 1 else "are"


def terse(rng, scene):
    """Few words, no articles: "red dog and two cars on the beach"."""
    things, _ = _ordered(rng, scene, 0.5)
    if len(things) == 2 and maybe(rng, 0.2):
        things = things[:1]
    parts = [_thing(rng, t, 0.85, 0.15, number=t.count > 1) for t in things]
    text = pick(rng, [" and ", " and ", " with "]).join(parts)
    return text + (" " + _where(rng, scene, scene.things, plain=True) if maybe(rng, 0.75) else "")


def detailed(rng, scene):
    """Everything, in order: "A small red dog is standing to the left of two big blue cars on the beach"."""
    things, relation = _ordered(rng, scene, 0.3)
    first, where = things[0], _where(rng, scene, scene.things)
    start = _thing(rng, first, 1.0, 0.95)
    if relation is None:
        one, several, _ = pick(rng, DOING[first.kind])
        return f"{start} {one if first.count == 1 else several} {where}"
    second = _thing(rng, things[1], 1.0, 0.9)
    return pick(
        rng,
        [
            f"{start} {_being(first)} {relation} {second} {where}",
            f"{start} {relation} {second} {where}",
        ],
    )


def wordy(rng, scene):
    """Synonyms for nouns and colours, what they do, rarely a size: "a scarlet puppy waits by an azure automobile"."""
    things, relation = _ordered(rng, scene, 0.3)
    first, where = things[0], _where(rng, scene, scene.things)
    start = _thing(rng, first, 0.9, 0.2, "other", other_hue=maybe(rng, 0.5))
    one, several, _ = pick(rng, DOING[first.kind])
    doing = one if first.count == 1 else several
    if relation is None or maybe(rng, 0.15):
        return f"{start} {doing} {where}"
    second = _thing(rng, things[1], 0.8, 0.1, "other", other_hue=maybe(rng, 0.5))
    return f"{start} {doing} {relation if maybe(rng, 0.6) else 'near'} {second}" + (
        f" {where}" if maybe(rng, 0.6) else ""
    )


def place_first(rng, scene):
    """Begins with where: "On the beach, a red dog and two blue cars"."""
    things, _ = _ordered(rng, scene, 0.0)
    where, (first, *rest) = _where(rng, scene, scene.things), things
    if rest and maybe(rng, 0.35) and scene.relation in ("left of", "right of"):
        sides = ("left", "right") if scene.relation == "left of" else ("right", "left")
        return f"{where}, {_thing(rng, first)} on the {sides[0]} and {_thing(rng, rest[0])} on the {sides[1]}"
    listed = " and ".join(_thing(rng, t, 0.9, 0.3) for t in things)
    if maybe(rng, 0.3):
        return f"{pick(rng, WHERE[scene.place][2])} with {listed}"
    return f"{where} there {_being(first)} {listed}" if maybe(rng, 0.4) else f"{where}, {listed}"


def vague(rng, scene):
    """Looks at one thing, does not count, calls a dog an animal: "some animals standing in a field"."""
    things, _ = _ordered(rng, scene, 0.5)
    names = "vague" if maybe(rng, 0.4) else "plain"
    first, where = things[0], _where(rng, scene, scene.things)
    start = _thing(rng, first, 0.75, 0.5, names, exact=False)
    if len(things) == 2 and maybe(rng, 0.6):
        beside = (
            ["near", "and", "with"]
            if scene.relation in ("above", "below")
            else ["next to", "beside", "near", "and"]
        )
        return (
            f"{start} {pick(rng, beside)} {_thing(rng, things[1], 0.5, 0.2, exact=False)} {where}"
        )
    participle = pick(rng, DOING[first.kind])[2]
    return (
        f"{start} {participle} {where}"
        if maybe(rng, 0.6)
        else f"there {_being(first)} {start} {where}"
    )


ANNOTATORS = (terse, detailed, wordy, place_first, vague)
# Chances of a capital at the start, and of each ending: as uneven as in Flickr8k.
HABITS = (
    (0.1, ["", "", "", " ."]),
    (0.95, [" .", " .", "."]),
    (0.5, ["", " .", "."]),
    (0.9, [".", " ."]),
    (0.6, ["", " .", ".", " "]),
)


def captions(scene):
    """Five captions of a scene, one by each annotator: a list of str, the same on every platform."""
    told = []
    for annotator, (capital, endings) in zip(ANNOTATORS, HABITS):
        rng = random.Random(f"{annotator.__name__}-{scene.seed}")
        text = annotator(rng, scene)
        told.append(
            (text[0].upper() + text[1:] if maybe(rng, capital) else text) + pick(rng, endings)
        )
    return told
