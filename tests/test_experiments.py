"""What the experiments share: test images, supervised baselines, any objective, the cache."""

import ast
import dataclasses
import inspect
import linecache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb import RECIPES, scenes
from clipnb.experiments import EXPERIMENTS, exams, fitting, outcomes, twin
from clipnb.experiments.experiment import Experiment
from clipnb.runtime import ROOT


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))


# ---- test images -----------------------------------------------------------------------------


def test_sampled_scenes_are_the_same_every_time_and_in_no_split():
    some_scenes = exams.sample_scenes(60, "exam", keep=exams.has_one_thing)
    assert some_scenes == exams.sample_scenes(60, "exam", keep=exams.has_one_thing)
    assert some_scenes != exams.sample_scenes(60, "other", keep=exams.has_one_thing)
    assert all(len(scene.things) == 1 for scene in some_scenes)
    seeds = {scenes.dataset_scene(split, i).seed for split in scenes.COUNTS for i in range(1000)}
    assert not seeds & {scene.seed for scene in some_scenes}


def test_compositions_are_held_out_pairs_and_nothing_else():
    for scene in exams.sample_scenes(20, compositions=True):
        assert all((thing.kind, thing.colour) in scenes.HELD_OUT for thing in scene.things)
    for scene in exams.sample_scenes(20, compositions=False):
        assert all((thing.kind, thing.colour) not in scenes.HELD_OUT for thing in scene.things)


def darken(image, scene):
    return image.point(lambda value: value // 2)


def test_rendered_images_have_their_style_and_what_was_put_on_top():
    some_scenes = exams.sample_scenes(4, keep=exams.has_one_thing)
    plain = exams.render_dataset(some_scenes, 32)
    mixed = exams.render_dataset(some_scenes, 32, ("painted", "negative"))
    edited = exams.render_dataset(some_scenes, 32, edit=darken)
    assert plain.images.shape == (4, 3, 32, 32) and plain.images.dtype == np.uint8
    assert (plain.images[::2] == mixed.images[::2]).all()
    assert abs(255 - plain.images[1].astype(int) - mixed.images[1]).max() <= 2
    assert edited.images.mean() == pytest.approx(plain.images.mean() / 2, rel=0.02)
    assert plain.labels == [scenes.labels(scene) for scene in some_scenes]
    assert len(plain.captions[0]) == 5
    from_cache = exams.render_dataset(some_scenes, 32)
    assert (from_cache.images == plain.images).all()


def test_classes_tell_the_truth():
    rendered = exams.render_dataset(exams.sample_scenes(12), 32)
    for attribute in ("kind", "colour", "size", "count", "place"):
        names, truth = exams.read_classes(rendered, attribute)
        for label, i in zip(rendered.labels, truth, strict=True):
            told = label["place"] if attribute == "place" else label["objects"][0][attribute]
            assert names[i] == told


# ---- supervised baselines, and training with any loss ----------------------------------------


def test_targets_tell_the_truth():
    rendered = exams.render_dataset(exams.sample_scenes(12), 32)
    for name, target in twin.label_targets(rendered).items():
        words = twin.LABEL_CLASSES[name]
        assert torch.allclose(target.sum(dim=1), torch.ones(12))
        for label, row in zip(rendered.labels, target, strict=True):
            told = {words[i] for i in row.nonzero().flatten().tolist()}
            if name == "place":
                assert told == {label["place"]}
            else:
                assert told == {thing[name] for thing in label["objects"]}


@pytest.fixture
def small_recipe():
    return dataclasses.replace(
        RECIPES["quick"],
        name="small_supervised",
        image_encoder="tiny_cnn",
        image_size=32,
        stored_size=32,
        batch_size=8,
        epochs=12,
    )


def test_any_loss_can_be_trained_step_by_step(small_recipe):
    rendered = exams.render_dataset(exams.sample_scenes(32), 32)
    place = twin.label_targets(rendered)["place"]

    def loss(model, images, rows):
        return F.cross_entropy(model(images)["place"], place[rows])

    torch.manual_seed(0)
    model = twin.SupervisedBaseline(small_recipe)
    seen = list(fitting.iterate_fitting(model, loss, rendered, small_recipe, seed=0))
    assert seen == list(range(8, 12 * 32 + 1, 8))
    predicted = twin.predict_supervised(model, rendered.images, "place").argmax(dim=1)
    right = (predicted == place.argmax(dim=1)).float().mean()
    assert right > 0.6  # chance: 1 in 8


def test_a_fitted_model_is_loaded_again_and_its_seconds_are_noted(small_recipe):
    rendered = exams.render_dataset(exams.sample_scenes(32), 32)
    recipe = dataclasses.replace(small_recipe, epochs=1)
    fitting.TRAINING_SECONDS.clear()
    trained = twin.fit_supervised_baseline(recipe, 1, rendered).state_dict()
    loaded = twin.fit_supervised_baseline(recipe, 1, rendered).state_dict()
    assert all(torch.equal(trained[name], loaded[name]) for name in trained)
    ((name, seconds),) = fitting.TRAINING_SECONDS.items()
    assert "small_supervised-1" in name and seconds > 0


# ---- the cache of outcomes -------------------------------------------------------------------

# A package in which the experiment imports `middle`, `middle` imports `deep` inside a function,
# and nobody imports `alone`.
FAKE_PACKAGE = {
    "__init__.py": "VERSION = 1\n",
    "experiments/__init__.py": "from clipnb.experiments import trial, alone\n",
    "experiments/trial.py": "from clipnb.middle import helper\n",
    "middle.py": "def helper():\n    from clipnb import deep\n    return deep.VALUE\n",
    "deep.py": "VALUE = 1\n",
    "alone.py": "VALUE = 1\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of the fake package, which stands for clipnb."""
    monkeypatch.setattr(outcomes, "ROOT", tmp_path)
    for name, source in FAKE_PACKAGE.items():
        file = tmp_path / "clipnb" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return tmp_path / "clipnb"


def digest_trial(package):
    return outcomes.digest_source((package / "experiments" / "trial.py").read_text())


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("experiments/trial.py", "from clipnb.middle import helper\n\nLEVEL = 2\n"),
        ("middle.py", FAKE_PACKAGE["middle.py"].replace("deep.VALUE", "deep.VALUE + 1")),
        ("deep.py", "VALUE = 2\n"),
    ],
    ids=["its own module", "a module it imports", "a module imported there inside a function"],
)
def test_a_changed_module_changes_the_digest(package, file, source):
    before = digest_trial(package)
    (package / file).write_text(source)
    assert digest_trial(package) != before


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("deep.py", '"""What it is."""\n\nVALUE   =  1  # and why\n'),
        ("middle.py", FAKE_PACKAGE["middle.py"].replace("():\n", '():\n    """Help."""\n')),
        ("alone.py", "VALUE = 2\n"),
        ("experiments/__init__.py", "from clipnb.experiments import trial\n"),
    ],
    ids=[
        "comment, docstring and layout of a module",
        "docstring of a function",
        "a module that is not imported",
        "the list of experiments",
    ],
)
def test_what_changes_no_number_leaves_the_digest_alone(package, file, source):
    before = digest_trial(package)
    (package / file).write_text(source)
    assert digest_trial(package) == before


