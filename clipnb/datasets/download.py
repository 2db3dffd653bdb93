"""Download Flickr8k: two archives, resumable, checked, unpacked safely, and in place whole or not at all."""

import errno
import hashlib
import http.client
import os
import shutil
import stat
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path

from clipnb.datasets.folders import read_dataset_folder
from clipnb.runtime import progress, replace_when_done

BASE_URL = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k"
ARCHIVES = {
    "Flickr8k_Dataset.zip": "Flicker8k_Dataset",
    "Flickr8k_text.zip": "Flickr8k_text",
}  # archive -> folder it becomes
TRIES, PAUSE, TIMEOUT = (
    4,
    2.0,
    30.0,
)  # attempts per archive; seconds before the second (then doubled); seconds of silence
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}

TERMS = """\
Flickr8k is for research and teaching, not for commercial use. The photos belong to the people who put them on Flickr: do not
publish or pass them on. If you use it, cite: M. Hodosh, P. Young and J. Hockenmaier (2013), "Framing Image Description as a
Ranking Task: Data, Models and Evaluation Metrics", Journal of Artificial Intelligence Research 47, 853-899."""


class DownloadError(RuntimeError):
    """A download that did not succeed; the message says why and what to do."""


def download_flickr8k(target, base_url=BASE_URL, checksums=None):
    """Bring Flickr8k into the folder `target`: `target/Flicker8k_Dataset/` and `target/Flickr8k_text/`; does nothing if they are there.

    An interrupted download is resumed by the next call. checksums: optional dict archive name -> SHA-256 in hexadecimal; every
    file's CRC-32 inside the archives is checked in any case. Raises DownloadError.
    """
    target = Path(target)
    missing = [name for name, folder in ARCHIVES.items() if not (target / folder).is_dir()]
    if not missing:
        print(f"Flickr8k is already complete in {target}; nothing to do.")
        return
    print(TERMS)
    try:
        for name in missing:
            archive = target / name
            target.mkdir(parents=True, exist_ok=True)
            if not archive.exists():  # it does when a full disk interrupted the unpacking
                fetch(f"{base_url.rstrip('/')}/{name}", archive)
            check(archive, (checksums or {}).get(name))
            unpack(archive, target / ARCHIVES[name])
            archive.unlink()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                f"cannot write to {target}: {error}. Choose another place with --data-dir or CLIPNB_DATA."
            ) from error
        free = shutil.disk_usage(target).free / 1e9
        raise DownloadError(
            f"the disk is full: {free:.1f} GB are free at {target}. Flickr8k takes about 1.1 GB, and twice that while it is unpacked. "
            "What has arrived is kept there; make room and run the same command again, it goes on from where it stopped."
        ) from error
    data = read_dataset_folder(target)
    sizes = ", ".join(f"{len(names):,} {split}" for split, names in data.splits.items())
    print(
        f"Flickr8k is ready in {target}: {len(data.image_paths):,} images ({sizes}; {data.split_source})."
    )


def fetch(url, path):
    """Download `url` to `path` by way of `path`.part, which survives failures and is resumed; a few tries, then DownloadError."""
    part, problem = path.with_name(path.name + ".part"), ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            if receive(url, part):
                os.replace(part, path)
                tag_file(part).unlink(missing_ok=True)
                return
            problem = "the connection ended early"
        except urllib.error.HTTPError as error:
            problem = f"the server answers {error.code} {error.reason}"
            if error.code < 500 and error.code not in (
                408,
                416,
                429,
            ):  # asking again would not help
                raise DownloadError(
                    f"{url}: {problem}. The archives may have moved: look for Flickr8k_Dataset.zip and "
                    f"Flickr8k_text.zip, or Kaggle's Flickr8k, and unpack into {path.parent} as data/README.md shows."
                ) from error
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in DISK_ERRORS:
                raise
            problem = f"the connection failed ({getattr(error, 'reason', None) or error or type(error).__name__})"
    have = part.stat().st_size if part.exists() else 0
    raise DownloadError(
        f"{url}: {problem}, {TRIES} times. {have / 1e6:.1f} MB are kept in {part}; "
        "run the same command again and it goes on from there."
    )


