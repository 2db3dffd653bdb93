"""Experiments of notebook 10: a scaling law, and which tower to spend on (paper Fig 9, §2.4)."""

import dataclasses

import numpy as np

from clipnb.datasets import load_dataset
from clipnb.encoders import TextTransformer
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.experiment import Experiment
from clipnb.experiments.fitting import load_or_fit, make_clip_objective
from clipnb.features import encode_images
from clipnb.model import CLIP, create_image_encoder, create_model
from clipnb.recipes import RECIPES
from clipnb.runtime import seed_everything
from clipnb.scenes.annotators import captions
from clipnb.training import make_tokenizer
from clipnb.zero_shot import zero_shot_scores

GRID = dataclasses.replace(RECIPES["quick"], image_size=48, stored_size=48)


def multiply_adds(model, image_size, tokens):
    """Multiply-adds of one forward pass of each tower, for one image and one text of `tokens` tokens: floats (image, text), counted by PyTorch."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    def count(run):
        with (
            torch.no_grad(),
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            run()
        return counter.get_total_flops() / 2

    model.eval()
    device = model.logit_scale.device
    return (
        count(lambda: model.encode_image(torch.zeros(1, 3, image_size, image_size, device=device))),
        count(lambda: model.encode_text(torch.ones(1, tokens, dtype=torch.int64, device=device))),
    )


TASKS = ("kind", "colour", "place")


def named_rightly(model, tokenizer, n_images, image_size=48):
    """Whether words name kind, colour and place of each drawn one-thing image: {task: bool (N,)}."""
    exam = render_dataset(sample_scenes(n_images, "one_thing_seen", keep=has_one_thing), image_size)
    features, found = encode_images(model, exam.images), {}
    for task in TASKS:
        names, truth = read_classes(exam, task)
        found[task] = (
            zero_shot_scores(model, tokenizer, features, names).argmax(dim=1).numpy() == truth
        )
    return found


def measure_scaling(seed, widths, sizes, epochs, n_images):
    """Zero-shot accuracy, the mean of kinds, colours and places, over width of the image tower x number of training images."""
    everything = render_dataset(
        sample_scenes(max(sizes), "scaling"), GRID.stored_size
    )  # as many images as we like: they are drawn
    # the same words for all, so that only images and pairs grow; and whatever the sizes, since runs are kept by width and size
    tokenizer = make_tokenizer(GRID, [captions(scene) for scene in sample_scenes(16000, "scaling")])
    outcomes, compute = {}, {}
    for size in sizes:
        train_set = everything.subset(range(size))
        for width in widths:
            recipe = dataclasses.replace(
                GRID, name=f"grid_{width}_{size}", image_width=width, epochs=epochs
            )
            seed_everything(seed)
            model = load_or_fit(
                create_model(recipe),
                make_clip_objective(tokenizer, train_set, recipe),
                train_set,
                recipe,
                seed,
            )
            right = named_rightly(model, tokenizer, n_images)
            outcomes[f"{width} x {size}"] = np.mean(
                list(right.values()), axis=0
            )  # (N,) of the three questions, how many right
            outcomes |= {f"{width} x {size}, {task}": right[task] for task in TASKS}
            compute[f"{width} x {size}"] = (
                sum(multiply_adds(model, recipe.image_size, 12)) * epochs * size
            )
    return outcomes, {"compute": compute}


def law(o):
    """log10 of error against log10 of compute: SciPy's linear fit (slope, intercept, rvalue)."""
    from scipy import stats

    errors = [max(1 - np.mean(o[arm]), 1e-3) for arm in o["compute"]]
    return stats.linregress(np.log10(list(o["compute"].values())), np.log10(errors))


def two_exponents(o):
    """log10 of error against log10 of width and of training images together: (R², exponent of width, exponent of images)."""
    from sklearn.linear_model import LinearRegression

    sizes = np.log10(
        [[float(number) for number in arm.split(" x ")] for arm in o["compute"]]
    )  # (runs, 2)
    errors = np.log10([max(1 - np.mean(o[arm]), 1e-3) for arm in o["compute"]])
    fit = LinearRegression().fit(sizes, errors)
    return fit.score(sizes, errors), *(-fit.coef_)


def prediction_error(o):
    """The law fitted without the dearest run: by how many points of error it misses that run."""
    from scipy import stats

    compute, arms = np.array(list(o["compute"].values())), list(o["compute"])
    errors, last = (
        np.array([max(1 - np.mean(o[arm]), 1e-3) for arm in arms]),
        int(np.argmax(compute)),
    )
    rest = np.arange(len(arms)) != last
    fit = stats.linregress(np.log10(compute[rest]), np.log10(errors[rest]))
    return 100 * (10 ** (fit.intercept + fit.slope * np.log10(compute[last])) - errors[last])