@pytest.mark.parametrize(
    "statement",
    [
        "import clipnb.deep",
        "import clipnb.deep as other, json",
        "from clipnb.deep import VALUE",
        "from clipnb import deep, unknown",
        "def f():\n    class A:\n        from clipnb.deep import VALUE",
    ],
)
def test_every_form_of_import_is_followed(package, statement):
    assert outcomes.find_direct_imports(statement) == {package / "deep.py"}


def test_modules_that_import_each_other_are_read_once(package):
    (package / "deep.py").write_text("import clipnb.middle\n")
    files = outcomes.find_imported_files("import clipnb.deep")
    assert files == {package / "deep.py", package / "middle.py"}


def test_a_real_experiment_depends_on_the_shared_modules_and_not_on_other_experiments():
    source = (ROOT / "clipnb" / "experiments" / "zero_shot.py").read_text(encoding="utf-8")
    files = outcomes.find_imported_files(source)
    names = {file.relative_to(ROOT / "clipnb").as_posix() for file in files}
    assert {"training.py", "augment.py", "scenes/drawing.py", "experiments/twin.py"} <= names
    assert not names & {"experiments/__init__.py", "experiments/robustness.py", "cli.py"}


def test_what_the_experiments_use_is_imported_by_the_full_names_of_modules():
    # A relative import, or a name that `clipnb` itself lends, would not be followed.
    files = {Path(inspect.getsourcefile(each.measure)) for each in EXPERIMENTS.values()}
    for file in list(files):
        files |= outcomes.find_imported_files(file.read_text(encoding="utf-8"))
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file.name}: a relative import"
                if node.module == "clipnb":
                    modules = [outcomes.source_file(f"clipnb.{name.name}") for name in node.names]
                    assert None not in modules, f"{file.name}: not all of them are modules"


def measure_nothing(seed):
    return {}, {}


def test_the_file_of_a_seed_is_known_by_settings_and_code(monkeypatch):
    experiment = Experiment(
        name="toy",
        claim="C2",
        title="A toy",
        where="Fig 0",
        paper={},
        dataset="scenes",
        measure=measure_nothing,
        quantities={},
        unit="points",
        rule="none",
        judge=lambda quantities: ("partly", "so it is."),
        notebook="06_zero_shot_and_prompts",
    )
    file = outcomes.seed_file(experiment, 0, {"epochs": 1})
    assert file.name.startswith("toy-0-")
    assert outcomes.seed_file(experiment, 0, {"epochs": 1}) == file
    assert outcomes.seed_file(experiment, 0, {"epochs": 2}) != file
    assert outcomes.seed_file(experiment, 1, {"epochs": 1}) != file
    monkeypatch.setattr(outcomes, "digest_measure", lambda measure: "other code")
    assert outcomes.seed_file(experiment, 0, {"epochs": 1}) != file


def test_a_measure_is_known_by_the_file_that_defines_it():
    with open(__file__, encoding="utf-8") as file:
        assert outcomes.digest_measure(measure_nothing) == outcomes.digest_source(file.read())


def test_a_measure_in_a_notebook_is_known_by_its_cell(monkeypatch):
    cell = "def measure(seed):\n    return {}, {}\n"
    monkeypatch.setitem(
        linecache.cache, "<cell>", (len(cell), None, cell.splitlines(True), "<cell>")
    )
    names = {}
    exec(compile(cell, "<cell>", "exec"), names)  # noqa: S102 (what a notebook's kernel does)
    assert outcomes.digest_measure(names["measure"]) == outcomes.digest_source(cell)
