"""A shared page in Chromium, opened from disk: it answers as Python does, and nothing gets out.

tests/test_page.py looks at the file without a browser.
"""

import random
import unicodedata

import pytest
import torch
from lab import find_chromium, launch
from page_index import CAPTIONS, NASTY, PLAIN, add_bank, make_index
from test_browser import FIND_BARRIERS

from clipnb.search import packing
from clipnb.search import page as page_module
from clipnb.search.explain import REST, word_shares
from clipnb.search.page import save_html
from clipnb.search.words import explain_unknown_words, find_unknown_words

ODD_QUERIES = [
    "it’s İstanbul ΣΑΣ Σ, the dog's and don't",
    "<pad> dog <start_of_text>x<end_of_text>",
    "e\u0301té cafe\u0301 ﬁsh ²½ Ⅷ 12345 straße",
    "a\u2028b\u00a0c\ufeffd\u0085e\x1cf\x00g",
    "😀 red 👩‍👩‍👧 car שלום !!!??? ... snake_case",
    "a" * 10_000,
    "red dog " * 1250,
]
NOTHING_KNOWN = ["", "   ", "жж"]
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Types a letter, and returns the milliseconds until the results have been drawn.
TIME_A_LETTER = """
async text => {
  const box = document.getElementById('query');
  box.value = text;
  const start = performance.now();
  box.dispatchEvent(new Event('input', {bubbles: true}));
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}
"""


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            pytest.skip("no Chromium here: install one, or set CHROMIUM_PATH")
        browser = launch(playwright, path)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, tmp_path):
    """A function that saves an index as a page and opens it. At the end nothing went wrong in it.

    That is: no error was raised, nothing was asked of the network, and no caption became code.
    """
    pages, errors, requests = [], [], []

    def open_it(index, about="", **context):
        path = tmp_path / f"{len(pages)}.html"
        save_html(index, path, title="A collection", about=about)
        page = browser.new_page(**({"viewport": {"width": 1200, "height": 900}} | context))
        page.on("pageerror", lambda error: errors.append(error))
        page.on("console", lambda message: errors.append(message.text))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield open_it
    assert not [page for page in pages if page.evaluate("window.attacked")]
    assert not errors
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}
    for page in pages:
        page.close()


def read_names(page):
    """Return the names of the images that are shown, in their order."""
    return page.eval_on_selector_all("#results > li", "items => items.map(item => item.title)")


def check_order(index, query, names, but=()):
    """Compare images with Python's search. Scores that differ by less than 0.02 may be swapped."""
    feature = index.encode(query)
    scores = [float(index.feature(name) @ feature) for name in names]
    expected = [hit for hit in index.search(query, len(names) + 1) if hit.image_id not in but]
    for score, hit in zip(scores, expected, strict=False):
        assert score == pytest.approx(hit.score, abs=0.02)
    assert len(set(names)) == len(names) and not set(names) & set(but)


# ---- the same answers as Python's --------------------------------------------------------------


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


# ---- a reader's visit --------------------------------------------------------------------------


