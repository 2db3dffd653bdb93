"""Draws the images in this folder: `make figures`, or `python figures/draw.py [roadmap_03 model hero]` for some.

All but hero.png are drawn in seconds; hero.png shows what the `quick` recipe's model finds and trains it if it is not there yet.
ladder.png and verdicts.png show what is on record in results/.
"""

import sys
import textwrap
from itertools import product
from pathlib import Path

import numpy as np
import torch
from matplotlib.patches import Circle, Polygon, Rectangle
from shapes import (
    GREY,
    PALE,
    arrow,
    box,
    card,
    draw_image,
    matrix,
    save,
    search_box,
    text,
    tick,
    vector,
)
from trial import TRIAL

from clipnb import records
from clipnb.datasets import load_dataset
from clipnb.experiments.ladder import summarize_ladder
from clipnb.experiments.verdicts import plot_verdicts
from clipnb.model import create_model
from clipnb.plots import BLACK, BLUE, GREEN, ORANGE, plot_ladder
from clipnb.recipes import RECIPES
from clipnb.retrieval import ImageIndex
from clipnb.scenes import COLOURS, KINDS, PLACES, Scene, Thing, captions, dataset_scene, render
from clipnb.scenes.annotators import FLIERS, NOUNS, WHERE
from clipnb.tokenizer import clip_tokenizer
from clipnb.training import load_or_train

HERE = Path(__file__).resolve().parent
EXAMPLES = [  # scenes of clipnb's world, made to order
    Scene(place, (Thing(*thing),), None, seed)
    for place, thing, seed in [
        ("beach", ("kite", "red", "big", 1), 3),
        ("sea", ("boat", "white", "big", 3), 3),
        ("snow", ("cat", "black", "big", 1), 3),
        ("forest", ("flower", "yellow", "big", 3), 4),
        ("street", ("car", "orange", "big", 2), 0),
        ("night", ("house", "red", "big", 1), 3),
        ("sea", ("boat", "green", "big", 2), 8),
        ("sea", ("boat", "red", "big", 1), 5),
    ]
]
HERO = [
    ("kite", "black", "beach"),
    ("boat", "white", "sea"),
    ("flower", "yellow", "forest"),
]  # chosen by hand; the figure says so


# The five pictograms of the way; each fills 200 x 128 pixels from (x, y).
def draw_data(ax, x, y):
    for i, scene in enumerate(EXAMPLES[:2]):
        draw_image(ax, render(scene, 160), x + 104 * i, y, 96)
        text(
            ax,
            x + 104 * i + 48,
            y + 114,
            textwrap.fill(captions(scene)[0].strip(" ."), 16),
            8,
            linespacing=1.15,
        )


def draw_encoders(ax, x, y):
    draw_image(ax, render(EXAMPLES[2], 120), x, y + 2, 56)
    for i, word in enumerate(["black", "cat", "snow"]):
        box(ax, x, y + 70 + 20 * i, 56, 17, "#FDF1DA", ORANGE, 3, 0.8)
        text(ax, x + 28, y + 78 + 20 * i, word, 8)
    for middle, colour, seed in (y + 30, BLUE, 1), (y + 98, ORANGE, 2):
        arrow(ax, (x + 60, middle), (x + 80, middle))
        ax.add_patch(
            Polygon(
                [
                    (x + 84, middle - 28),
                    (x + 144, middle - 14),
                    (x + 144, middle + 14),
                    (x + 84, middle + 28),
                ],
                facecolor=colour,
            )
        )
        arrow(ax, (x + 148, middle), (x + 170, middle))
        vector(ax, x + 176, middle, 7, colour, seed)


def draw_loss(ax, x, y):
    for i, scene in enumerate(EXAMPLES[:6]):
        draw_image(ax, render(scene, 40), x + 32, y + 21 + 18 * i, 16)
        box(ax, x + 53 + 18 * i, y + 3, 14, 13, "#FDF1DA", ORANGE, 2, 0.8)
        for line in 7, 10, 13:
            ax.plot(
                [x + 56 + 18 * i, x + (64 if line < 13 else 61) + 18 * i],
                [y + line - 0.5] * 2,
                color=ORANGE,
                linewidth=0.8,
            )
    matrix(ax, x + 51, y + 20, 18, EXAMPLES[:6])


def draw_training(ax, x, y):
    steps = np.linspace(0, 1, 60)
    losses = (
        22
        + 82 * (1 - np.exp(-4 * steps))
        + np.random.default_rng(3).normal(0, 2.2, 60) * (1 - 0.7 * steps)
    )
    ax.plot([x + 14, x + 14, x + 190], [y + 4, y + 120, y + 120], color=GREY, linewidth=1.5)
    ax.plot([x + 16, x + 186], [y + 20, y + 20], color=BLACK, linewidth=1.2, linestyle=(0, (4, 3)))
    text(ax, x + 186, y + 9, "ln N", 9, ha="right")
    ax.plot(x + 20 + 160 * steps, y + losses, color=BLUE, linewidth=2.4, solid_joinstyle="round")
    ax.add_patch(Circle((x + 180, y + losses[-1]), 4.5, facecolor=BLUE))


