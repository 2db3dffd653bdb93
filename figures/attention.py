"""Two figures about attention: three tokens worked out, and a transformer block.

Notebook 02 works out the same three tokens in code.
"""

import math

import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from model import DARK_ORANGE
from shapes import (
    GREY,
    PALE,
    PAPER,
    draw_arrow,
    draw_block,
    draw_box,
    draw_numbers,
    draw_outline,
    draw_plus,
    format_number,
    make_card,
    mix_with_white,
    write_text,
    write_title,
)
from torch import Tensor

from clipnb.plots import BLUE, GREEN, ORANGE

# ---- three tokens ----------------------------------------------------------------------------

WORDS = ["red", "kite", "flying"]
X = torch.tensor([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])  # (T, D): describes, names a thing
W_Q = torch.tensor([[0.0, 0.5], [1.5, 0.0]])  # (D, d): a name looks for what describes it
W_K = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # (D, d): a token is found by what it is
W_V = torch.tensor([[1.0, 0.0], [0.0, 0.5]])  # (D, d): names are handed over by half
ROW = 1  # the token that is worked out

CELL = (46, 32)
COLOURS = {"q": BLUE, "k": GREEN, "v": ORANGE}


def attend() -> dict[str, Tensor]:
    """Compute every step of attention for the three tokens, by name."""
    steps = {"x": X, "q": X @ W_Q, "k": X @ W_K, "v": X @ W_V}  # (3, 2) each
    steps["products"] = steps["q"] @ steps["k"].T  # (3, 3)
    steps["scores"] = steps["products"] / math.sqrt(W_K.shape[1])  # (3, 3)
    steps["weights"] = steps["scores"].softmax(dim=1)  # (3, 3)
    steps["y"] = steps["weights"] @ steps["v"]  # (3, 2)
    return steps


def draw_attention_flow() -> Axes:
    """Draw attention between three tokens, with every number. Returns the axes."""
    steps = attend()
    ax = make_card(1000, 704)
    title = "Attention, worked out: “kite” collects what describes it"
    below = "Its one query meets all the keys. The three weights then mix all the values."
    write_title(ax, title, below)
    draw_inputs(ax, steps)
    draw_mixing(ax, steps)
    draw_example(ax, 40, 574, steps)
    return ax


def draw_table(
    ax: Axes,
    x: float,
    y: float,
    values: Tensor,
    name: str,
    colour: str,
    digits: int | None = None,
    one_row: bool = True,
) -> None:
    """Draw a table with a row for each token, and its name above it.

    one_row: stress the row of the token that is worked out, otherwise all rows.
    """
    width, height = CELL[0] * values.shape[1], CELL[1]
    fill = mix_with_white(colour, 0.25)
    fills = [
        [fill if i == ROW or not one_row else "white" for _ in row] for i, row in enumerate(values)
    ]
    bold_row = ROW if one_row else None
    draw_numbers(ax, x, y, values, CELL, fills, digits, size=11, bold_row=bold_row)
    if one_row:
        draw_outline(ax, x, y + ROW * height, width, height, colour, 2)
    else:
        draw_outline(ax, x, y, width, len(values) * height, colour, 2)
    write_text(ax, x + width / 2, y - 16, name, 11.5, fontweight="bold")


def write_words(ax: Axes, x: float, y: float) -> None:
    """Write the tokens on the left of a table that starts at (x, y)."""
    for i, word in enumerate(WORDS):
        weight = "bold" if i == ROW else "normal"
        middle = y + (i + 0.5) * CELL[1]
        write_text(ax, x - 8, middle, word, 11, ha="right", fontweight=weight)


def draw_inputs(ax: Axes, steps: dict[str, Tensor]) -> None:
    """Draw the tokens, and their queries, keys and values."""
    draw_table(ax, 96, 270, steps["x"], "tokens x", GREY)
    write_words(ax, 96, 270)
    meaning = "1st number: describes\n2nd number: is a thing"
    write_text(ax, 116, 378, meaning, 10.5, GREY, va="top", linespacing=1.4)
    rows = [
        ("q", 118, W_Q, "queries q", "what I look for"),
        ("k", 270, W_K, "keys k", "what I am found by"),
        ("v", 422, W_V, "values v", "what I hand over"),
    ]
    for letter, y, weight, name, meaning in rows:
        middle = y + 1.5 * CELL[1]
        draw_weight(ax, 250, middle, weight, letter)
        draw_arrow(ax, (192, 318), (218, 318), (218, middle), (246, middle))
        draw_arrow(ax, (328, middle), (388, middle))
        draw_table(ax, 394, y, steps[letter], name, COLOURS[letter], one_row=letter == "q")
        write_text(ax, 440, y + 3 * CELL[1] + 15, meaning, 10.5, GREY)


