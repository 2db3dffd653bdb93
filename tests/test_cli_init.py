"""Training on the command line that starts from a published model."""

import dataclasses
import shlex

import pytest
from published_file import FILE, NAME

from clipnb import cli
from clipnb.commands import training
from clipnb.selection import format_options

pytestmark = pytest.mark.usefixtures("here")

FAST = "--dataset small --set epochs=1 --set batch_size=24"


def test_training_starts_from_a_published_model(clipnb):
    init = f"--init {NAME}/{FILE}"
    status, printed, said = clipnb(f"train {init} {FAST}")
    assert status == 0, said
    assert (
        f"The recipe is finetune. For {NAME}/{FILE} it takes the image encoder clip/{NAME}" in said
    )
    assert f"Run(small, finetune, seed 0, 1 epochs, from {NAME}/{FILE})" in printed
    assert clipnb(f"evaluate {init} {FAST}")[1].startswith("Run(small, finetune")
    assert clipnb(f"search small dog {init} {FAST} -k 1")[0] in (0, 1)
    assert clipnb("search small dog --run small-finetune -k 1")[0] in (0, 1)
    assert (
        "no run of --recipe finetune --dataset small"
        in clipnb(f"evaluate {init} {FAST} --seed 7")[2]
    )


def test_a_frozen_image_encoder_gets_a_new_text_encoder(clipnb, here):
    options = f"--init {NAME}/{FILE} --freeze image {FAST}"
    missing = clipnb(f"evaluate {options}")[2]
    wanted = "--recipe locked_image --dataset small --set epochs=1 --set batch_size=24 --seed 0"
    assert f"no run of {wanted} --init {NAME}/{FILE}. Train one with: " in missing
    command = missing.partition("Train one with: clipnb ")[2].splitlines()[0]
    status, printed, said = clipnb(command)  # the command that is told does go on
    assert status == 0, said
    assert "the text encoder bag_of_words" in said
    assert clipnb(f"evaluate {options}")[0] == 0
    told = clipnb(f"evaluate {options} --seed 3")[2].splitlines()
    assert told[-1].strip() == f"{wanted} --init {NAME}/{here / FILE}", "among the finished runs"


def test_what_is_frozen_is_told_in_the_options(clipnb):
    missing = clipnb(f"evaluate --recipe quick --freeze image --init quick {FAST}")[2]
    assert "quick" in missing and len(missing.splitlines()) <= 2
    options = training.read_recipe_options(
        cli.build_parser().parse_args(
            shlex.split(f"train --freeze text --init {NAME}/{FILE} {FAST} --set flip=false")
        ),
        quiet=True,
    )
    assert options.freeze == "text" and options.text_encoder == f"clip/{NAME}"
    told = format_options(options, 2, f"{NAME}/{FILE}")
    assert told == (
        "--recipe finetune --dataset small --set epochs=1 --set batch_size=24 --set flip=False "
        f"--freeze text --seed 2 --init {NAME}/{FILE}"
    )


def test_an_image_encoder_of_a_library_is_adopted(here, monkeypatch):
    parse = cli.build_parser().parse_args
    torchvision = "--init torchvision/resnet18"
    recipe = training.read_recipe_options(parse(shlex.split(f"train {torchvision} {FAST}")), True)
    assert (recipe.name, recipe.image_encoder) == ("locked_image", "torchvision/resnet18")
    assert (recipe.image_size, recipe.stored_size, recipe.init_towers) == (224, 224, "image")
    told = format_options(recipe, 0, "torchvision/resnet18")
    assert training.read_recipe_options(parse(shlex.split(f"train {told}")), True) == recipe
    tuned = f"train {torchvision} {FAST} --recipe quick --set crop_size=0"
    recipe = training.read_recipe_options(parse(shlex.split(tuned)), quiet=True)
    assert (recipe.name, recipe.init_towers, recipe.freeze) == ("quick", "image", "none")


@pytest.mark.parametrize("options", ["--freeze both", "--freeze image --recipe finetune"])
def test_a_frozen_image_encoder_leaves_the_augmentation_out(clipnb, options):
    command = f"train --init {NAME}/{FILE} {options} {FAST}"
    status, _, said = clipnb(command)
    assert status == 0, said
    assert "It leaves the augmentation out, because the image encoder is frozen." in said
    told = clipnb(f"evaluate --init {NAME}/{FILE} {options} {FAST} --seed 3")[2].splitlines()[-1]
    assert "flip" not in told and "min_crop_area" not in told
    assert clipnb(f"evaluate {told}")[0] == 0


def test_only_what_is_loaded_is_taken_over(here):
    parse = cli.build_parser().parse_args
    start = f"{NAME}/{FILE}"
    command = f"train --recipe quick --init {start} {FAST} --set init_towers=image"
    for more in ("", "--set embed_dim=8", "--set stored_size=40 --freeze image"):
        arguments = parse(shlex.split(f"{command} {more}"))
        recipe = training.read_recipe_options(arguments, quiet=True)
        assert (recipe.text_encoder, recipe.image_encoder) == ("bag_of_words", f"clip/{NAME}")
        told = format_options(recipe, 0, start)
        assert training.read_recipe_options(parse(shlex.split(f"train {told}")), True) == recipe
        unnamed = dataclasses.replace(recipe, name="my own")
        told = format_options(unnamed, 0, start)
        assert training.read_recipe_options(parse(shlex.split(f"train {told}")), True) == unnamed


def test_mistakes_with_a_start_are_told_in_a_line(clipnb):
    frozen = f"train --init {NAME}/{FILE} --freeze image"
    for command, message in {
        f"train --init {NAME}/nowhere.pt {FAST}": "nowhere.pt",
        f"{frozen} {FAST} --recipe finetune --set flip=true": "only once",
        f"train --freeze image {FAST}": "needs weights to start from",
        f"train --init {NAME}/{FILE} --freeze all {FAST}": "invalid choice: 'all'",
    }.items():
        status, _, said = clipnb(command)
        assert status == 2
        assert message in said.splitlines()[-1], said