def draw_retrieval(ax, x, y):
    search_box(ax, x + 2, y + 6, 196, 34, "boats on the sea", 10)
    for i, scene in enumerate([EXAMPLES[1], *EXAMPLES[6:]]):
        draw_image(ax, render(scene, 120), x + 2 + 68 * i, y + 56, 60)


COURSE = [
    (1, "Data", "images and captions", draw_data),
    (2, "Encoders", "two towers, one space", draw_encoders),
    (3, "Loss", "which belong together?", draw_loss),
    (4, "Training", "down from ln N", draw_training),
    (5, "Retrieval", "type, and find", draw_retrieval),
]


def draw_roadmap(way, station):
    """Where we are on one of the two ways, COURSE and TRIAL: the one numbered `station` is lit, those before it are ticked, those after it pale."""
    ax, step = card(1200, 260), 1168 / len(way)
    for i, (number, name, words, draw_it) in enumerate(way):
        left, middle = 16 + step * i, 16 + step * (i + 0.5)
        lit, later = number == station, number > station
        if lit:
            box(ax, left + 4, 10, step - 8, 240, "#E6F1F8", BLUE, 12, 1.8)
        draw_it(ax, left + (step - (200 if way is COURSE else 160)) / 2, 24)
        if later:
            ax.add_patch(
                Rectangle((left + 6, 16), step - 12, 142, facecolor="white", alpha=0.68, zorder=6)
            )
        reached = middle + (step / 2 if number < station else 0)
        for start, end in (
            (left if i else middle, middle),
            (middle, left + step if number != way[-1][0] else middle),
        ):
            ax.plot(
                [start, end],
                [182, 182],
                color=GREEN if not later and start < reached else PALE,
                linewidth=3,
                zorder=1.5,
            )
        if number < station:
            tick(ax, middle, 182, 15)
        else:
            ax.add_patch(
                Circle(
                    (middle, 182),
                    15,
                    facecolor=BLUE if lit else "white",
                    edgecolor="white" if lit else GREY,
                    linewidth=1.4,
                    zorder=4,
                )
            )
            text(ax, middle, 182, number, 12, "white" if lit else GREY, fontweight="bold", zorder=5)
        text(ax, middle, 216, name, 14, GREY if later else BLACK, fontweight="bold")
        text(ax, middle, 237, words, 9.5, BLACK if lit else GREY)
    return ax


def run_baseline(image, caption):
    """A fresh baseline, the tokens (1, T) of a caption, and by name the output of every module, without the batch, on this one pair."""
    outputs = {}
    with torch.random.fork_rng():  # a fixed model, and the caller's random numbers as they were
        torch.manual_seed(0)
        model, tokens = create_model(RECIPES["baseline"]).eval(), clip_tokenizer()([caption])
    for name, module in model.named_modules():
        module.register_forward_hook(
            lambda module, inputs, output, name=name: outputs.update({name: output[0].detach()})
        )
    model(torch.from_numpy(np.array(image).transpose(2, 0, 1))[None], tokens)
    return model, tokens, outputs


