"""From a photo to what a model takes: against open_clip's own transform, and through every path."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from clipnb import CLIP, ImageIndex, PhotoFolder, load_dataset, train_tokenizer
from clipnb.datasets.pixels import shrink_while_decoding
from clipnb.encoders import BagOfWords, ViT
from clipnb.features import encode_images
from clipnb.preprocess import (
    CLIP_MEAN,
    CLIP_STD,
    HALF,
    IMAGENET_MEAN,
    Preprocess,
    choose_preprocess,
)
from clipnb.recipes import RECIPES
from clipnb.runs import Run, load_run_dataset
from clipnb.search.store import make_key, update_store

SIZES = [(300, 400), (201, 133), (64, 64), (33, 17), (10, 1000), (1000, 10), (2, 3), (65, 64)]


def draw(height, width):
    """Draw an RGB image with smooth and with sharp parts."""
    random = np.random.default_rng(height * width)
    coarse = random.integers(0, 256, (height // 9 + 2, width // 9 + 2, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = random.integers(-20, 21, (height, width, 3))
    return Image.fromarray((np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8))


def write_and_open(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Image.open(buffer)


def draw_kind(kind, height, width):
    """Draw an image of one of the kinds that files hold."""
    image = draw(height, width)
    grey = image.convert("L")
    mask = Image.fromarray(np.tile(np.arange(width) % 256, (height, 1)).astype(np.uint8))
    if kind in ("JPEG", "PNG"):
        return write_and_open(image, kind)
    if kind == "rotated by EXIF":
        exif = Image.Exif()
        exif[0x0112] = 6
        return write_and_open(image, "JPEG", exif=exif)
    if kind == "CMYK JPEG":
        return write_and_open(image.convert("CMYK"), "JPEG")
    if kind in ("RGBA", "LA"):
        image = image if kind == "RGBA" else grey
        image.putalpha(mask)
        return image
    if kind == "P":
        return image.quantize(32)
    if kind == "transparent P":
        return write_and_open(image.quantize(32), "PNG", transparency=3)
    if kind == "16 bits":
        return Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    if kind == "32 bits":
        return Image.fromarray(np.asarray(grey).astype(np.int32) * 257)
    return image.convert(kind)  # "L", "1", "CMYK"


KINDS = ["JPEG", "PNG", "L", "LA", "RGBA", "P", "transparent P", "1", "CMYK", "CMYK JPEG"]
KINDS += ["16 bits", "32 bits", "rotated by EXIF"]


@pytest.fixture(scope="module")
def make_open_clips():
    """A function that makes open_clip's own transform."""
    transform = pytest.importorskip("open_clip.transform")

    def make(size, crop=True):
        mode = "shortest" if crop else "squash"
        return transform.image_transform(size, is_train=False, resize_mode=mode)

    return make


# ---- against open_clip -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_becomes_what_open_clip_makes_of_it(make_open_clips, kind):
    for crop in (True, False):
        theirs = make_open_clips(64, crop)
        ours = Preprocess(64, CLIP_MEAN, CLIP_STD, crop)
        for height, width in SIZES:
            image = draw_kind(kind, height, width)
            torch.testing.assert_close(ours(image), theirs(image), atol=1e-5, rtol=0)


def test_the_size_of_a_published_model(make_open_clips):
    for height, width in [(300, 400), (500, 333), (224, 224), (100, 150)]:
        image = draw(height, width)
        ours = Preprocess(224, CLIP_MEAN, CLIP_STD, crop=True)(image)
        torch.testing.assert_close(ours, make_open_clips(224)(image), atol=1e-5, rtol=0)


def test_squashing_and_cropping_are_not_the_same(make_open_clips):
    image = draw(300, 400)
    squashed = Preprocess(64, CLIP_MEAN, CLIP_STD)(image)
    assert (squashed - make_open_clips(64)(image)).abs().mean() > 0.1


def test_a_file_of_a_few_bytes_cannot_fill_the_memory():
    """Scaled as a whole, this line of 2 pixels would have 500 million pixels."""
    line = Image.new("L", (80_000, 2))
    line.paste(255, (39_900, 0, 40_100, 2))
    square = np.asarray(Preprocess(112, crop=True).resize(line))
    assert square.shape == (112, 112) and square.min() == 255


# ---- every path from a file to a feature -----------------------------------------------------