def draw_weight(ax: Axes, x: float, middle: float, weight: Tensor, letter: str) -> None:
    """Draw a matrix of weights, with its name above it."""
    cell = (37, 26)
    draw_numbers(ax, x, middle - 26, weight, cell, "white", size=10)
    write_text(ax, x + 37, middle - 40, rf"$W_{letter}$", 13)


def draw_mixing(ax: Axes, steps: dict[str, Tensor]) -> None:
    """Draw the scores, the weights and the output."""
    draw_table(ax, 574, 194, steps["scores"], "", BLUE, digits=2)
    write_columns(ax, 574, 194, "scores")
    write_text(ax, 643, 308, r"$q\,k^\top / \sqrt{d}$", 12, GREY)
    draw_arrow(ax, (490, 166), (528, 166), (528, 230), (568, 230))
    draw_arrow(ax, (490, 318), (528, 318), (528, 254), (568, 254))

    weights = steps["weights"]
    fills = [[mix_with_white(ORANGE, 0.75 * w) for w in row] for row in weights.tolist()]
    draw_numbers(ax, 812, 194, weights, CELL, fills, 2, 11, ROW)
    draw_outline(ax, 812, 194 + ROW * CELL[1], 3 * CELL[0], CELL[1], BLUE, 2)
    write_columns(ax, 812, 194, "weights")
    draw_arrow(ax, (716, 242), (806, 242))
    write_text(ax, 761, 227, "softmax", 11)
    write_text(ax, 761, 258, "of each row", 10.5, GREY)

    draw_arrow(ax, (881, 296), (881, 382))
    draw_arrow(ax, (490, 470), (829, 470))
    write_text(ax, 660, 454, "add up the values, each times its weight", 11)
    draw_table(ax, 835, 422, steps["y"], "output y", BLUE, digits=2)
    write_text(ax, 881, 533, "weights · v", 10.5, GREY)


def write_columns(ax: Axes, x: float, y: float, name: str) -> None:
    """Write a table's name, and the tokens above its columns."""
    write_text(ax, x + 1.5 * CELL[0], y - 40, name, 11.5, fontweight="bold")
    for j, word in enumerate(WORDS):
        write_text(ax, x + (j + 0.5) * CELL[0], y - 14, word, 10)


def draw_example(ax: Axes, x: float, y: float, steps: dict[str, Tensor]) -> None:
    """Write the row of one token as arithmetic."""
    draw_box(ax, 30, y - 12, 940, 124, PAPER, ORANGE, corner=8, line=1)
    query = steps["q"][ROW].tolist()
    products = [
        f"{word}: {write_dot(query, key)} = {format_number(product)}"
        for word, key, product in zip(
            WORDS, steps["k"].tolist(), steps["products"][ROW].tolist(), strict=True
        )
    ]
    scores = ", ".join(f"{s:.2f}" for s in steps["scores"][ROW].tolist())
    weights = ", ".join(f"{w:.2f}" for w in steps["weights"][ROW].tolist())
    sum_of_values = " + ".join(
        f"{w:.2f} · {write_vector(value)}"
        for w, value in zip(steps["weights"][ROW].tolist(), steps["v"].tolist(), strict=True)
    )
    result = write_vector(steps["y"][ROW].tolist(), 2)
    lines = {
        "query · key": "     ".join(products),
        "divided by √2": f"{scores}     softmax: {weights}",
        "sum of values": f"{sum_of_values} = {result}",
    }
    for i, (name, line) in enumerate(lines.items()):
        middle = y + 14 + 34 * i
        write_text(ax, x + 6, middle, name, 11, ha="left", fontweight="bold")
        write_text(ax, x + 142, middle, line, 11, ha="left")
    shapes = [
        "x:  (T, D) = (3, 2)",
        "q, k, v, y:  (T, d) = (3, 2)",
        "scores, weights:  (T, T) = (3, 3)",
    ]
    for i, line in enumerate(shapes):
        write_text(ax, x + 672, y + 14 + 34 * i, line, 11, GREY, ha="left")


def write_vector(values: list[float], digits: int | None = None) -> str:
    """Write numbers in brackets."""
    return f"({', '.join(format_number(value, digits) for value in values)})"


