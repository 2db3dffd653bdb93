"""What the search widget folds away: own images, templates, temperature, history and map."""

import html
from typing import TYPE_CHECKING

import ipywidgets

from clipnb.search.query import shorten
from clipnb.widgets.own_image import OwnImage

if TYPE_CHECKING:
    from clipnb.widgets.retrieval import RetrievalWidget

SMALLEST, LARGEST = 0.01, 1.0  # temperatures
COSINE, SOFTMAX = "cosine", "softmax"
TITLE = "Earlier searches"


class Options(ipywidgets.VBox):
    """Controls of a `RetrievalWidget`, its `owner`, that only some readers want."""

    def __init__(self, owner: "RetrievalWidget"):
        super().__init__()
        self.owner = owner
        wide = {"description_width": "initial"}
        self.own = OwnImage(owner.take_image, self._refuse)
        self.template = ipywidgets.Text(
            "",
            description="Template",
            placeholder="a photo of a {}",
            tooltip="{} stands for what you type in the search box",
            style=wide,
        )
        self.bars = ipywidgets.ToggleButtons(
            options=[COSINE, SOFTMAX],
            description="Bars show the",
            tooltips=["The cosine of query and image", "Shares of the images shown, together 1"],
            style=wide,
        )
        self.temperature = ipywidgets.FloatLogSlider(
            LARGEST,
            min=-2,
            max=0,
            step=0.02,
            description="temperature",
            readout_format=".3f",
            disabled=True,
            style=wide,
            layout={"width": "300px"},
        )
        self.history = ipywidgets.Dropdown(options=[(TITLE, -1)], description="", value=-1)
        self.history.tooltip = TITLE
        self.history.add_class("clipnb-history")
        self.map_it = ipywidgets.ToggleButton(
            description="Map", tooltip="A map of the collection", layout={"width": "auto"}
        )
        self.map_place = ipywidgets.VBox()
        rows = [
            [self.own, self.map_it, self.history],
            [self.bars, self.temperature],
            [self.template],
        ]
        boxes = [ipywidgets.Box(row) for row in rows]
        for box in boxes:
            box.add_class("clipnb-controls")
        self.children = [*boxes, self.map_place]
        self.add_class("clipnb-options")
        self.start_temperature()
        self.template.observe(self._show_again, "value")
        self.bars.observe(self._choose_bars, "value")
        self.temperature.observe(self._show_again, "value")
        self.history.observe(self._choose_search, "value")
        self.map_it.observe(self._show_map, "value")

    @property
    def shows_softmax(self) -> bool:
        """Whether the bars show shares of the softmax."""
        return self.bars.value == SOFTMAX

    def start_temperature(self) -> None:
        """Set the temperature to the model's own."""
        scale = getattr(self.owner.index.model, "logit_scale", None)
        temperature = 0.07 if scale is None else 1 / scale.exp().item()
        self.temperature.value = min(max(temperature, SMALLEST), LARGEST)

    def list_history(self) -> None:
        """List the searches so far, the last one first."""
        entries = self.owner.past.entries
        named = [(shorten(str(entry), 60), i) for i, entry in enumerate(entries) if str(entry)]
        options = ((TITLE, -1), *reversed(named))
        if options == self.history.options:
            return
        with self.history.hold_sync():  # one message in place of several
            self.history.options = options  # which chooses the first one, the title

    def _choose_search(self, change: dict) -> None:
        """Go to an earlier search."""
        position = change["new"]
        if position is None or position < 0:
            return
        self.history.value = -1
        self.owner.go_to(position)

    def _choose_bars(self, change: dict) -> None:
        self.temperature.disabled = not self.shows_softmax
        self._show_again()

    def _show_again(self, change: dict | None = None) -> None:
        self.owner.show_again()

    def _refuse(self, sentence: str) -> None:
        """Say why a file is not searched by. What was found before stays."""
        self.owner.status.value = sentence

    def _show_map(self, change: dict) -> None:
        """Show the map of the collection, or hide it. It is drawn when first asked for."""
        from clipnb.widgets.collection_map import CollectionMap

        if not self.map_place.children:
            try:
                new = CollectionMap(self.owner.first_index, self.owner.pick_image)
            except ValueError as error:  # an index of vectors alone has nothing to draw
                self._refuse(html.escape(str(error)))
                return
            self.map_place.children = [new]
        self.map_place.layout.display = None if change["new"] else "none"
