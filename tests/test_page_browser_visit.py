"""A shared page in Chromium, opened from disk: a reader uses it, and nothing gets out."""

import unicodedata

import pytest
from browser_parts import FIND_BARRIERS
from page_index import CAPTIONS, NASTY, add_bank, make_index
from page_visit import ODD_QUERIES, open_pages, read_names

from clipnb.search.page import save_html

SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Types a letter, and returns the milliseconds until the results have been drawn.
# What the page shows when the event of a letter is over, before anything else can happen.
TYPE_A_LETTER = """
text => {
  const box = document.getElementById('query');
  box.value = text;
  box.dispatchEvent(new Event('input', {bubbles: true}));
  return document.getElementById('status').textContent;
}
"""


@pytest.fixture
def visit(browser, tmp_path):
    """A function that saves an index as a page and opens it, as in `open_pages`."""
    with open_pages(browser, tmp_path) as open_it:
        yield open_it


def check_order(index, query, names, but=()):
    """Compare images with Python's search. Scores that differ by less than 0.02 may be swapped."""
    feature = index.encode(query)
    scores = [float(index.feature(name) @ feature) for name in names]
    expected = [hit for hit in index.search(query, len(names) + 1) if hit.image_id not in but]
    for score, hit in zip(scores, expected, strict=False):
        assert score == pytest.approx(hit.score, abs=0.02)
    assert len(set(names)) == len(names) and not set(names) & set(but)


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
    words = "a red dog in the snow"
    for n in range(1, len(words) + 1):
        assert words[:n].strip() in page.evaluate(TYPE_A_LETTER, words[:n]), "it waits"
