"""The cards of the search widget: one for each image found."""

import html
from collections import OrderedDict
from collections.abc import Callable
from pathlib import PurePosixPath

import ipywidgets

from clipnb.retrieval import Hit, ImageIndex
from clipnb.search.query import shorten

ECHOED = 80  # characters of a text that the status or a button repeats
GONE = "<p class='clipnb-gone'>This file is gone.</p>"  # in place of an image
MOST_PICTURES = 1000  # images that stay in the browser after they were shown: 5 MB at most


def name_hit(hit: Hit) -> str:
    """Return the caption of a hit, or the name of its file where it has no caption."""
    return hit.caption.strip(" .") or PurePosixPath(hit.image_id).name


def name_image(index: ImageIndex, image_id: str) -> str:
    """Return the first caption of an image, or the name of its file where it has no caption."""
    caption = "" if index.captions is None else index.captions[index.row[image_id]][0]
    return name_hit(Hit(1.0, image_id, caption))


def make_button(description: str, tooltip: str) -> ipywidgets.Button:
    """Make a button as wide as its text."""
    return ipywidgets.Button(description=description, tooltip=tooltip, layout={"width": "auto"})


class Card(ipywidgets.Box):
    """One hit: its image, score and caption, and buttons over the image.

    Its content changes with every search. `pick` lies over the whole image. number: its place in
    the list, from 1. act: called with the name of what is asked for ("pick", "add", "subtract" or
    "open") and the card's place from 0.
    """

    def __init__(self, number: int, act: Callable[[str, int], None]):
        super().__init__()
        self.text = ipywidgets.HTML()
        self.pick = ipywidgets.Button()
        self.add = ipywidgets.Button(description=f"Add image {number} to the query")
        self.subtract = ipywidgets.Button(description=f"Subtract image {number} from the query")
        self.open = ipywidgets.Button(description=f"Details of image {number}")
        self.tools = ipywidgets.Box([self.add, self.subtract, self.open])
        for name in ("pick", "add", "subtract", "open"):
            button = getattr(self, name)
            button.tooltip = button.description
            button.add_class(f"clipnb-{name}")
            button.on_click(_bind(act, name, number - 1))
        self.add_class("clipnb-hit")
        self.tools.add_class("clipnb-tools")

    def show(self, hit: Hit, picture: ipywidgets.HTML, share: float | None = None) -> None:
        """Show a hit. share: of the softmax, in place of the cosine."""
        name = name_hit(hit)
        caption = html.escape(name)
        value = hit.score if share is None else share
        filled = 100 * min(1, max(0, value))  # percent of the bar
        number = f"{hit.score:.2f}" if share is None else f"{100 * share:.0f} %"
        self.text.value = (
            f'<span class="clipnb-bar"><i style="width:{filled:.0f}%"></i></span>'
            f'<p title="{caption}"><b>{number}</b> {caption}</p>'
        )
        with self.pick.hold_sync():  # one message in place of two
            self.pick.description = f"More like “{shorten(name, ECHOED)}”"
            self.pick.tooltip = self.pick.description
        # The picture comes last, since a browser draws anew what stands behind a changed child.
        children = (self.text, self.pick, self.tools, picture)
        if self.children != children:
            self.children = children


def _bind(act: Callable[[str, int], None], name: str, i: int) -> Callable:
    def run(button: ipywidgets.Button) -> None:
        act(name, i)

    return run


class Pictures:
    """The images that the browser has already got, as widgets.

    An image that comes back in a later result is not sent again. format_image: returns the <img>
    tag of an image id, and raises OSError if its file is gone.
    """

    def __init__(self, format_image: Callable[[str], str]):
        self.format_image = format_image
        self.widgets: OrderedDict[str, ipywidgets.HTML] = OrderedDict()
        model = ipywidgets.HTML()
        self.layout, self.style = model.layout, model.style  # one for all
        model.close()

    def get(self, image_id: str) -> ipywidgets.HTML:
        """Return the widget of an image. It is made when the image is first asked for."""
        if image_id not in self.widgets:
            tag = self._format(image_id)
            picture = ipywidgets.HTML(tag, layout=self.layout, style=self.style)
            picture.add_class("clipnb-picture")
            self.widgets[image_id] = picture
        elif self.widgets[image_id].value == GONE:  # the file may be back
            self.widgets[image_id].value = self._format(image_id)
        self.widgets.move_to_end(image_id)
        return self.widgets[image_id]

    def _format(self, image_id: str) -> str:
        try:
            return self.format_image(image_id)
        except OSError:
            return GONE

    def forget_old(self, n_shown: int) -> None:
        """Close the images that were shown longest ago. n_shown: images on the screen."""
        while len(self.widgets) > max(MOST_PICTURES, n_shown):
            _, picture = self.widgets.popitem(last=False)
            picture.close()