def test_typing_clicking_and_going_back(visit):
    index = make_index(n_images=60)
    page = visit(index)
    assert read_names(page) == index.image_ids[:24]
    assert page.locator("#back").is_disabled()

    page.locator("#query").press_sequentially("a red dog", delay=5)
    dogs = read_names(page)
    assert len(dogs) == 24
    check_order(index, "a red dog", dogs)
    captions = page.locator(".caption").all_inner_texts()
    nearest = [hit.caption.strip(" .")[:60] for hit in index.search("a red dog", 24)]
    shown = [caption[:66].split(" ", 1)[1] for caption in captions]
    assert sum(a[:20] == b[:20] for a, b in zip(shown, nearest, strict=True)) > 18
    best = index.search("a red dog", 1)[0]
    first = page.locator(".caption").first.inner_text()
    assert first.split(" ")[0].replace("−", "-") == f"{best.score:.2f}"
    assert best.caption.strip(" .")[:100] in first or len(best.caption) > 100

    page.locator(".image").nth(2).click()
    near = read_names(page)
    check_order(index, index.feature(dogs[2]), near, but=[dogs[2]])
    assert page.input_value("#query") == ""
    assert page.locator("#why").is_disabled()

    page.locator("#more").click()
    assert len(read_names(page)) == 48
    assert page.evaluate("document.activeElement === document.querySelectorAll('.image')[24]")
    page.locator("#more").click()
    assert len(read_names(page)) == 59 and page.locator("#more").is_hidden()

    page.locator("#back").click()
    page.wait_for_function("document.getElementById('query').value === 'a red dog'")
    assert read_names(page) == dogs
    page.go_forward()
    page.wait_for_function("document.getElementById('query').value === ''")
    assert read_names(page)[:24] == near
    page.reload()
    assert read_names(page)[:24] == near, "the browser's own Reload keeps what was asked"


def test_why_these_shows_the_shares(visit):
    page = visit(make_index())
    page.fill("#query", "a red dog and two trees")
    assert not page.locator(".shares li").count() or page.locator(".shares").first.is_hidden()
    page.locator("#why").click()
    assert page.locator("#why").get_attribute("aria-pressed") == "true"
    score = page.locator(".caption b").first.inner_text()
    shares = page.locator(".shares").first.locator("b").all_inner_texts()
    numbers = [float(text.replace("−", "-")) for text in (score, *shares)]
    assert sum(numbers[1:]) == pytest.approx(numbers[0], abs=0.04)  # each is rounded
    page.fill("#query", "")
    assert page.locator(".shares").first.is_hidden()


@pytest.mark.parametrize("kind", ["captions", "bank", "neither"])
def test_the_matrix(kind, visit):
    index = make_index(n_images=30)
    if kind == "bank":
        add_bank(index, 0.0)
    if kind != "captions":
        index.captions = index.text_features = None
    page = visit(index)
    page.locator("#matrix-switch").click()
    assert page.locator("#results").is_hidden()
    rows = page.locator("#matrix tbody tr").count()
    assert rows == (0 if kind == "neither" else 8)
    if kind == "neither":
        assert "Search for something first" in page.locator("#status").inner_text()
        page.fill("#query", "a red dog")
        page.keyboard.press("Enter")
        page.locator("#matrix-switch").click()
        assert page.locator("#matrix tbody th").all_inner_texts() == ["a red dog"]
        return
    before = page.locator("#matrix td").all_inner_texts()
    page.locator("#others").click()
    assert page.locator("#matrix td").all_inner_texts() != before
    page.locator("#matrix-switch").click()
    assert page.locator("#results").is_visible()


@pytest.mark.parametrize("n", [1, 3])
def test_a_small_collection(n, visit):
    page = visit(add_bank(make_index(n_images=n), 0.0))
    page.fill("#query", "a red dog")
    assert len(read_names(page)) == n and page.locator("#more").is_hidden()
    page.locator("#why").click()
    page.locator("#matrix-switch").click()
    assert page.locator("#matrix thead img").count() == n


def test_unknown_words_are_grey_and_a_click_corrects(visit):
    page = visit(make_index())
    page.fill("#query", "a red dog in the stret, zebra ")
    assert page.locator("#status .unknown").all_inner_texts() == ["stret", "zebra"]
    told = page.locator("#status").inner_text()
    assert "does not know the word “zebra”" in told
    page.get_by_role("button", name="street", exact=True).click()
    assert page.input_value("#query") == "a red dog in the street, zebra"
    page.fill("#query", "green gree ")
    page.get_by_role("button", name="green", exact=True).click()
    assert page.input_value("#query") == "green green"
    page.fill("#query", "a red do")  # may become a word that is known
    assert page.locator("#status .unknown").count() == 0
    page.fill("#query", "жж")
    assert "knows nothing" in page.locator("#status").inner_text()