def make_model(size=32):
    """A small vision transformer that takes photos as a published model does."""
    torch.manual_seed(0)
    preprocess = Preprocess(size, CLIP_MEAN, CLIP_STD, crop=True)
    image_encoder = ViT(size, pooling="class")
    return CLIP(image_encoder, BagOfWords(300), 16, preprocess).eval()


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of photos with captions: large JPEGs on their side, a small PNG, transparency."""
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "holiday" / "Images"
    folder.mkdir(parents=True)
    for i in range(4):
        exif = Image.Exif()
        exif[0x0112] = (1, 3, 6, 8)[i]
        draw(300 + i, 200 + 90 * i).save(folder / f"{i}.jpg", exif=exif, quality=95)
    draw(40, 90).save(folder / "4.png")
    draw_kind("RGBA", 70, 50).save(folder / "5.png")
    rows = [f"{path.name},a photo" for path in sorted(folder.iterdir())]
    (tmp_path / "holiday" / "captions.txt").write_text("\n".join(["image,caption", *rows]))
    return tmp_path / "holiday"


def open_upright(path):
    """Open an image as RGB: upright, and on white."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode == "RGBA":
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image)
    return image.convert("RGB")


def encode_like_open_clip(model, transform, path):
    with torch.no_grad():
        return model.encode_image(transform(open_upright(path))[None], normalize=True)[0]


def test_photos_of_a_folder_reach_the_model_as_open_clip_would_make_them(photos, make_open_clips):
    model, transform = make_model(), make_open_clips(32)
    index = ImageIndex.build(model, train_tokenizer(["a photo"], 60), PhotoFolder(photos))
    assert len(index) == 6
    for image_id, path in zip(index.image_ids, index.paths, strict=True):
        expected = encode_like_open_clip(model, transform, path)
        for feature in (
            index.feature(image_id),  # as it was indexed
            index.encode(path),
            index.encode(Image.open(path)),
            index.encode(index.image(image_id)),
        ):
            assert float(feature @ expected) > 0.9995


def test_photos_of_a_dataset_reach_the_model_as_open_clip_would_make_them(photos, make_open_clips):
    model, transform = make_model(), make_open_clips(32)
    dataset = load_dataset("holiday", "train", 32, photos.parent, crop=True)
    features = encode_images(model, dataset.images)
    for path, image, feature in zip(dataset.paths, dataset.images, features, strict=True):
        expected = transform(open_upright(path))
        levels = (model.preprocess.normalize(image) - expected) * torch.tensor(CLIP_STD)[
            :, None, None
        ]
        # A JPEG may be shrunk while it is decoded, which blurs the colours of this noise a little.
        most = 8 if path.suffix == ".jpg" else 0.01
        assert levels.abs().max() * 255 < most
        assert float(feature @ encode_like_open_clip(model, transform, path)) > 0.9995


def test_a_jpeg_is_shrunk_by_a_number_that_divides_its_sides():
    """Rounding a side up would stretch the image by up to 7 pixels of the file."""
    for size, least, exact, expected in (
        ((400, 320), 64, True, (100, 80)),  # 50 x 40 would be too small
        ((400, 320), 64, False, (100, 80)),
        ((398, 322), 64, True, (199, 161)),
        ((398, 322), 64, False, (100, 81)),
        ((399, 320), 64, True, (399, 320)),
        ((40, 32), 64, True, (40, 32)),
    ):
        image = write_and_open(Image.new("RGB", size), "JPEG")
        shrink_while_decoding(image, least, exact)
        assert image.size == expected


def test_the_vectors_of_another_crop_are_others(photos):
    cropping, squashing = make_model(), make_model()
    squashing.preprocess = Preprocess(32, CLIP_MEAN, CLIP_STD)
    first = update_store(PhotoFolder(photos), cropping)
    second = update_store(PhotoFolder(photos), squashing)
    assert (
        second.report.encoded == 6
        and update_store(PhotoFolder(photos), cropping).report.encoded == 0
    )
    assert not torch.allclose(first.image_features, second.image_features)
    assert (first.hashes == second.hashes).all()


