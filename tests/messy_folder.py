"""A folder of photos as people have them: every format, every fault, and hundreds of files."""

import contextlib
import functools
import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from clipnb import scenes

ODD_NAMES = [
    "beach \N{BEACH WITH UMBRELLA}.jpg",
    "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED} \N{ARABIC LETTER MEEM}.jpg",  # right to left
    "<script>alert(1)<script>.jpg",
    "<img src=x onerror=alert(1)>.jpg",
    "quotes \" ' & percent %20 #0.jpg",
    "e\N{COMBINING ACUTE ACCENT}te\N{COMBINING ACUTE ACCENT}.jpg",
    f"{'long ' * 45}.jpg",
    "two\nlines.jpg",
    "UPPER.JPG",
]
USUAL_FORMATS = {  # suffix: options of Pillow
    "jpg": {"quality": 85},
    "jpeg": {"quality": 60},
    "png": {},
    "webp": {"quality": 80},
    "tif": {},
    "bmp": {},
    "gif": {},
}
USUAL_FOLDERS = [".", "2019/summer", "2020", "phone", "with spaces & signs"]
N_DRAWN = 200  # scenes; further ones are these, mirrored and with other colours
ORIENTATION, EXIF_FOLDER, DATE_TIME_ORIGINAL = 0x112, 0x8769, 0x9003


def write_messy_folder(path, n=300, seed=0):
    """Write images of drawn scenes into a new folder, and beside them all that can go wrong.

    n: usual images, in five sub-folders, as JPEG, PNG, WebP, TIFF, BMP and GIF. One in ten is an
    exact copy of the image before it, one in ten is that image as a worse and smaller JPEG.

    Unusual images that can be read: JPEG on its side by EXIF, with a date of 2019, in CMYK, in
    grey, progressive, with broken EXIF; PNG of 16 bits, with a palette and transparency, RGBA, of
    1 bit; TIFF of 32 bits and of fractions, GIF, WebP and PNG with several frames; a panorama; a
    PNG named .jpg; `ODD_NAMES`; a link to a file, and to a folder outside.

    Bad images: text and HTML named as images, truncated files, empty files, 1 x 1 and 1 x 50
    pixels, headers that claim 30,000 x 30,000 pixels, noise inside a JPEG, a named pipe,
    PostScript named .jpg, a name that is no Unicode, raw, SVG, JPEG XL.

    Left out: hidden files and folders, caches of other programs, links that loop, links to
    nowhere, an empty folder, text files, a video.

    The folder outside is `path` with "-elsewhere" at its end. Everything comes from the seed.
    Returns the image ids of the readable images and those of the bad ones, both sorted.
    """
    path = Path(path)
    path.mkdir(parents=True)
    write_usual(path, n, seed)
    write_unusual(path, f"{seed} unusual")  # so that no usual scene comes again
    write_odd_names(path, f"{seed} unusual")
    readable = set(list_ids(path))
    write_bad(path, seed)
    bad = set(list_ids(path)) - readable
    write_left_out(path, seed)
    readable.add(write_links(path, f"{seed} unusual"))
    return sorted(readable), sorted(bad)


def list_ids(path):
    """List all files below a folder, as ids that can be printed."""
    files = [file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()]
    return [file.encode("utf-8", "backslashreplace").decode() for file in files]


def new_file(path, name):
    """Return the path of a new file, and make its folder."""
    file = path / name
    assert file.is_relative_to(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


@functools.cache
def draw_scene(number, seed=0, size=96):
    """Draw a scene as an RGB image. Above `N_DRAWN` an earlier one is mirrored and recoloured."""
    if number < N_DRAWN:
        return scenes.render(scenes.sample_scene(random.Random(f"{seed} {number}")), size)
    image = draw_scene(number % N_DRAWN, seed, size)
    variant = number // N_DRAWN
    if variant % 2:
        image = ImageOps.mirror(image)
    order = [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)][variant // 2 % 6]
    return Image.merge("RGB", [image.getchannel(channel) for channel in order])


def write_usual(path, n, seed):
    suffixes = list(USUAL_FORMATS)
    for i in range(n):
        folder = USUAL_FOLDERS[i % len(USUAL_FOLDERS)]
        if i % 10 == 7:
            file.with_stem(f"{file.stem} copy").write_bytes(file.read_bytes())  # noqa: F821
        elif i % 10 == 9:
            smaller = draw_scene(i - 1, seed).resize((80, 80))
            smaller.save(new_file(path, f"{folder}/{i:05d} sent.jpg"), quality=50)
        else:
            suffix = suffixes[i % len(suffixes)]
            file = new_file(path, f"{folder}/{i:05d}.{suffix}")
            draw_scene(i, seed).save(file, **USUAL_FORMATS[suffix])


def write_unusual(path, seed):
    folder = new_file(path, "unusual/x").parent
    image = draw_scene(10, seed)
    wide = draw_scene(11, seed).crop((0, 10, 96, 70))
    grey = np.asarray(image.convert("L"))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    wide.save(folder / "on its side.jpg", exif=exif)
    wide.save(folder / "on its side.webp", exif=exif)
    wide.save(folder / "on its side.png", exif=exif)
    exif = Image.Exif()
    exif[EXIF_FOLDER] = {DATE_TIME_ORIGINAL: "2019:05:03 10:20:30"}
    draw_scene(12, seed).save(folder / "of 2019.jpg", exif=exif)
    exif[EXIF_FOLDER] = {DATE_TIME_ORIGINAL: "0000:00:00 00:00:00"}
    draw_scene(13, seed).save(folder / "without a date.jpg", exif=exif)
    draw_scene(14, seed).save(folder / "broken exif.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    draw_scene(15, seed).convert("CMYK").save(folder / "cmyk.jpg")
    draw_scene(16, seed).convert("L").save(folder / "grey.jpg")
    draw_scene(17, seed).save(folder / "progressive.jpg", progressive=True)
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "16 bits.png")
    Image.fromarray(grey.astype(np.int32) * 257).save(folder / "32 bits.tif")
    Image.fromarray(grey.astype(np.float32) / 255).save(folder / "fractions.tiff")
    draw_scene(18, seed).convert("1").save(folder / "1 bit.png")
    palette = draw_scene(19, seed).quantize(32)
    palette.save(folder / "palette.png", transparency=palette.getpixel((0, 0)))
    rgba = draw_scene(20, seed).convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(rgba.size))
    rgba.save(folder / "rgba.png")
    frames = [draw_scene(number, seed) for number in (21, 22, 23)]
    for suffix in ("gif", "webp", "png"):
        more = {"save_all": True, "append_images": frames[1:], "duration": 100}
        frames[0].save(folder / f"several frames.{suffix}", **more)
    panorama = [np.asarray(draw_scene(number, seed)) for number in range(24, 34)]
    Image.fromarray(np.concatenate(panorama, axis=1)).save(folder / "panorama.jpg")
    draw_scene(34, seed).save(folder / "a png.jpg", "PNG")
    draw_scene(35, seed, 1600).save(folder / "large.jpg")


