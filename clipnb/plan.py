"""What a training run on millions of pairs would take: days, graphics cards and money, as a range.

A plan is arithmetic on assumptions, all of which stand in `Assumptions`. Each is a low, a middle
and a high value. Ten thousand times a value of each is drawn, and the plan tells the middle of what
comes out and the range that holds 90 % of it. The range knows nothing of what nobody thought of.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from clipnb.markdown import markdown_table
from clipnb.model import create_model
from clipnb.recipes import RECIPES, Recipe

DAY = 86_400  # seconds
V100_PEAK = 125e12  # FLOPs a second with fp16 matrices, by its data sheet
# What the paper says it took (§2.5): cards, days. 32 epochs of 400 million pairs.
PAPER = {"ViT-L/14": (256, 12), "RN50x64": (592, 18)}
PAPER_PAIRS = 32 * 400_000_000
DRAWS = 10_000

Range = tuple[float, float, float]  # low, middle, high

VIT_B_32 = Recipe(
    "ViT-B/32",
    "pairs",
    "clip/ViT-B-32",
    "clip/ViT-B-32",
    image_size=224,
    stored_size=224,
    tokenizer="clip",
    vocab_size=49408,
)


@dataclass(frozen=True)
class Assumptions:
    """What a plan assumes of machines and data, each as (low, middle, high).

    A value is drawn on a logarithmic scale, the middle one most often. Change one with
    `dataclasses.replace`. Raises ValueError for a range that is not three numbers above 0, in their
    order.
    """

    peak: Range = (989e12, 989e12, 989e12)  # FLOPs a second of a card: an H100 with bf16
    # The share of the peak that training reaches. The paper's runs reached 0.2 of a V100's
    # (`find_paper_share`), and open trainings on newer cards report up to half.
    share: Range = (0.1, 0.25, 0.45)
    backward: Range = (2.0, 2.0, 3.0)  # times the forward pass; 3 if that is computed twice
    image_bytes: Range = (15e3, 40e3, 120e3)  # of a JPEG file, shrunk to about 256 to 512 px
    read_rate: Range = (0.2e9, 0.5e9, 2e9)  # bytes a second for each card, from disk or network
    decode_rate: Range = (100.0, 250.0, 600.0)  # images a second on one core, with resizing
    cores: Range = (6.0, 12.0, 24.0)  # for each card
    link_rate: Range = (10e9, 40e9, 200e9)  # bytes a second between cards: Ethernet to NVLink
    latency: Range = (10e-6, 20e-6, 50e-6)  # seconds for each hop of a ring
    # Share of the backward pass that hides the gradients' way. DistributedDataParallel sends them
    # meanwhile. Our own `average_gradients` hides nothing: it sends one message afterwards.
    overlap: Range = (0.4, 0.7, 0.9)
    lost: Range = (1.02, 1.1, 1.3)  # days in all for each day of training: crashes, evaluation
    price: Range = (2.0, 3.0, 6.0)  # dollars for a card and an hour

    def __post_init__(self) -> None:
        for field in fields(self):
            given = getattr(self, field.name)
            values = np.ravel(given)
            is_range = len(values) == 3 and bool(np.all(np.isfinite(values) & (values > 0)))
            if not is_range or list(values) != sorted(values):
                raise ValueError(
                    f"the assumption {field.name} is {given!r}; give it as (low, middle, high), "
                    "three numbers above 0."
                )

    def draw(self, n: int = DRAWS, seed: int = 0) -> dict[str, np.ndarray]:
        """Draw n values of each assumption, from triangles on a logarithmic scale: (n,) each."""
        generator = np.random.default_rng(seed)
        drawn = {}
        for field in fields(self):
            low, middle, high = np.log(getattr(self, field.name))
            sure = low == high
            values = np.full(n, low) if sure else generator.triangular(low, middle, high, n)
            drawn[field.name] = np.exp(values)
        return drawn


# ---- a model ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What a model costs: FLOPs of a forward pass for a pair, parameters, width of a feature.

    captions: of an image in a step. Each has a feature, which all ranks have to see.
    """

    name: str
    flops: float
    parameters: float
    embed_dim: int
    captions: int = 1


