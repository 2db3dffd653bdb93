"""A sentence that the reader types: what each token adds to a cosine, and where attention looks.

It works by setting traits alone.
"""

import copy
import html
from collections.abc import Sequence

import ipywidgets
import numpy as np
from torch import Tensor

from clipnb.features import check_is_model, encode_images, evaluation_mode
from clipnb.model import CLIP
from clipnb.preprocess import check_uint8_images
from clipnb.search.explain import divide_cosine, leave_one_out, reads_end
from clipnb.tokenizer import Tokenizer, check_text
from clipnb.widgets.accessible import LIVE, make_helper
from clipnb.widgets.checks import check_list
from clipnb.widgets.closing import WholeWidget
from clipnb.widgets.images import format_image
from clipnb.widgets.token_weights import attention_of_layers

MOST_TOKENS = 20  # longer sentences are cut, so that the table of attention fits on a page
LEAST_FULL_BAR = 0.25  # of the cosine; smaller weights do not fill the width of a bar
STYLE = """
.clipnb-sentence .widget-html-content { color: var(--jp-ui-font-color1, #222); line-height: 1.4; }
.clipnb-sentence th { font-weight: normal; text-align: left; padding: 0 6px 0 0; }
.clipnb-sentence thead th { writing-mode: vertical-rl; }
.clipnb-sentence table { font-size: 13px; }
.clipnb-sentence td { padding: 0 4px; text-align: right; }
.clipnb-sentence i { display: inline-block; height: 11px; }
"""
TABLE = "<table><caption>{}</caption>{}</table>"
HEAD = '<th scope="{}">{}</th>'
PAGE = '<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start">{}</div>'
SHARE = (
    '<tr><th scope="row">{}</th><td>{:+.3f}</td>'
    '<td style="text-align:left;min-width:150px"><i style="{}"></i></td></tr>'
)
BAR = "background:{};margin-left:{:.0f}px;width:{:.0f}px"
CELL = '<td style="background:rgb({0},{0},255);color:{1}">{2:.0f}</td>'


