"""A visit to a shared page in Chromium, in which nothing may go wrong."""

import contextlib

from clipnb.search.page import save_html

ODD_QUERIES = [
    "it’s İstanbul ΣΑΣ Σ, the dog's and don't",
    "<pad> dog <start_of_text>x<end_of_text>",
    "e\u0301té cafe\u0301 ﬁsh ²½ Ⅷ 12345 straße",
    "a\u2028b\u00a0c\ufeffd\u0085e\x1cf\x00g",
    "😀 red 👩‍👩‍👧 car שלום !!!??? ... snake_case",
    "a" * 10_000,
    "red dog " * 1250,
]


@contextlib.contextmanager
def open_pages(browser, folder):
    """Give a function that saves an index as a page and opens it.

    At the end nothing went wrong in a page: no error was raised, nothing was asked of the network,
    and no caption became code.
    """
    pages, errors, requests = [], [], []

    def open_it(index, about="", **context):
        path = folder / f"{len(pages)}.html"
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