def draw_model():
    """The baseline's two towers: every number is read from the model, every orange or blue square is as large as its number of parameters."""
    image, caption = (
        render(EXAMPLES[0], RECIPES["baseline"].image_size),
        captions(EXAMPLES[0])[1].strip(" ."),
    )
    model, tokens, outputs = run_baseline(image, caption)
    count = lambda prefix: sum(
        p.numel() for name, p in model.named_parameters() if name.startswith(prefix)
    )
    times = lambda shape: " × ".join(f"{n:,}" for n in shape)
    shape = lambda name: times(outputs[name].shape)
    share = f"{100 * count('text_encoder.token_embedding') / count(''):.0f} %"
    ax = card(1360, 760)

    def square(x, y, prefix, colour):
        side = (count(prefix) / 80) ** 0.5  # 80 parameters a pixel
        ax.add_patch(Rectangle((x - side / 2, y - side / 2), side, side, facecolor=colour))

    def label(x, y, name, *lines):
        text(ax, x, y, name, 11, fontweight="bold", va="top")
        text(ax, x, y + 20, "\n".join(lines), 10.5, GREY, va="top", linespacing=1.4)

    text(
        ax,
        34,
        42,
        f"The baseline: {count(''):,} parameters, {share} of them in one table",
        18,
        ha="left",
        fontweight="bold",
    )
    text(
        ax,
        34,
        74,
        "The area of each orange or blue square is its number of parameters, the last number under it.",
        12,
        GREY,
        ha="left",
    )
    for x, y, tower, colour in (34, 494, "image", BLUE), (532, 140, "text", "#8F6200"):
        text(
            ax,
            x,
            y,
            f"{tower} tower: {count(f'{tower}_'):,} parameters",
            13,
            colour,
            ha="left",
            fontweight="bold",
        )
    upper, lower = 252, 574
    # the text tower
    for i, number in enumerate(tokens[0].tolist()):
        y = upper + (i - (tokens.shape[1] - 1) / 2) * 281 / tokens.shape[1]
        box(ax, 34, y - 11.5, 132, 23, "#FDF1DA", ORANGE, 5, 0.9)
        text(
            ax,
            44,
            y,
            clip_tokenizer().bpe.id_to_token(number).replace("</w>", "").replace("_of_text", ""),
            10,
            ha="left",
        )
        text(ax, 157, y, number, 10, GREY, ha="right")
    label(100, 404, "caption → BPE", f"{tokens.shape[1]} tokens")
    arrow(ax, (171, upper), (199, upper))
    square(344, upper, "text_encoder.token_embedding", ORANGE)
    text(ax, 344, upper - 52, share, 42, fontweight="bold")
    text(
        ax,
        344,
        upper + 30,
        f"{times(model.text_encoder.token_embedding.weight.shape)}\n{count('text_encoder.token_embedding'):,} parameters",
        14,
        linespacing=1.5,
    )
    label(344, 404, "token embedding", shape("text_encoder.token_embedding"))
    arrow(ax, (488, upper), (532, upper))
    square(545, upper, "text_encoder.positional_embedding", ORANGE)
    label(
        545,
        upper + 48,
        "+ positions",
        times(model.text_encoder.positional_embedding.shape),
        f"{count('text_encoder.positional'):,}",
    )
    arrow(ax, (556, upper), (610, upper))
    blocks = len(model.text_encoder.blocks)
    for i in range(blocks):
        square(640 + 56 * i, upper, f"text_encoder.blocks.{i}", ORANGE)
    label(
        612 + 28 * blocks,
        upper + 48,
        f"{blocks} transformer layers",
        shape("text_encoder.blocks.0"),
        f"{blocks} × {count('text_encoder.blocks.0'):,}",
    )
    arrow(ax, (642 + 56 * (blocks - 1) + 28, upper), (870, upper))
    # the image tower, with three of the feature maps after each convolution
    draw_image(ax, image, 41, lower - 54, 118)
    label(100, lower + 72, "image", f"3 × {times(image.size)}")
    start = 164
    for name, x in ("conv1", 250), ("conv2", 443), ("conv3", 630):
        layer, maps = getattr(model.image_encoder, name), outputs[f"image_encoder.{name}"].relu()
        maps = maps[maps.std((1, 2)).argsort(descending=True)]
        side = 118 * maps.shape[1] / image.width
        arrow(ax, (start, lower), (x - layer.weight.numel() ** 0.5 / 18 - 6, lower))
        square(x, lower, f"image_encoder.{name}", BLUE)
        label(
            x + 32,
            lower + 48,
            f"conv {layer.in_channels} → {layer.out_channels}",
            shape(f"image_encoder.{name}"),
            f"{count(f'image_encoder.{name}'):,}",
        )
        for i in range(3):
            draw_image(ax, maps[i], x + 36 + 7 * i, lower - side / 2 + 7 * (i - 1), side, line=1)
        start = x + 56 + side
    arrow(ax, (start, lower), (870, lower))
    # what both end with, and where they meet
    N, cell, left = 6, 24, 1178
    middle, top = left + N * cell / 2, lower - N * cell / 2
    for y, tower, colour, pooling, seed in (
        (upper, "text", ORANGE, "masked mean", 2),
        (lower, "image", BLUE, "mean", 1),
    ):
        box(ax, 874, y - 14, 38, 28, "white", GREY, 14)
        text(ax, 893, y, r"$\bar{x}$", 13, GREY)
        label(893, y + 48, pooling, shape(f"{tower}_encoder"))
        arrow(ax, (916, y), (990, y))
        square(1010, y, f"{tower}_projection", colour)
        label(
            1010,
            y + 48,
            "projection",
            shape(f"{tower}_projection"),
            f"{count(f'{tower}_projection'):,}",
        )
        arrow(ax, (1029, y), (1068, y))
        vector(ax, 1073, y, 8, colour, seed)
        label(1078, y - 58, "unit length")
    arrow(ax, (1090, lower), (left - 5, lower), colour=BLUE)
    arrow(ax, (1090, upper), (middle, upper), (middle, top - 6), colour=ORANGE)
    text(ax, middle + 8, top - 20, "captions", 10.5, GREY, ha="left")
    text(ax, (1090 + left) / 2 - 3, lower - 14, "images", 10.5, GREY)
    matrix(ax, left, top, cell, EXAMPLES[:N])
    label(
        middle,
        lower + 82,
        "N × N cosines",
        "× exp(logit_scale)",
        f"{model.logit_scale.numel()} parameter",
        "→ symmetric cross-entropy",
    )
    return ax