def write_dot(a: list[float], b: list[float]) -> str:
    """Write a dot product as a sum of products."""
    return " + ".join(f"{format_number(p)}·{format_number(q)}" for p, q in zip(a, b, strict=True))


# ---- a transformer block ---------------------------------------------------------------------

STREAM_Y = 134  # the height of the line that keeps its shape
LAYERS_Y = 226  # the height of the layers
WIDTH, HEADS, FEEDFORWARD = 128, 8, 512  # of the baseline's text encoder
SHAPE = f"(B, T, {WIDTH})"
TOKENS = 5  # as many as the drawing of the heads shows


def draw_transformer_block() -> Axes:
    """Draw a transformer block, and how its attention splits the heads. Returns the axes."""
    ax = make_card(1000, 716)
    title = "A transformer block: two corrections, each added to its input"
    below = f"What runs along the upper line keeps its shape {SHAPE} from end to end."
    write_title(ax, title, below)
    draw_stream(ax)
    draw_attention_layers(ax)
    draw_feedforward_layers(ax)
    note = "Dropout acts in training only and is left out here."
    write_text(ax, 30, 316, note, 10.5, GREY, ha="left")
    ax.plot([30, 970], [342, 342], color=PALE, linewidth=1.2)
    draw_heads(ax)
    return ax


def draw_stream(ax: Axes) -> None:
    """Draw the line from the input past both additions to the output."""
    draw_arrow(ax, (46, STREAM_Y), (424, STREAM_Y))
    draw_arrow(ax, (452, STREAM_Y), (912, STREAM_Y))
    draw_arrow(ax, (940, STREAM_Y), (972, STREAM_Y))
    for x in (438, 926):
        draw_plus(ax, x, STREAM_Y)
    for x, words in ((240, f"input x {SHAPE}"), (684, SHAPE)):
        write_text(ax, x, STREAM_Y - 18, words, 11)
    write_text(ax, 972, STREAM_Y - 26, f"output {SHAPE}", 11, ha="right")


def draw_attention_layers(ax: Axes) -> None:
    """Draw the layers of the first correction."""
    draw_arrow(ax, (66, STREAM_Y), (66, LAYERS_Y), (96, LAYERS_Y))
    draw_block(ax, 150, LAYERS_Y, 104, 52, "LayerNorm", GREY)
    draw_arrow(ax, (203, LAYERS_Y), (234, LAYERS_Y))
    draw_block(ax, 306, LAYERS_Y, 140, 52, f"attention\n{HEADS} heads", BLUE)
    draw_arrow(ax, (377, LAYERS_Y), (438, LAYERS_Y), (438, STREAM_Y + 15))
    write_text(ax, 306, LAYERS_Y + 44, "mixes the tokens", 11, BLUE, fontweight="bold")


def draw_feedforward_layers(ax: Axes) -> None:
    """Draw the layers of the second correction."""
    draw_arrow(ax, (496, STREAM_Y), (496, LAYERS_Y), (508, LAYERS_Y))
    draw_block(ax, 558, LAYERS_Y, 98, 52, "LayerNorm", GREY)
    draw_arrow(ax, (608, LAYERS_Y), (630, LAYERS_Y))
    draw_block(ax, 676, LAYERS_Y, 90, 52, f"Linear\n{WIDTH} → {FEEDFORWARD}", ORANGE, 10.5)
    draw_arrow(ax, (722, LAYERS_Y), (738, LAYERS_Y))
    draw_block(ax, 768, LAYERS_Y, 58, 52, "GELU", ORANGE, 10.5)
    draw_arrow(ax, (798, LAYERS_Y), (816, LAYERS_Y))
    draw_block(ax, 862, LAYERS_Y, 90, 52, f"Linear\n{FEEDFORWARD} → {WIDTH}", ORANGE, 10.5)
    draw_arrow(ax, (908, LAYERS_Y), (926, LAYERS_Y), (926, STREAM_Y + 15))
    inside = f"(B, T, {FEEDFORWARD}) inside"
    write_text(ax, 772, LAYERS_Y - 40, inside, 10.5, GREY)
    words = "works on each token by itself"
    write_text(ax, 772, LAYERS_Y + 44, words, 11, DARK_ORANGE, fontweight="bold")


