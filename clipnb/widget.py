"""The retrieval widget: type and see the pictures change, click one to search by it. It works by setting traits alone."""

import base64
import html
import io

import ipywidgets
from PIL import Image

STYLE = """<style>
.clipnb-hit { position: relative; overflow: hidden; border-radius: 8px; border: 1px solid #ccc; background: #fff; }
.clipnb-hit img { display: block; width: 128px; height: 128px; image-rendering: auto; }
.clipnb-hit p { margin: 4px 6px; line-height: 1.25; font-size: 12px; color: #333; height: 62px; overflow: hidden; }
.clipnb-hit b { color: #0072b2; }
.clipnb-pick { position: absolute !important; top: 0; left: 0; opacity: 0; cursor: pointer; }
.clipnb-pick:hover, .clipnb-pick:focus { opacity: 0.25; }
</style>"""


def picture_html(picture):
    """uint8 (3, S, S) -> an <img> tag that carries the picture."""
    buffer = io.BytesIO()
    Image.fromarray(picture.transpose(1, 2, 0)).resize((128, 128), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return f'<img src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


class RetrievalWidget(ipywidgets.VBox):
    """A search box over an `ImageIndex`. `hits` holds the pictures now shown; set `query.value` or `k.value` from code if you like."""

    def __init__(self, index, query="", k=6, most=24):
        super().__init__()
        self.index, self.hits, self.searched = index, [], query
        most = min(most, len(index))
        self.query = ipywidgets.Text(query, placeholder="describe a picture, for example: a red kite over the beach", description="Search",
                                     continuous_update=True, layout={"width": "460px"})
        self.k = ipywidgets.IntSlider(min(k, most), min=1, max=most, description="pictures")
        self.status = ipywidgets.HTML()
        self.gallery = ipywidgets.Box(layout={"flex_flow": "row wrap", "grid_gap": "8px"})
        for part, name in (self, "retrieval"), (self.query, "query"), (self.gallery, "gallery"), (self.status, "status"):
            part.add_class(f"clipnb-{name}")
        self.query.observe(lambda change: self.search(change.new), "value")
        self.k.observe(lambda change: self.search(self.searched), "value")
        self.children = [ipywidgets.HTML(STYLE), ipywidgets.HBox([self.query, self.k]), self.status, self.gallery]
        self.search(query)

    def __repr__(self):  # the default one prints the children, pictures and all
        return f"RetrievalWidget({len(self.index)} pictures)"

    def search(self, query):
        """Show what the index finds for a text or a picture uint8 (3, S, S)."""
        self.searched = query
        self.hits = self.index.search(query, self.k.value)
        if self.hits:
            asked = f"“{html.escape(query)}”" if isinstance(query, str) else "the picture you clicked"
            self.status.value = f"The {len(self.hits)} of {len(self.index)} pictures nearest to {asked}. Click one to search by it."
        else:
            known = "Type a few words." if not str(query).strip() else "The model knows no word of this query: its captions never held one. Try others."
            self.status.value = known
        self.gallery.children = [self.card(hit) for hit in self.hits]

    def card(self, hit):
        """One picture with score and caption, and a see-through button over it."""
        picture = self.index.image(hit.image_id)
        text = ipywidgets.HTML(f"{picture_html(picture)}<p><b>{hit.score:.2f}</b> {html.escape(hit.caption)}</p>")
        pick = ipywidgets.Button(tooltip="search by this picture", layout={"width": "128px", "height": "128px", "margin": "0"})
        pick.add_class("clipnb-pick")
        pick.on_click(lambda _: self.search(picture))
        card = ipywidgets.Box([text, pick], layout={"width": "130px"})
        card.add_class("clipnb-hit")
        return card