def test_the_default_keeps_the_key_that_vectors_had_before():
    model = make_model(64)
    model.preprocess = Preprocess(64)
    weights, _, size = make_key(model).rpartition("-")
    assert len(weights) == 16 and size == "64"
    for other in (
        Preprocess(64, crop=True),
        Preprocess(64, CLIP_MEAN),
        Preprocess(32),
    ):
        model.preprocess = other
        assert make_key(model) != f"{weights}-64"


def test_hashes_show_the_whole_image_whatever_the_model_sees(photos):
    """The ends of a long image are not in its crop. Two that differ there are no duplicates."""
    folder = photos / "Images"
    middle = draw(60, 60)
    for name, colour in (("black", 0), ("white", 255)):
        page = Image.new("RGB", (240, 60), (colour, colour, 255 - colour))
        page.paste(middle, (90, 0))
        page.save(folder / f"{name}.png")
    index = ImageIndex.build(make_model(), train_tokenizer(["a photo"], 60), PhotoFolder(photos))
    black, white = index.row["Images/black.png"], index.row["Images/white.png"]
    assert float(index.image_features[black] @ index.image_features[white]) > 0.999
    assert index.hashes[black] != index.hashes[white]


def test_a_run_loads_its_dataset_as_its_model_takes_it(photos, recipe):
    recipe = dataclasses.replace(recipe, dataset="holiday")
    run = Run(make_model(), train_tokenizer(["a photo"], 60), recipe, 0, photos)
    loaded = load_run_dataset(run, "train", photos.parent)
    cropped = load_dataset("holiday", "train", 32, photos.parent, crop=True)
    assert (loaded.images == cropped.images).all()
    run.model.preprocess = Preprocess(32)
    squashed = load_dataset("holiday", "train", 32, photos.parent)
    assert (load_run_dataset(run, "train", photos.parent).images == squashed.images).all()
    assert not (squashed.images == cropped.images).all()


def test_the_two_ways_have_caches_of_their_own(photos, tmp_path):
    load_dataset("holiday", "train", 32, photos.parent)
    load_dataset("holiday", "train", 32, photos.parent, crop=True)
    names = {path.name for path in (tmp_path / "cache" / "decoded").iterdir()}
    digest = min(names).rpartition("-")[2]
    assert names == {f"holiday-train-32-{digest}", f"holiday-train-32-crop-{digest}"}


def test_a_crop_that_must_be_enlarged_is_told_by_its_shorter_side(photos):
    for path in sorted((photos / "Images").glob("*.jpg")):
        path.unlink()
    rows = ["image,caption", "4.png,a photo", "5.png,a photo", "6.png,a photo"]
    draw(40, 90).save(photos / "Images" / "6.png")
    (photos / "captions.txt").write_text("\n".join(rows))
    load_dataset("holiday", "train", 48, photos.parent)
    with pytest.warns(UserWarning, match="the images are enlarged"):
        load_dataset("holiday", "train", 72, photos.parent, crop=True)


# ---- an array as a query ---------------------------------------------------------------------


def test_an_array_of_another_size_is_resized(photos):
    model = make_model()
    index = ImageIndex.build(model, train_tokenizer(["a photo"], 60), PhotoFolder(photos))
    image = draw(50, 80)
    array = np.asarray(image).transpose(2, 0, 1)  # (3, H, W)
    expected = model.encode_image(model.preprocess(image)[None], normalize=True)[0]
    for query in (array, torch.tensor(array)):
        torch.testing.assert_close(index.encode(query), expected.detach(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.uint16, np.bool_])
def test_an_array_of_another_type_is_refused_in_one_line(kind, photos):
    """Values in [0, 1] would be read as grey: the model itself takes [-1, 1]."""
    model = make_model()
    index = ImageIndex.build(model, train_tokenizer(["a photo"], 60), PhotoFolder(photos))
    size = model.preprocess.size
    for shape in ((3, 50, 80), (3, size, size)):
        with pytest.raises(ValueError, match="an image is an array of uint8") as error:
            index.encode(np.zeros(shape, kind))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "mean"),
    [("timm/resnet18.a1_in1k", IMAGENET_MEAN), ("timm/vit_base_patch16_224.augreg_in1k", HALF)],
)
def test_a_timm_model_gets_images_as_its_own_weights_expect(name, mean):
    pytest.importorskip("timm")
    recipe = dataclasses.replace(RECIPES["quick"], image_encoder=name)
    assert choose_preprocess(recipe).mean == mean