def draw_heads(ax: Axes) -> None:
    """Draw how the numbers of a tensor are divided among the heads, and put together again."""
    size = WIDTH // HEADS
    title = f"Inside attention: {HEADS} heads, each with {size} of the {WIDTH} numbers"
    write_text(ax, 30, 372, title, 13, ha="left", fontweight="bold")
    top, cell = 424, (24, 20)
    middle = top + TOKENS * cell[1] / 2

    x = 62
    for head in range(HEADS):
        draw_sheet(ax, x + head * cell[0], top, cell, "white", "")
    draw_outline(ax, x, top, HEADS * cell[0], TOKENS * cell[1], BLUE, 1.5)
    write_text(ax, x + 4 * cell[0], top - 14, f"q {SHAPE}", 11, fontweight="bold")
    write_text(ax, x - 10, middle, "T tokens", 10.5, GREY, rotation=90, va="center")
    write_text(ax, x + 4 * cell[0], top + 117, f"{WIDTH} numbers", 10.5, GREY)
    draw_arrow(ax, (264, middle), (398, middle))
    write_text(ax, 331, middle - 16, f".view(B, T, {HEADS}, {size})", 10.5)

    x, gap = 408, 5
    for head in range(HEADS):
        draw_sheet(ax, x + head * (cell[0] + gap), top, cell, tint_head(head), str(head + 1))
    centre = x + 4 * (cell[0] + gap)
    write_text(ax, centre, top - 14, f"(B, T, {HEADS}, {size})", 11, fontweight="bold")
    write_text(ax, centre, top + 117, f"{HEADS} heads of {size} numbers", 10.5, GREY)
    draw_arrow(ax, (646, middle), (768, middle))
    write_text(ax, 707, middle - 16, ".transpose(1, 2)", 10.5)

    for head in reversed(range(HEADS)):  # the first head lies in front
        left, upper = 776 + 20 * head, top + 22 - 4 * head
        draw_sheet(ax, left, upper, (34, cell[1]), tint_head(head), str(head + 1), 4 - head / 4)
    write_text(ax, 863, top - 22, f"(B, {HEADS}, T, {size})", 11, fontweight="bold")
    write_text(ax, 840, top + 141, f"{HEADS} tables of (T, {size})", 10.5, GREY)
    draw_way_back(ax, size)


def tint_head(head: int) -> str:
    """Return the colour of a head: neighbours differ in brightness."""
    return mix_with_white(BLUE, 0.45 if head % 2 else 0.2)


def draw_sheet(
    ax: Axes,
    x: float,
    y: float,
    cell: tuple[float, float],
    colour: str,
    name: str,
    layer: float = 2,
) -> None:
    """Draw what a head sees: a row for each token, with the head's number in the first one.

    layer: sheets of a higher layer lie in front.
    """
    width, height = cell
    blank = colour == "white"
    for token in range(TOKENS):
        row = Rectangle(
            (x, y + token * height),
            width,
            height,
            facecolor=colour,
            edgecolor=PALE if blank else "white",
            zorder=layer,
        )
        ax.add_patch(row)
    frame = Rectangle(
        (x, y),
        width,
        TOKENS * height,
        facecolor="none",
        edgecolor=PALE if blank else BLUE,
        linewidth=1,
        zorder=layer + 0.1,
    )
    ax.add_patch(frame)
    number_x = x + 12 if layer in (2, 4) else x + width - 9  # on the part that can be seen
    write_text(ax, number_x, y + height / 2, name, 10, zorder=layer + 0.1)


def draw_way_back(ax: Axes, size: int) -> None:
    """Draw what the heads compute, and how their results become one tensor again."""
    y = 634
    draw_arrow(ax, (932, 558), (932, y), (890, y))
    draw_block(
        ax, 780, y, 216, 54, f"each head attends alone\nweights (B, {HEADS}, T, T)", BLUE, 10.5
    )
    draw_arrow(ax, (671, y), (643, y))
    back = f".transpose(1, 2)\n.reshape(B, T, {WIDTH})"
    draw_block(ax, 555, y, 172, 54, back, GREY, 10.5)
    draw_arrow(ax, (468, y), (440, y))
    draw_block(ax, 364, y, 148, 54, f"Linear {WIDTH} → {WIDTH}\nmixes the heads", BLUE, 10.5)
    draw_arrow(ax, (289, y), (261, y))
    write_text(ax, 252, y, f"output {SHAPE}", 11, ha="right", fontweight="bold")
    note = (
        "The code splits q, k and v in one go: "
        f".view(B, T, 3, {HEADS}, {size}).permute(2, 0, 3, 1, 4)."
    )
    write_text(ax, 30, 690, note, 10.5, GREY, ha="left")