def count_cost(recipe: Recipe, n_tokens: int | None = None) -> Cost:
    """Count what the model of a recipe costs, from its modules.

    A multiplication and the addition after it are two FLOPs; matrix products and convolutions
    count, all else is small beside them. A pair is an image at the size at which it trains with
    `captions_per_image` captions of `n_tokens` tokens (default: the context length). No number is
    computed, and no memory is taken for the weights.
    """
    from torch.utils.flop_counter import FlopCounterMode

    size = recipe.crop_size or recipe.image_size
    with torch.device("meta"):
        model = create_model(recipe).eval()
        images = torch.zeros(1, 3, size, size)
        T = n_tokens or recipe.context_length
        tokens = torch.zeros(recipe.captions_per_image, T, dtype=torch.int64)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.encode_image(images)
        model.encode_text(tokens)
    parameters = sum(p.numel() for p in model.parameters())
    flops, captions = counter.get_total_flops(), recipe.captions_per_image
    return Cost(recipe.name, flops, parameters, recipe.embed_dim, captions)


def find_paper_share(forward_flops: float, model: str) -> float:
    """Return the share of its cards' peak that a run of the paper reached.

    forward_flops: of a pair. The backward pass counts twice that, and what gradient checkpointing
    computes again counts nothing. Raises ValueError for a model that is not in `PAPER`.
    """
    if model not in PAPER:
        raise ValueError(
            f"the paper tells no cards and days of {model!r}; choose one of {', '.join(PAPER)}."
        )
    cards, days = PAPER[model]
    return 3 * forward_flops * PAPER_PAIRS / (cards * days * DAY * V100_PEAK)


# ---- a step ----------------------------------------------------------------------------------


def count_gather_bytes(batch_size: int, ranks: int, embed_dim: int, captions: int = 1) -> float:
    """Count the bytes that each rank sends in a step so that all see all features.

    Features of images and of their captions go round a ring in bf16, and their gradients come back.
    """
    own = batch_size / ranks * (1 + captions) * embed_dim * 2
    return 2 * (ranks - 1) * own


def count_gradient_bytes(parameters: float, ranks: int) -> float:
    """Count the bytes that each rank sends in a step to add up the gradients, in float32.

    A ring passes each gradient on 2 (W - 1) / W times: once to add, once to tell the sum.
    """
    return 2 * (ranks - 1) / ranks * parameters * 4


def time_step(
    cost: Cost,
    batch_size: int,
    ranks: int,
    drawn: dict[str, np.ndarray],
    pairs_per_second: float | None = None,
) -> dict[str, np.ndarray]:
    """Return the seconds of a step and of its parts, for each draw of the assumptions: (n,).

    compute: forward and backward. gather: features to all ranks and back. gradients: what of
    their way the backward pass does not hide. input: reading and decoding, whichever is slower; it
    runs beside all else, so a step takes the longer of the two. pairs_per_second: of one card, if
    it was measured; otherwise it comes from FLOPs, peak and share.
    """
    own = batch_size / ranks  # pairs of a rank
    flops = own * cost.flops * (1 + drawn["backward"])
    compute = flops / (drawn["peak"] * drawn["share"])
    if pairs_per_second is not None:
        compute = np.full_like(compute, own / pairs_per_second)
    hops = 2 * (ranks - 1) * drawn["latency"]
    n_bytes = count_gather_bytes(batch_size, ranks, cost.embed_dim, cost.captions)
    gather = n_bytes / drawn["link_rate"] + hops
    way = count_gradient_bytes(cost.parameters, ranks) / drawn["link_rate"] + hops
    backward = compute * drawn["backward"] / (1 + drawn["backward"])
    gradients = np.maximum(0, way - drawn["overlap"] * backward)
    reading = own * drawn["image_bytes"] / drawn["read_rate"]
    decoding = own / (drawn["decode_rate"] * drawn["cores"])
    parts = {
        "compute": compute,
        "gather": gather,
        "gradients": gradients,
        "input": np.maximum(reading, decoding),
    }
    return parts | {"step": np.maximum(compute + gather + gradients, parts["input"])}


