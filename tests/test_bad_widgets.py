"""What no widget can show or ask: refused in one line, before anything is shown."""

import numpy as np
import pytest
from bad_parts import check_message
from PIL import Image
from widget_parts import NAMES, build_index

from clipnb import ImageIndex, PromptLab, RetrievalWidget
from clipnb.widgets.collection_map import CollectionMap
from clipnb.widgets.game import MatchingGame
from clipnb.widgets.own_image import read_own_image
from clipnb.widgets.sentence import SentenceLens


@pytest.fixture(scope="module")
def index():
    return build_index()


def make_lab(index, truth, classes, **changes):
    parts = {"images": index.images, "truth": truth, "classes": classes} | changes
    return PromptLab(index.model, index.tokenizer, **parts)


def make_lens(index, **changes):
    parts = {"images": index.images, "captions": NAMES, "sentence": "a dog"} | changes
    return SentenceLens(index.model, index.tokenizer, **parts)


def drop_images(index):
    """An index as a program has it that keeps vectors alone."""
    features, texts = index.image_features, index.text_features
    ids, captions = index.image_ids, index.captions
    return ImageIndex(
        index.model, index.tokenizer, features, texts, image_ids=ids, captions=captions
    )


def change_index(index, **changes):
    """An index with other parts, as a program may put one together."""
    parts = {
        "image_features": index.image_features,
        "text_features": index.text_features,
        "images": index.images,
        "image_ids": index.image_ids,
        "captions": index.captions,
    }
    return ImageIndex(index.model, index.tokenizer, **(parts | changes))


def damage_features(index):
    return change_index(index, image_features=index.image_features * float("nan"))


