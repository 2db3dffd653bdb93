"""A shared page in Chromium, opened from disk: it answers as Python does."""

import random

import pytest
import torch
from page_index import PLAIN, add_bank, make_index
from page_visit import ODD_QUERIES, open_pages

from clipnb.search import packing
from clipnb.search import page as page_module
from clipnb.search.explain import REST, word_shares
from clipnb.search.words import explain_unknown_words, find_unknown_words

NOTHING_KNOWN = ["", "   ", "жж"]


@pytest.fixture
def visit(browser, tmp_path):
    """A function that saves an index as a page and opens it, as in `open_pages`."""
    with open_pages(browser, tmp_path) as open_it:
        yield open_it


def make_queries(n):
    rng = random.Random(0)
    words = " ".join(PLAIN).split() + ["zebra", "dogs", "2", "kites", "stret"]
    return [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(n)]


@pytest.mark.parametrize("encoder", ["bag", "transformer", "clip", "published", "published gelu"])
def test_scores_are_pythons_on_two_hundred_queries(encoder, visit):
    index = make_index(encoder)
    page = visit(index)
    queries = [*make_queries(200), *ODD_QUERIES, *NOTHING_KNOWN]
    tokens = page.evaluate(
        "texts => texts.map(text => TOKENIZER.tokenize(text).map(token => token.id))", queries
    )
    room = index.tokenizer.context_length - 2
    assert tokens == [index.tokenizer.encode(query)[:room] for query in queries]

    vectors = page.evaluate(
        "texts => texts.map(text => encodeText(text)).map(v => v && [...IMAGES.times(v)])", queries
    )
    for query, scores in zip(queries, vectors, strict=True):
        feature = index.encode(query)
        if feature is None:
            assert scores is None
        else:
            difference = index.image_features @ feature - torch.tensor(scores)
            assert difference.abs().max() < 0.01, query


@pytest.mark.parametrize("change", [{}, {"causal": False}, {"reads_end": False}])
def test_the_mask_and_the_end_of_a_published_text_encoder_count(change, visit, monkeypatch):
    index = make_index("published")
    pack = packing.pack_encoder
    monkeypatch.setattr(page_module, "pack_encoder", lambda *inputs: pack(*inputs) | change)
    found = visit(index).evaluate("text => [...encodeText(text)]", "two red dogs in the snow")
    difference = index.encode("two red dogs in the snow") - torch.tensor(found)
    assert (difference.norm() < 0.02) == (not change)


@pytest.mark.parametrize("encoder", ["published", "published gelu"])
def test_the_activation_is_pythons(encoder, visit):
    index = make_index(encoder)
    numbers = [-3, -1, -0.2, 0, 0.5, 2]
    found = visit(index).evaluate("numbers => numbers.map(ENCODER.activate)", numbers)
    activate = index.model.text_encoder.blocks[0].feedforward[1]
    assert found == pytest.approx(activate(torch.tensor(numbers)).tolist(), abs=1e-6)


def test_the_page_repairs_a_text_as_clips_tokenizer_does(visit):
    index = make_index("clip")
    texts = [
        "caf&eacute; &amp;amp; &lt;b&gt; R&D &amp;lt;script&amp;gt;",
        "ｄｏｇ　ｃａｔ “quoted” ‘it’ oﬃce \x93bytes\x94",
        "<end_of_text> <START_OF_TEXT> <ſtart_of_text> \x1c x\u0345",
    ]
    tokenize = "texts => texts.map(text => TOKENIZER.tokenize(text).map(token => token.id))"
    found = visit(index).evaluate(tokenize, texts)
    assert found == [index.tokenizer.encode(text) for text in texts]


@pytest.mark.parametrize("with_bank", [False, True])
def test_unknown_words_and_their_corrections_are_pythons(with_bank, visit):
    index = make_index()
    if with_bank:
        add_bank(index, 0.0)
    known_words = index.bank.words if with_bank else None
    page = visit(index)
    texts = [*make_queries(50), *ODD_QUERIES, "a stret and a balck gren tres 🙂 dóg", "bule"]
    found = page.evaluate("texts => texts.map(findUnknownWords)", texts)
    assert found == [find_unknown_words(index.tokenizer, text, known_words) for text in texts]
    words = sorted({word for own in found for word in own if len(word) <= 40})
    corrected = page.evaluate("words => words.map(correct)", words)
    explained = [explain_unknown_words(index.tokenizer, word, known_words) for word in words]
    assert corrected == [own[0].spelling for own in explained]
    assert "street" in corrected


