"""A reader's own folder for the tests: draw its images, write its captions, read it."""

from PIL import Image

from clipnb.datasets.folders import describe_left_out, read_dataset_folder


def draw(folder, *names, size=(8, 6)):
    """Draw a small image for each name, each of another colour."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (i * 12 % 256, 100, 200)).save(path)


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding, newline="\n")


def read(folder):
    """Read a folder. Return {image name: captions}, and the phrases about what is left out."""
    data = read_dataset_folder(folder)
    return data.captions, describe_left_out(data.dropped)