def judge_scaling(found):
    exponent, fit = found["exponent b"], found["R² of the line"]
    if exponent["interval"][0] > 0 and fit["mean"] > 0.8:
        return (
            "replicated",
            f"error falls as the power {-exponent['mean']:.2f} of compute, and a straight line explains {100 * fit['mean']:.0f} % of the variance of its logarithm.",
        )
    if exponent["interval"][0] > 0:
        return (
            "partly",
            f"error falls with compute, but a straight line explains only {100 * fit['mean']:.0f} % of the variance of its logarithm.",
        )
    return "contradicted", "error does not fall with compute."


def measure_towers(seed, epochs, n_images):
    """A CLIP with two small towers, then with twice the multiply-adds in all, the extra half spent on the image tower or on the text tower."""
    train_set = load_dataset("scenes", "train", GRID.stored_size)
    tokenizer = make_tokenizer(GRID, train_set.captions)
    outcomes, cost = {}, {}
    for arm, image_width, text_width in (
        ("both small", 96, 64),
        ("image tower takes all", 152, 64),
        ("text tower takes all", 96, 136),
    ):
        recipe = dataclasses.replace(
            GRID,
            name=f"towers_{image_width}_{text_width}",
            text_encoder="transformer",
            image_width=image_width,
            captions_per_image=1,
            epochs=epochs,
        )
        seed_everything(seed)
        text_encoder = TextTransformer(
            recipe.vocab_size,
            recipe.context_length,
            text_width,
            layers=2,
            heads=4,
            feedforward=4 * text_width,
        )
        model = CLIP(create_image_encoder(recipe), text_encoder)
        model = load_or_fit(
            model, make_clip_objective(tokenizer, train_set, recipe), train_set, recipe, seed
        )
        outcomes |= {
            f"{arm}, {task}": right
            for task, right in named_rightly(model, tokenizer, n_images).items()
        }
        cost[arm] = multiply_adds(model, recipe.image_size, 12)
    return outcomes, {"multiply_adds": cost}


def gain(tower):
    """Points of accuracy, the mean over kinds, colours and places, that doubling the budget brings if this tower takes all of the increase."""
    return lambda o: (
        100
        * np.mean(
            [
                np.mean(o[f"{tower} tower takes all, {attribute}"])
                - np.mean(o[f"both small, {attribute}"])
                for attribute in TASKS
            ]
        )
    )


def judge_towers(found):
    difference, image, text = (
        found[name]
        for name in ("image minus text", "image tower takes all", "text tower takes all")
    )
    said = f"a doubled budget brings {image['mean']:+.1f} points if the image tower takes the increase, {text['mean']:+.1f} if the text tower does."
    if difference["interval"][0] > 0:
        return "replicated", said
    return ("contradicted" if difference["interval"][1] < 0 else "not at this scale"), said


EXPERIMENTS = [
    Experiment(
        name="scaling",
        claim="C8",
        title="Error falls as a power of compute",
        where="Fig 9",
        paper={"compute range": "44x", "fit": "log-log linear"},
        dataset="scenes",
        measure=measure_scaling,
        quantities={
            "R² of the line": lambda o: law(o).rvalue ** 2,
            "exponent b": lambda o: -law(o).slope,
            "miss of the dearest run, points": prediction_error,
            "R² with width and images apart": lambda o: two_exponents(o)[0],
            "exponent of width": lambda o: two_exponents(o)[1],
            "exponent of training images": lambda o: two_exponents(o)[2],
        },
        unit="share of variance",
        rule="replicated: b above 0 by its interval, and a straight line on log axes explains more than 80 % of the variance; partly: b above 0 alone",
        judge=judge_scaling,
        notebook="10_scaling",
        small={"widths": [48, 96], "sizes": [1000, 2000, 4000], "epochs": 3, "n_images": 500},
        full={
            "widths": [48, 96, 192],
            "sizes": [2000, 4000, 8000, 16000],
            "epochs": 3,
            "n_images": 2000,
        },
    ),
    Experiment(
        name="towers",
        claim="C8",
        title="The text tower's capacity matters less",
        where="§2.4",
        paper={"text tower": "less sensitive to its capacity"},
        dataset="scenes",
        measure=measure_towers,
        quantities={
            "image minus text": lambda o: gain("image")(o) - gain("text")(o),
            "image tower takes all": gain("image"),
            "text tower takes all": gain("text"),
        },
        unit="points",
        rule="replicated: twice the multiply-adds in all bring more if the image tower takes the increase than if the text tower does, by the interval; contradicted: less",
        judge=judge_towers,
        notebook="10_scaling",
        small={"epochs": 1, "n_images": 500},
        full={"epochs": 4, "n_images": 2000},
    ),
]