def receive(url, part):
    """One attempt: append what `part` lacks of `url`, or start anew when the server cannot resume. True when it is complete."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "clipnb"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if tag_file(part).exists():  # "only if it is still the same file, else send it whole"
            request.add_header("If-Range", tag_file(part).read_text())
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if (
            error.code == 416
        ):  # nothing lies beyond what we have: either it is complete, or it is not this file's beginning
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return True
            part.unlink(missing_ok=True)
        raise
    with response:
        if response.status != 206 or not (response.headers.get("Content-Range") or "").startswith(
            f"bytes {have}-"
        ):
            if response.status == 206:
                part.unlink(missing_ok=True)
                return False
            have = 0  # the server ignores ranges, or the file has changed
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        remember_tag(part, response.headers.get("ETag") or response.headers.get("Last-Modified"))
        title = part.name.removesuffix(".part")
        with (
            open(part, "ab" if have else "wb") as file,
            progress(total=total, initial=have, unit="B", unit_scale=True, desc=title) as bar,
        ):
            while block := response.read(1 << 16):
                file.write(block)
                have += len(block)
                bar.update(len(block))
    return total is None or have == total


def tag_file(part):
    """Where the server's version mark of a .part file is kept between two runs."""
    return part.with_name(part.name + ".etag")


def remember_tag(part, tag):
    """Keep the version mark for If-Range; weak ones (W/...) are not allowed there."""
    if tag and not tag.startswith("W/"):
        tag_file(part).write_text(tag)
    else:
        tag_file(part).unlink(missing_ok=True)


def check(archive, sha256):
    """Compare the archive with a known SHA-256 (None: not known); a wrong one is deleted and DownloadError raised."""
    if sha256 is None:
        return
    with open(archive, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        archive.unlink()
        raise DownloadError(
            f"{archive.name} is not the file expected: its SHA-256 is {found}, not {sha256}. It has been deleted; "
            "run the same command to download it again."
        )


def unpack(archive, folder):
    """Unpack a zip archive to `folder`, whole or not at all; a damaged or unsafe archive is deleted and DownloadError raised.

    A leading directory named as `folder` is left out, and macOS's leftovers are. Reading a member to its end compares its
    CRC-32, so that a separate `testzip` (a second pass over 1 GB) is not needed.
    """
    try:
        with zipfile.ZipFile(archive) as packed, replace_when_done(folder) as temporary:
            temporary.mkdir()
            members = [
                (info, safe_path(archive, info)) for info in packed.infolist()
            ]  # all are judged before anything is written
            for info, parts in progress(members, desc=f"unpacking {archive.name}"):
                parts = parts[1:] if parts[0] == folder.name else parts
                if info.is_dir() or not parts or "__MACOSX" in parts or parts[-1] == ".DS_Store":
                    continue
                path = temporary.joinpath(*parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(info) as source, open(path, "wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        archive.unlink()
        raise DownloadError(
            f"{archive.name} is damaged ({error}) and has been deleted; run the same command to download it again."
        ) from error
    except DownloadError:
        archive.unlink()
        raise


def safe_path(archive, info):
    """The parts of a zip member's path; DownloadError if it is absolute, has a drive letter or "..", or is a symbolic link."""
    name = info.orig_filename.replace(
        "\\", "/"
    )  # the name as stored: what a backslash means differs between systems
    parts = [part for part in name.split("/") if part not in ("", ".")]
    outside = name.startswith("/") or ".." in parts or ":" in name or "\0" in name or not parts
    if outside or stat.S_ISLNK(info.external_attr >> 16):
        raise DownloadError(
            f"{archive.name} holds {name!r}, which {'would be written outside of its folder' if outside else 'is a link'}: "
            "this is not the archive it should be. It has been deleted, and nothing of it unpacked."
        )
    return parts