THREE = np.zeros((3, 3, 8, 8), dtype=np.uint8)
TRUTH = ["dog", "cat"] * 4
BAD = {
    "a query that is none": (
        lambda index: RetrievalWidget(index, None),
        TypeError,
        "the query is a string, not None",
    ),
    "a query that is a number": (
        lambda index: RetrievalWidget(index, 3),
        TypeError,
        "the query is a string, not 3",
    ),
    "no number of images": (
        lambda index: RetrievalWidget(index, "dog", k=None),
        TypeError,
        "k is a whole number, such as 6, not None",
    ),
    "half an image": (
        lambda index: RetrievalWidget(index, "dog", k=2.5),
        TypeError,
        "k is a whole number, such as 6, not 2.5",
    ),
    "a text for the most": (
        lambda index: RetrievalWidget(index, "dog", most="9"),
        TypeError,
        "most is a whole number, such as 6, not '9'",
    ),
    "too few larger images": (
        lambda index: RetrievalWidget(index, "dog", shown=THREE),
        ValueError,
        "shown holds 3 images, and the index 8; give one for each",
    ),
    "nothing to show": (
        lambda index: RetrievalWidget(drop_images(index), "dog"),
        ValueError,
        "neither images nor paths, so there is nothing to show; give the images as shown",
    ),
    "a game with half an image": (
        lambda index: MatchingGame(index, 2.5),
        TypeError,
        "n is a whole number, such as 6, not 2.5",
    ),
    "a game with too few larger images": (
        lambda index: MatchingGame(index, shown=THREE),
        ValueError,
        "shown holds 3 images, and the index 8; give one for each",
    ),
    "too few right answers": (
        lambda index: make_lab(index, ["dog"], ["dog", "cat"]),
        ValueError,
        "truth holds 1 names, and there are 8 images; give one for each",
    ),
    "too many right answers": (
        lambda index: make_lab(index, TRUTH * 2, ["dog", "cat"]),
        ValueError,
        "truth holds 16 names, and there are 8 images; give one for each",
    ),
    "numbers for names": (
        lambda index: make_lab(index, [0, 1] * 4, [0, 1]),
        TypeError,
        "a class name is a string, not 0",
    ),
    "a name with a comma": (
        lambda index: make_lab(index, ["dog, red", "cat"] * 4, ["dog, red", "cat"]),
        ValueError,
        "the class name 'dog, red' has a comma or an equals sign",
    ),
    "a name with an equals sign": (
        lambda index: make_lab(index, TRUTH, ["a=b", "cat"]),
        ValueError,
        "the class name 'a=b' has a comma or an equals sign",
    ),
    "no index": (
        lambda index: RetrievalWidget(None),
        TypeError,
        "index is an ImageIndex, such as ImageIndex.build makes, not None",
    ),
    "a map of no index": (lambda index: CollectionMap("x"), TypeError, "index is an ImageIndex"),
    "a game of no index": (lambda index: MatchingGame([1]), TypeError, "index is an ImageIndex"),
    "a map of NaN": (
        lambda index: CollectionMap(damage_features(index)),
        ValueError,
        "feature 0 holds NaN or infinity; encode the images again",
    ),
    "a game of NaN": (
        lambda index: MatchingGame(damage_features(index)),
        ValueError,
        "feature 0 holds NaN or infinity",
    ),
    "a game of captions that are NaN": (
        lambda index: MatchingGame(change_index(index, text_features=index.text_features / 0)),
        ValueError,
        "feature 0 holds NaN or infinity",
    ),
    "a game without captions": (
        lambda index: MatchingGame(change_index(index, captions=None, text_features=None)),
        ValueError,
        "the game needs a caption for each image, and the index lacks some",
    ),
    "a game with an image without captions": (
        lambda index: MatchingGame(change_index(index, captions=[[], *index.captions[1:]])),
        ValueError,
        "the captions of '0.png' are []",
    ),
    "a map without images": (
        lambda index: CollectionMap(drop_images(index)),
        ValueError,
        "neither images nor paths, so there is no map to draw",
    ),
    "a map that calls a number": (
        lambda index: CollectionMap(index, on_pick=3),
        TypeError,
        "on_pick is a function of an image id, not 3",
    ),
    "an empty cell": (
        lambda index: CollectionMap(index).pick(99, 99),
        ValueError,
        "there is no image in column 99, row 99; the map has ",
    ),
    "larger images of floats": (
        lambda index: RetrievalWidget(index, shown=np.zeros((8, 3, 8, 8))),
        ValueError,
        "give shown as an array of uint8 (N, 3, S, S), with pixels from 0 to 255, not float64 (8",
    ),
    "larger images with channels last": (
        lambda index: MatchingGame(index, shown=np.zeros((8, 8, 8, 3), dtype=np.uint8)),
        ValueError,
        "from 0 to 255, not uint8 (8, 8, 8, 3)",
    ),
    "a list of larger images": (
        lambda index: RetrievalWidget(index, shown=[1] * 8),
        ValueError,
        "give shown as an array of uint8 (N, 3, S, S), with pixels from 0 to 255, not [1, 1",
    ),
    "a list of indexes": (
        lambda index: RetrievalWidget(index, others=[index]),
        TypeError,
        "others is a dictionary {name: ImageIndex}, not [",
    ),
    "no other index": (
        lambda index: RetrievalWidget(index, others={"x": None}),
        TypeError,
        "others['x'] is an ImageIndex, such as ImageIndex.build makes, not None",
    ),
    "an image that is not there": (
        lambda index: RetrievalWidget(index).pick_image("nope"),
        ValueError,
        "the index has no image 'nope'",
    ),
    "a card that is not there": (
        lambda index: RetrievalWidget(index, "a red dog").open_details(99),
        ValueError,
        "there is no card 99; 6 are shown",
    ),
    "no right answers": (
        lambda index: make_lab(index, None, ["dog"]),
        TypeError,
        "truth is a list of strings, not None (NoneType)",
    ),
    "no classes": (
        lambda index: make_lab(index, TRUTH, None),
        TypeError,
        "classes is a list of strings, not None",
    ),
    "a template alone": (
        lambda index: make_lab(index, TRUTH, ["dog"], templates="a {}"),
        TypeError,
        "templates is a list of strings, not 'a {}' (str); put it into [ ]",
    ),
    "a number as a template": (
        lambda index: make_lab(index, TRUTH, ["dog"], templates=[3]),
        TypeError,
        "a template is a string, not 3",
    ),
    "a lab without images": (
        lambda index: make_lab(index, TRUTH, ["dog"], images=None),
        ValueError,
        "give images as an array of uint8 (N, 3, S, S), with pixels from 0 to 255, not None",
    ),
    "a lab without a model": (
        lambda index: PromptLab(None, index.tokenizer, index.images, TRUTH, ["dog"]),
        TypeError,
        "a model is a CLIP, such as run.model, not None",
    ),
    "a lens without a model": (
        lambda index: SentenceLens(None, index.tokenizer, index.images, NAMES),
        TypeError,
        "a model is a CLIP, such as run.model, not None",
    ),
    "a lens without a sentence": (
        lambda index: make_lens(index, sentence=None),
        TypeError,
        "the sentence is a string, not None",
    ),
    "a lens with too few captions": (
        lambda index: make_lens(index, captions=["a dog"]),
        ValueError,
        "captions holds 1 texts, and there are 8 images; give one for each",
    ),
    "a file without a name": (
        lambda index: read_own_image(None, b""),
        TypeError,
        "the name of an image is a string, not None",
    ),
    "a file of text": (
        lambda index: read_own_image("x.png", "text"),
        TypeError,
        "“x.png” comes as bytes, not as str",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_makes_no_widget_is_refused_in_a_line(case, index):
    make, kind, message = BAD[case]
    with pytest.raises(kind) as error:
        make(index)
    check_message(error, message)


@pytest.mark.parametrize("n, expected", [(-1, 1), (0, 1), (100, len(NAMES))])
def test_a_number_of_images_is_brought_into_its_range(n, expected, index):
    assert MatchingGame(index, n).n == expected
    widget = RetrievalWidget(index, "a red dog", k=n)
    assert widget.k.value == len(widget.hits) == expected
    widget.close()


def test_vectors_alone_can_be_shown_by_images_of_ones_own(index):
    shown = np.zeros((len(NAMES), 3, 8, 8), dtype=np.uint8)
    widget = RetrievalWidget(drop_images(index), "a red dog", shown=shown)
    assert len(widget.hits) == 6
    widget.close()


def test_a_map_of_vectors_alone_is_refused_in_the_status(index):
    shown = np.zeros((len(NAMES), 3, 8, 8), dtype=np.uint8)
    widget = RetrievalWidget(drop_images(index), "a red dog", shown=shown)
    widget.options.map_it.value = True
    assert "so there is no map to draw" in widget.status.value
    widget.close()


@pytest.mark.parametrize("classes", [["Ba\u0308r", "cat"], ["B\u00e4r", "cat"]])
def test_an_accent_may_be_a_character_of_its_own(classes, index):
    """A Mac writes the names of files so, and both look the same."""
    lab = make_lab(index, ["B\u00e4r", "cat"] * 4, classes)
    assert lab.status.value.startswith(f"{lab.accuracy:.0f} % of the 8 images")
    lab.close()


@pytest.mark.parametrize("image", [Image.new("RGB", (0, 5)), np.zeros((3, 0, 5), dtype=np.uint8)])
def test_an_image_without_pixels_is_no_query(image, index):
    with pytest.raises(ValueError) as error:
        index.search(image, 1)
    check_message(error, "shows nothing")
    widget = RetrievalWidget(index, "a red dog")
    before = widget.hits
    widget.search(image)
    assert "shows nothing" in widget.status.value
    assert widget.hits == before
    widget.close()