# ---- a plan ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What a run would take. days, card_days, dollars: the values that 5, 50 and 95 % lie below.

    flops: of the whole run. parts: the middle seconds of a step and its parts (see `time_step`).
    waits: in which share of the draws the cards wait for their input.
    """

    cost: Cost
    pairs: int
    epochs: int
    batch_size: int
    ranks: int
    flops: float
    days: Range
    card_days: Range
    dollars: Range
    parts: dict[str, float]
    waits: float
    measured: bool


def make_plan(
    cost: Cost,
    pairs: int,
    ranks: int,
    batch_size: int = 32_768,
    epochs: int = 32,
    pairs_per_second: float | None = None,
    assumptions: Assumptions | None = None,
    seed: int = 0,
) -> Plan:
    """Plan a run of a model on some pairs, with a number of ranks, one card each.

    pairs_per_second: what one such card was measured to train. Raises ValueError if the ranks do
    not divide the batch, or for what is not above 0. An epoch has one batch at least.
    """
    counts = {"ranks": ranks, "batch_size": batch_size, "epochs": epochs, "pairs": pairs}
    for name, value in [*counts.items(), ("pairs_per_second", pairs_per_second)]:
        if value is not None and not value > 0:  # nor NaN
            raise ValueError(f"{name} is {value}; a plan needs a number above 0.")
    if pairs < batch_size:
        raise ValueError(
            f"{pairs:,} pairs are no batch of {batch_size:,}; choose a smaller batch_size."
        )
    if batch_size % ranks:
        raise ValueError(
            f"{ranks} ranks cannot share a batch of {batch_size:,} evenly; choose a batch_size "
            f"that {ranks} divides."
        )
    drawn = (assumptions or Assumptions()).draw(seed=seed)
    times = time_step(cost, batch_size, ranks, drawn, pairs_per_second)
    steps = epochs * (pairs // batch_size)
    days = steps * times["step"] * drawn["lost"] / DAY
    flops = steps * batch_size * 3 * cost.flops
    return Plan(
        cost,
        pairs,
        epochs,
        batch_size,
        ranks,
        flops,
        days=find_range(days),
        card_days=find_range(days * ranks),
        dollars=find_range(days * ranks * 24 * drawn["price"]),
        parts={name: float(np.median(values)) for name, values in times.items()},
        waits=float(np.mean(times["input"] >= times["step"])),
        measured=pairs_per_second is not None,
    )


def find_range(values: np.ndarray) -> Range:
    """Return the values that 5, 50 and 95 % of some values lie below."""
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return float(low), float(middle), float(high)


def plan_all(
    rates: dict[str, float] | None = None,
    amounts: Sequence[int] = (15_000_000, 400_000_000),
    ranks: Sequence[int] = (8, 256),
    assumptions: Assumptions | None = None,
) -> list[Plan]:
    """Plan `improved` and ViT-B/32 on 15 million pairs with 8 cards, and on 400 million with 256.

    rates: the measured pairs a second of one card, by the name of the recipe.
    """
    costs = [count_cost(recipe) for recipe in (RECIPES["improved"], VIT_B_32)]
    return [
        make_plan(
            cost,
            amount,
            count,
            pairs_per_second=(rates or {}).get(cost.name),
            assumptions=assumptions,
        )
        for amount, count in zip(amounts, ranks, strict=True)
        for cost in costs
    ]


def plan_table(plans: Sequence[Plan]) -> str:
    """Return plans as a Markdown table. A cell such as "3 (2 to 5)" is a middle and its range."""
    header = ["model", "pairs", "GFLOPs a pair", "cards", "days", "card-days", "dollars", "waits"]
    rows = [
        [
            plan.cost.name + (" (rate measured)" if plan.measured else ""),
            f"{plan.epochs} x {plan.pairs / 1e6:,.0f} million",
            f"{3 * plan.cost.flops / 1e9:.1f}",
            str(plan.ranks),
            *(format_range(values) for values in (plan.days, plan.card_days, plan.dollars)),
            f"{100 * plan.waits:.0f} %",
        ]
        for plan in plans
    ]
    return markdown_table(header, rows)


def format_range(values: Range) -> str:
    """Format a middle and its range with two significant digits."""
    low, middle, high = (f"{float(f'{value:.2g}'):,.12g}" for value in values)
    return f"{middle} ({low} to {high})"