@pytest.mark.parametrize("encoder", ["bag", "transformer", "published"])
def test_each_words_share_is_pythons(encoder, visit):
    index = make_index(encoder)
    page = visit(index)
    query = "two red dogs, a zebra and two cats!"
    shares = page.evaluate(
        "text => divideIntoWords(text).map(({word, vector}) => [word, IMAGES.dotRow(3, vector)])",
        query,
    )
    feature = index.image_features[3]
    expected = {}  # a word that occurs twice has two shares there and one here
    for word, share in word_shares(index.model, index.tokenizer, query, feature):
        expected[word] = expected.get(word, 0.0) + share
    found = {REST if word is None else word: share for word, share in shares}
    assert set(found) == set(expected)
    for word in set(found) - (set() if encoder == "bag" else {"two"}):
        assert found[word] == pytest.approx(expected[word], abs=0.01), word
    if encoder == "bag":
        cosine = float(feature @ index.encode(query))
        assert sum(found.values()) == pytest.approx(cosine, abs=0.01)


@pytest.mark.parametrize("encoder", ["bag", "transformer"])
def test_nothing_matches_where_python_says_so(encoder, visit):
    index = add_bank(make_index(encoder, n_images=250), threshold=0.0)
    texts = [*make_queries(40), *ODD_QUERIES, *NOTHING_KNOWN, "a dog", "the", "a boat and a quark"]
    scores = [index.bank.score(index.image_features, text) for text in texts]
    finite = torch.tensor([score for score in scores if score > float("-inf")])
    threshold = float(finite.median()) + 0.01
    index.bank.thresholds = {"short": threshold, "long": threshold}
    expected = [index.bank.has_match(index.image_features, text) for text in texts]
    assert set(expected) == {True, False, None}
    found = visit(index).evaluate("texts => texts.map(hasMatch)", texts)
    decided = [abs(score - threshold) > 0.05 for score in scores]  # not by the rounding to 8 bits
    assert sum(decided) > len(texts) / 2
    for text, python, page, is_decided in zip(texts, expected, found, decided, strict=True):
        assert python is page or not is_decided, text


@pytest.mark.parametrize("encoder", ["bag", "transformer", "published"])
def test_short_queries_are_expanded(encoder, visit):
    index = add_bank(make_index(encoder), threshold=0.0)
    page = visit(index)
    for text in ["dog", "a red dog", "the", "zebra snow", "DOG!"]:
        found = torch.tensor(page.evaluate("text => [...encodeQuery(text)]", text))
        assert float(found @ index.bank.expand(text)) > 0.999, text
    shares = page.evaluate("text => divideIntoWords(text).map(share => share.word)", "a red dog")
    assert shares == ["a", "red", "dog"]


@pytest.mark.parametrize(("threshold", "said"), [(-1e9, False), (1e9, True), (None, False)])
def test_nothing_matches_is_said(threshold, said, visit):
    page = visit(add_bank(make_index(), threshold))
    page.fill("#query", "a red dog")
    assert ("Nothing here matches." in page.locator("#status").inner_text()) == said
    assert page.locator("#search.nothing-matches").count() == said
    page.locator(".image").first.click()
    assert "Nothing" not in page.locator("#status").inner_text(), "an image always has neighbours"


def test_nothing_is_said_of_a_word_that_is_still_being_typed(visit):
    page = visit(add_bank(make_index(), threshold=1e9))
    page.fill("#query", "a red do")  # it may become a dog
    assert "Nothing" not in page.locator("#status").inner_text()
    assert page.locator("#search.nothing-matches").count() == 0
    page.fill("#query", "a red do ")
    assert "Nothing here matches." in page.locator("#status").inner_text()