def test_a_word_is_replaced_where_it_stands_alone(visit):
    page = visit(make_index())
    for text, replaced in (
        ("street tre", "street tree"),
        ("TRE, tre: (tre) 2tre", "tree, tree: (tree) 2tree"),
        ("tre's and the 'tre trek métre", "tree's and the 'tre trek métre"),
    ):
        assert page.evaluate("text => replaceWord(text, 'tre', 'tree')", text) == replaced
    decomposed = unicodedata.normalize("NFD", "a dóg")
    assert page.evaluate("text => replaceWord(text, 'dóg', '$&')", decomposed) == "a $&"
    assert page.evaluate("replaceWord('a.b ab', 'a.b', 'c')") == "c ab"


def test_keys_are_enough(visit):
    page = visit(make_index(n_images=30))
    page.keyboard.press("/")
    page.keyboard.type("dog/cat")
    assert page.input_value("#query") == "dog/cat"
    page.keyboard.press("ArrowDown")
    focused = "[...document.querySelectorAll('.image')].indexOf(document.activeElement)"
    assert page.evaluate(focused) == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == 1 + 6, "there are six columns at 1,200 pixels"
    page.keyboard.press("Enter")
    assert "Nearest to" in page.locator("#status").inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "query"


# ---- safe, and for everyone --------------------------------------------------------------------


def test_hostile_captions_and_names_are_only_shown(visit):
    page = visit(make_index(), about=NASTY[0])
    shown = page.eval_on_selector_all(".image img", "images => images.map(image => image.alt)")
    assert shown == [text.strip(" .\u2028\u2029") for text in CAPTIONS]
    assert page.locator("#about").inner_text() == NASTY[0]
    for text in [*NASTY, *ODD_QUERIES]:
        page.fill("#query", text)
        assert len(read_names(page)) == len(CAPTIONS)
        assert len(page.locator("#status").inner_text()) < 1000
    page.locator("#why").click()
    page.locator("#matrix-switch").click()
    assert not page.locator("main script, main iframe, main [onerror]").count()


def test_nothing_can_be_sent(browser, tmp_path):
    save_html(make_index(), tmp_path / "a.html")
    page = browser.new_page()
    refused = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto((tmp_path / "a.html").as_uri())
    attempts = [
        "fetch('https://example.org/').catch(() => null)",
        "void (document.body.append(Object.assign(new Image(), {src: 'https://example.org/a'})))",
        "void (document.body.append(Object.assign(document.createElement('script'), {text: '1'})))",
    ]
    for attempt in attempts:
        page.evaluate(attempt)
    page.wait_for_timeout(100)
    assert len(refused) >= len(attempts)
    assert all("Content Security Policy" in text for text in refused[: len(attempts)])
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_nobody_is_shut_out(scheme, width, visit, axe):
    viewport = {"width": width, "height": 900}
    index = add_bank(make_index(n_images=30), 1e9)
    page = visit(index, about="Trained.", viewport=viewport, color_scheme=scheme, bypass_csp=True)
    page.add_script_tag(path=axe)
    for step in ["start", "text", "why", "image", "matrix"]:
        if step == "text":
            page.fill("#query", "a red dog in the stret and a zebra ")
        elif step == "why":
            page.locator("#why").click()
        elif step == "image":
            page.locator(".image").first.click()
        elif step == "matrix":
            page.locator("#matrix-switch").click()
        page.wait_for_timeout(200)  # colours change slowly
        assert page.evaluate(FIND_BARRIERS, [["body"], []]) == [], step
        assert page.evaluate(SIDEWAYS) <= 0, step


def test_a_letter_is_answered_at_once(visit):
    page = visit(add_bank(make_index(n_images=1000), 0.0, n=1000))
    words = "a red dog in the snow and two green trees"
    times = [page.evaluate(TIME_A_LETTER, words[:n]) for n in range(1, len(words))]
    # In milliseconds. A quarter, since other programs may be at work on this machine.
    assert sorted(times)[len(times) // 4] < 50