def ask(kind, colour, place):
    """The query for such things at such a place: "white boats in the sea"."""
    return f"{colour} {NOUNS[kind][0][0][1]} {WHERE[place][kind in FLIERS][0]}"


def right_answers(dataset, kind, colour, place):
    """The ids of the images at this place with a thing that is of this kind and of this colour."""
    wanted = {"kind": kind, "colour": colour}.items()
    return {
        name
        for name, label in zip(dataset.image_ids, dataset.labels)
        if label["place"] == place and any(wanted <= thing.items() for thing in label["objects"])
    }


def draw_hero(run=None):
    """Three queries and what a run (default: the quick recipe's, trained now if it must be) finds among the scenes' test images."""
    run, dataset = run or load_or_train("quick"), load_dataset("scenes", "test")
    index = ImageIndex.build(run.model, run.tokenizer, dataset)
    answers = {
        wanted: right_answers(dataset, *wanted) for wanted in product(KINDS, COLOURS, PLACES)
    }
    found = lambda wanted: sum(
        hit.image_id in answers[wanted] for hit in index.search(ask(*wanted), 5)
    )
    ax = card(1200, 694, dpi=125)
    for row, wanted in enumerate(HERO):
        y = 28 + 204 * row
        search_box(ax, 28, y + 38, 228, 66, textwrap.fill(ask(*wanted), 17), 12.5)
        text(ax, 141, y + 126, f"{found(wanted)} of 5 right", 11, fontweight="bold")
        text(
            ax, 141, y + 148, f"right images: {len(answers[wanted])} of {len(dataset):,}", 10, GREY
        )
        for i, hit in enumerate(index.search(ask(*wanted), 5)):
            x, good = 280 + 184 * i, hit.image_id in answers[wanted]
            scene = dataset_scene("test", dataset.image_ids.index(hit.image_id))
            draw_image(
                ax, render(scene, 200), x, y, 160, GREEN if good else PALE, 3.5 if good else 1.5
            )
            text(ax, x + 80, y + 176, f"{hit.score:.2f}", 10.5, BLACK if good else GREY)
            if good:
                tick(ax, x + 155, y + 5, 13)
    fair = [wanted for wanted, names in answers.items() if len(names) >= 5]
    mean, chance = (
        np.mean([found(wanted) for wanted in fair]),
        np.mean([5 * len(answers[wanted]) / len(dataset) for wanted in fair]),
    )
    tick(ax, 289, 644, 8)
    text(
        ax,
        304,
        644,
        "right: thing, colour and place as asked, in any number · under each image: the cosine · queries chosen by hand",
        10.5,
        GREY,
        ha="left",
    )
    text(
        ax,
        280,
        668,
        f"Over all {len(fair)} queries of this form with at least five right images: {mean:.1f} of 5 right. By chance: {chance:.2f}.",
        10.5,
        GREY,
        ha="left",
    )
    return ax


def draw_ladder():
    """The ladder of notebook 11 as far as it is on record."""
    ax = plot_ladder(summarize_ladder(records.load_trials("flickr8k")))
    ax.figure.set_layout_engine("constrained")
    ax.figure.set_figwidth(11)
    return ax


def draw_verdicts():
    """The verdicts on the paper's claims, as far as they are on record."""
    figure = plot_verdicts()
    figure.set_layout_engine("constrained")
    return figure.axes[0]


ROADMAPS = {
    f"roadmap_{station[0]:02}": lambda way=way, station=station[0]: draw_roadmap(way, station)
    for way in (COURSE, TRIAL)
    for station in way
}
DRAWN = {
    **ROADMAPS,
    "model": draw_model,
    "ladder": draw_ladder,
    "verdicts": draw_verdicts,
    "hero": draw_hero,
}

if __name__ == "__main__":
    asked = [name.removesuffix(".png") for name in sys.argv[1:]] or [""]
    names = [name for name in DRAWN if name.startswith(tuple(asked))]
    if not names:
        sys.exit(f"No figure {' or '.join(asked)}. There are: {', '.join(DRAWN)}.")
    for name in names:
        save(DRAWN[name](), HERE / f"{name}.png")
