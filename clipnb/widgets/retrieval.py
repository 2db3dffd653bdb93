"""The retrieval widget: type and see the images change, click one to search by it. It works by setting traits alone."""

import base64
import functools
import html
import io

import ipywidgets
import numpy as np
from PIL import Image

# Colours are JupyterLab's own where it sets them, so that the widget follows a dark theme.
STYLE = """<style>
.clipnb-retrieval { padding: 4px 2px; overflow: visible; }
.clipnb-status { line-height: 1.4; min-height: 40px; color: var(--jp-ui-font-color1, #222); }
.clipnb-status img { height: 36px; border-radius: 4px; vertical-align: middle; margin: 0 4px; }
.clipnb-gallery { display: flex; flex-flow: row wrap; gap: 10px; min-height: 250px; align-content: flex-start; overflow: visible; padding: 3px; }
.clipnb-hit { position: relative; width: 140px; margin: 0; overflow: hidden; border-radius: 8px; transition: box-shadow .15s;
  background: var(--jp-layout-color1, #fff); border: 1px solid var(--jp-border-color2, #ccc); }
.clipnb-hit:hover, .clipnb-hit:focus-within { box-shadow: 0 2px 10px rgba(0, 0, 0, .35); border-color: var(--jp-brand-color1, #0072b2); }
.clipnb-hit > .widget-html, .clipnb-hit > .widget-html > .widget-html-content { margin: 0; width: 100%; }
.clipnb-hit img { display: block; width: 138px; height: 138px; }
.clipnb-bar { display: block; height: 4px; background: var(--jp-border-color2, #ddd); }
.clipnb-bar i { display: block; height: 4px; background: #0072b2; }
.clipnb-hit p { margin: 4px 7px 7px; height: 80px; font-size: 12px; line-height: 16px; overflow: hidden; overflow-wrap: anywhere;
  color: var(--jp-ui-font-color1, #222); display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 5; }
.clipnb-hit b { color: var(--jp-brand-color1, #0072b2); }
.jupyter-button.clipnb-pick { position: absolute; top: 0; left: 0; width: 138px; height: 138px; margin: 0; opacity: 0; cursor: pointer;
  color: #fff; background: rgba(0, 0, 0, .45); transition: opacity .15s; }
.jupyter-button.clipnb-pick:hover, .jupyter-button.clipnb-pick:focus-visible { opacity: 1; color: #fff; background: rgba(0, 0, 0, .45); }
.jupyter-button.clipnb-pick:focus-visible { outline: 3px solid #e69f00; outline-offset: -3px; }
</style>"""


def image_html(image, text=""):
    """uint8 (3, S, S) -> an <img> tag that carries the image; `text` stands for it where it cannot be seen."""
    return f'<img src="data:image/png;base64,{png(np.ascontiguousarray(image).tobytes(), image.shape[1:])}" alt="{html.escape(text)}">'


@functools.lru_cache(maxsize=256)  # the same images come back with every letter typed
def png(pixels, size):
    """The bytes of an image (3, *size) -> a PNG of about 138 pixels a side, in base64."""
    buffer = io.BytesIO()
    array = np.frombuffer(pixels, np.uint8).reshape(3, *size).transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(array)).resize((138, 138), Image.Resampling.BICUBIC).save(
        buffer, "PNG"
    )
    return base64.b64encode(buffer.getvalue()).decode()


class Card(ipywidgets.Box):
    """One hit: image, score, caption, and `pick`, a see-through button over the image. Its content changes with every search."""

    def __init__(self, on_pick):
        super().__init__()
        self.text, self.pick = ipywidgets.HTML(), ipywidgets.Button(description="more like this")
        self.pick.on_click(on_pick)
        self.pick.add_class("clipnb-pick")
        self.add_class("clipnb-hit")
        self.children = [self.text, self.pick]

    def show(self, hit, image):
        bar = f'<span class="clipnb-bar"><i style="width:{100 * min(1, max(0, hit.score)):.0f}%"></i></span>'
        words = hit.caption.strip(" .")
        caption = html.escape(words)
        self.text.value = f'{image_html(image, words)}{bar}<p title="{caption}"><b>{hit.score:.2f}</b> {caption}</p>'
        self.pick.tooltip = f"search by this image: {words}"


class RetrievalWidget(ipywidgets.VBox):
    """A search box over an `ImageIndex`: type and the images change, click one to search by it.

    All of it can be done from code: set `query.value` or `k.value`, click `cards[i].pick`, or call `search`.
    `hits` are the images now shown, `status.value` says what was asked. query, k: what it starts with. most: the largest k.
    """

    def __init__(self, index, query="", k=6, most=24):
        super().__init__()
        most = max(1, min(most, len(index)))
        self.index, self.hits, self.asked = index, [], query
        wide = {"description_width": "initial"}
        self.query = ipywidgets.Text(
            query,
            description="Search",
            placeholder=f"for example: {index.captions[0][0].strip(' .')}",
            style=wide,
            layout={"width": "460px"},
        )
        self.k = ipywidgets.IntSlider(
            max(1, min(k, most)),
            min=1,
            max=most,
            description="images",
            style=wide,
            layout={"width": "260px"},
        )
        self.status, self.gallery = ipywidgets.HTML(), ipywidgets.Box()
        # Cards are made once and filled anew: new ones for each letter typed would pile up in the browser.
        self.cards = [Card(functools.partial(self.search_by, i)) for i in range(most)]
        for part, name in (
            (self, "retrieval"),
            (self.query, "query"),
            (self.gallery, "gallery"),
            (self.status, "status"),
        ):
            part.add_class(f"clipnb-{name}")
        self.query.observe(self.typed, "value")
        self.k.observe(lambda change: self.search(self.asked), "value")
        controls = ipywidgets.HBox([self.query, self.k], layout={"flex_flow": "row wrap"})
        self.children = [
            ipywidgets.HTML(STYLE, layout={"display": "none"}),
            controls,
            self.status,
            self.gallery,
        ]
        self.search(query)

    def __repr__(self):  # the default one prints the children, images and all
        return f"RetrievalWidget({len(self.index)} images)"

    def typed(self, change):
        """Search for what the box now holds. A box that `search_by` has emptied asks nothing."""
        if change.new or isinstance(self.asked, str):
            self.search(change.new)

    def search_by(self, i, button=None):
        """Search by the image on card i, and empty the box: what it held is no longer the question."""
        self.search(self.index.image(self.hits[i].image_id))
        self.query.value = ""

    def search(self, query):
        """Show what the index finds for a text or an image uint8 (3, S, S); an image is not shown as a hit of itself."""
        self.asked = query
        if isinstance(query, str):
            self.hits, asked = (
                self.index.search(query, self.k.value),
                f"“{html.escape(query.strip())}”",
            )
        else:
            found = self.index.search(query, self.k.value + 1)
            self.hits = [
                hit for hit in found if not np.array_equal(self.index.image(hit.image_id), query)
            ][: self.k.value]
            asked = image_html(query, "the image you clicked")
        for card, hit in zip(self.cards, self.hits):
            card.show(hit, self.index.image(hit.image_id))
        self.gallery.children = self.cards[: len(self.hits)]
        if self.hits:  # the status is sent last: who sees it sees its hits
            self.status.value = f"{len(self.hits)} of {len(self.index):,} images, those nearest to {asked} first. Click one to search by it."
        elif isinstance(query, str) and not query.strip():
            self.status.value = "Type a few words to search."
        else:
            self.status.value = f"Nothing to search by: the model has no word or letter of {asked}. Try other words."