class SentenceLens(WholeWidget):
    """A sentence and an image in, the weight of each token in their cosine out.

    model: its text encoder is a bag of words or a text transformer. images: uint8 (N, 3, S, S).
    captions: N texts that name the images. sentence: what it starts with.

    From code, set `sentence.value` and `image.value`, and for a transformer `layer.value` and
    `head.value` (0: the mean of all heads). `tokens` are the pieces of the sentence. For a bag of
    words `weights` are their shares, which add up to `cosine`. For a transformer they are what the
    cosine loses without each token (0 for [EOS] if the text is read there), and `attention` is
    (T, T).
    """

    def __init__(
        self,
        model: CLIP,
        tokenizer: Tokenizer,
        images: np.ndarray,
        captions: Sequence[str],
        sentence: str = "",
    ):
        super().__init__()
        check_is_model(model)
        check_uint8_images(images)
        captions = check_list("captions", captions, "a caption")
        sentence = check_text(sentence, "the sentence")
        if len(captions) != len(images):
            raise ValueError(
                f"captions holds {len(captions)} texts, and there are {len(images)} images; give "
                "one for each."
            )
        self.model, self.images, self.captions = model, images, captions
        self.tokenizer = copy.copy(tokenizer)
        self.tokenizer.context_length = min(MOST_TOKENS, tokenizer.context_length)
        self.features = encode_images(model, images).to(model.logit_scale.device)  # (N, D)
        blocks = getattr(model.text_encoder, "blocks", [])
        self.has_layers = len(blocks) > 0  # a bag of words has none
        heads = range(1, 1 + blocks[0].attention.heads) if blocks else []
        self.sentence = ipywidgets.Text(
            sentence, description="sentence", layout={"width": "auto", "max_width": "600px"}
        )
        self.image = ipywidgets.IntSlider(0, 0, len(images) - 1, description="image")
        self.layer = ipywidgets.IntSlider(1, 1, max(1, len(blocks)), description="layer")
        options = [("all", 0), *((str(head), head) for head in heads)]
        self.head = ipywidgets.SelectionSlider(options=options, description="head")
        self.status, self.results = ipywidgets.HTML(), ipywidgets.HTML()
        self.add_class("clipnb-sentence")
        self.status.add_class(LIVE)
        controls = [self.sentence, self.image, *([self.layer, self.head] if blocks else [])]
        for control in controls:
            control.observe(self.update, "value")
        self.children = [make_helper(STYLE), *controls, self.status, self.results]
        self.update()

    def __repr__(self) -> str:
        return f"SentenceLens({len(self.images)} images)"

    def update(self, change: dict | None = None) -> None:
        """Read the sentence and the sliders, and show what follows from them."""
        ids = self.tokenizer([self.sentence.value])  # (1, T)
        with evaluation_mode(self.model):
            tokens, image = ids.to(self.features.device), self.features[self.image.value]
            weigh = leave_one_out if self.has_layers else divide_cosine
            self.weights = weigh(self.model, tokens, image)
            self.cosine = (self.model.encode_text(tokens, normalize=True) @ image).item()
            self.attention = self._read_attention(tokens) if self.has_layers else None
        specials = {self.tokenizer.sos: "[SOS]", self.tokenizer.eos: "[EOS]"}
        self.tokens = [specials.get(i) or self.tokenizer.decode([i]) for i in ids[0].tolist()]
        i = self.image.value
        shown = format_image(self.images[i], self.captions[i])
        tables = f"<div>{shown}</div>{self._format_weights()}{self._format_attention()}"
        self.results.value = PAGE.format(tables)
        self.status.value = self._tell(n_tokens=ids.shape[1])

    def _tell(self, n_tokens: int) -> str:
        """Say in words what the sentence and the image have given."""
        cosine = f"The cosine of sentence and image is {self.cosine:.3f}."
        if n_tokens == 2:  # [SOS] and [EOS] alone
            return f"{cosine} The model has no word or letter of this sentence."
        if len(self.tokenizer.encode(self.sentence.value)) + 2 > MOST_TOKENS:
            return f"{cosine} The sentence is long: only its first {MOST_TOKENS - 2} tokens count."
        return cosine

    def _read_attention(self, tokens: Tensor) -> Tensor:
        """Return the attention (T, T) of the chosen layer and head."""
        heads = attention_of_layers(self.model.text_encoder, tokens)[self.layer.value - 1]
        return heads[self.head.value - 1] if self.head.value else heads.mean(dim=0)

    def _format_weights(self) -> str:
        """Format the weights as a table: token, number, and a bar to the right (+) or left (-)."""
        largest = max(LEAST_FULL_BAR, self.weights.abs().max().item())
        rows = []
        for token, share in zip(self.tokens, self.weights.tolist(), strict=True):
            width = 70 * abs(share) / largest
            colour, start = ("#009E73", 70) if share > 0 else ("#D55E00", 70 - width)
            bar = BAR.format(colour, start, width)
            rows.append(SHARE.format(html.escape(token), share, bar))
        title = "lost without the token" if self.has_layers else "share of the cosine"
        if reads_end(self.model):
            title += " ([EOS] stays, because the text is read there)"
        return TABLE.format(title, "".join(rows))

    def _format_attention(self) -> str:
        """Format attention as a table in percent: a row for each token that looks."""
        if self.attention is None:
            return ""
        names = [html.escape(token) for token in self.tokens]
        rows = "".join(HEAD.format("col", name) for name in names)
        rows = f"<thead><tr><td></td>{rows}</tr></thead>"
        for name, shares in zip(names, self.attention.tolist(), strict=True):
            rows += f"<tr>{HEAD.format('row', name)}"
            for share in shares:
                ink = "#fff" if share > 0.6 else "#000"
                rows += CELL.format(round(255 * (1 - share)), ink, 100 * share)
            rows += "</tr>"
        return TABLE.format("attention in percent: the row looks at the column", rows)
