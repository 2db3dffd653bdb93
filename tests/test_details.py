"""The details of the search widget: numbers that are true of the hit, and what they are called."""

import re
from types import SimpleNamespace

import pytest
from page_index import add_bank, make_index

from clipnb.widgets.details import MOST_WORDS, tell_captions, tell_word_shares

MINUS = "−"
LONG = "a red dog in the snow beside a blue boat and two green trees on the street"


def read_shares(text):
    """Return the numbers of a table of shares, by the words before them."""
    rows = re.findall(r"<th scope='row'>(.*?)</th>.*?<td>([^<]*)</td></tr>", text)
    return {word: float(number.replace(MINUS, "-")) for word, number in rows}


@pytest.mark.parametrize("text", ["dog", "red dog", "a red dog", "the dog"])
def test_a_short_query_is_explained_by_the_vector_that_found_it(text):
    index = add_bank(make_index(), 0)
    [hit] = index.search(text, 1)
    told = tell_word_shares(index, hit, text)
    feature = index.feature(hit.image_id)
    shares = read_shares(told)
    assert list(shares) == text.split()
    for word, share in shares.items():
        rest = " ".join(other for other in text.split() if other != word)
        left = 0.0 if not rest else float(index.encode(rest) @ feature)
        assert share == pytest.approx(hit.score - left, abs=0.006)
    assert f"what the cosine of {hit.score:.2f} loses without each word" in told
    assert "These numbers do not add up to it." in told


@pytest.mark.parametrize("text", ["red dog", "a red dog in the snow", LONG])
def test_the_numbers_of_a_bag_of_words_add_up(text):
    index = make_index()
    [hit] = index.search(text, 1)
    told = tell_word_shares(index, hit, text)
    numbers = re.findall(r"<td>([^<]*)</td></tr>", told)
    assert len(numbers) == min(len(text.split()), MOST_WORDS) + 1
    total = sum(float(number.replace(MINUS, "-")) for number in numbers)
    assert total == pytest.approx(hit.score, abs=0.006 * len(numbers))
    assert "do not add up" not in told


def test_of_a_long_text_for_a_transformer_the_first_words_are_explained():
    index = make_index("transformer")
    [hit] = index.search(LONG, 1)
    told = tell_word_shares(index, hit, LONG)
    assert told.count("<tr>") == MOST_WORDS
    assert f"loses without each of the first {MOST_WORDS} words. These numbers do not" in told
    assert "the rest" not in told


def test_a_bank_with_few_captions_is_listed():
    index = add_bank(make_index(), 0, n=3)
    index.captions = None
    told = tell_captions(index, index.image_ids[0])
    assert told.count("<li>") == 3
    index.bank = SimpleNamespace(features=index.bank.features[:0], captions=[])
    assert tell_captions(index, index.image_ids[0]).count("<li>") == 0
