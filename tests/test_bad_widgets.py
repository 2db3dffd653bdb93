"""What no widget can show or ask: refused in one line, before anything is shown."""

import numpy as np
import pytest
from bad_parts import check_message
from PIL import Image
from widget_parts import NAMES, build_index

from clipnb import ImageIndex, PromptLab, RetrievalWidget
from clipnb.widgets.game import MatchingGame


@pytest.fixture(scope="module")
def index():
    return build_index()


def make_lab(index, truth, classes):
    return PromptLab(index.model, index.tokenizer, index.images, truth, classes)


def drop_images(index):
    """An index as a program has it that keeps vectors alone."""
    features, texts = index.image_features, index.text_features
    ids, captions = index.image_ids, index.captions
    return ImageIndex(
        index.model, index.tokenizer, features, texts, image_ids=ids, captions=captions
    )


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