def write_odd_names(path, seed):
    for number, name in enumerate(ODD_NAMES):
        draw_scene(40 + number, seed).save(new_file(path, f"names/{name}"))


def encode(image, form="JPEG"):
    """Return an image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def claim_size(width, height):
    """Return a small PNG file whose header claims another size."""
    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)

    def chunk(name, data):
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    data = zlib.compress(bytes(1000))
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write_bad(path, seed):
    folder = new_file(path, "bad/x").parent
    image = draw_scene(50, seed)
    jpeg, png, gif = encode(image), encode(image, "PNG"), encode(image, "GIF")
    noise = random.Random(seed).randbytes(len(png))
    contents = {
        "text.jpg": b"This is no image.\n" * 100,
        "<b>html.png": b"<html><script>alert(1)</script></html>",
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "truncated.png": png[: len(png) // 2],
        "truncated.gif": gif[: len(gif) // 3],
        "header only.jpg": jpeg[:20],
        "empty.jpg": b"",
        "empty.webp": b"",
        "1x1.png": encode(Image.new("RGB", (1, 1)), "PNG"),
        "1x1.gif": encode(Image.new("P", (1, 1)), "GIF"),
        "1x50.png": encode(Image.new("RGB", (1, 50)), "PNG"),
        "bomb.png": claim_size(30_000, 30_000),
        "large bomb.png": claim_size(2**31 - 1, 2**31 - 1),
        "no pixels.png": claim_size(0, 10),
        "noise.png": png[:200] + noise[200:-20] + png[-20:],
        "noise.webp": b"RIFF" + noise[:4] + b"WEBPVP8 " + noise[12:],
        "noise.jpg": noise,
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n",
        "raw.CR2": b"II*\0" + noise,
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "new.jxl": b"\xff\x0a" + noise[:50],
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.jpg")
    with contextlib.suppress(OSError):  # macOS and Windows refuse such a name
        (folder / "no unicode \udcff.jpg").write_bytes(jpeg)


def write_left_out(path, seed):
    jpeg = encode(draw_scene(51, seed))
    for name in [
        ".hidden.jpg",
        "._2019.jpg",
        ".thumbnails/a.jpg",
        "2020/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
        "code/node_modules/logo/a.png",
        "code/__pycache__/a.jpg",
        "Library.photoslibrary/resources/derivatives/a.jpeg",
        "Catalogue Previews.lrdata/a.jpg",
        "$RECYCLE.BIN/a.jpg",
        "notes.txt",
        "film.mp4",
        "Thumbs.db",
        "no suffix",
    ]:
        new_file(path, name).write_bytes(jpeg)
    (path / "empty folder").mkdir()
    (path / "folder.jpg").mkdir()


def write_links(path, seed):
    """Link to a file, to a folder outside, in circles and to nowhere. Returns the id of one."""
    outside = path.with_name(f"{path.name}-elsewhere")
    outside.mkdir()
    draw_scene(52, seed).save(outside / "far away.jpg")
    (path / "linked folder").symlink_to(outside)
    (outside / "back").symlink_to(path)
    (path / "2020/up").symlink_to(path)
    (path / "2020/self").symlink_to(path / "2020/self")
    (path / "gone.jpg").symlink_to(path / "nowhere.jpg")
    (path / "one").mkdir()
    (path / "two").mkdir()
    (path / "one/two").symlink_to(path / "two")
    (path / "two/one").symlink_to(path / "one")
    return "linked folder/far away.jpg"
