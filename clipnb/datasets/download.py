"""Download files, resumed after a break, and Flickr8k: two archives, checked, unpacked safely."""

import errno
import http.client
import lzma
import os
import shutil
import stat
import struct
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import Any

from clipnb.datasets.folders import read_dataset_folder
from clipnb.places import check_path, display_value
from clipnb.run_lock import find_lock, lock_path
from clipnb.runtime import progress, replace_when_done

BASE_URL = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k"
ARCHIVES = {  # the folder that each archive becomes
    "Flickr8k_Dataset.zip": "Flicker8k_Dataset",
    "Flickr8k_text.zip": "Flickr8k_text",
}
TRIES = 4  # for each archive
PAUSE = 2.0  # seconds before the second try; doubled before each further one
TIMEOUT = 30.0  # seconds without any data
MOST_UNPACKED = 4_000_000_000  # bytes; Flickr8k's larger archive holds 1.1 GB
ENCRYPTED = 1  # the bit of the flags of a member that says so
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
DISK_ERRORS = DISK_FULL | {errno.EACCES, errno.EPERM, errno.EROFS}
DAMAGES = (  # what `zipfile` raises for damaged archives
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError,
    ValueError,
)  # fmt: skip
# What the system says of members that no disk could hold; damage in bzip2 has no number.
IMPOSSIBLE = {
    None, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ,
}  # fmt: skip
WORTH_ANOTHER_TRY = {408, 416, 429}  # HTTP errors; those of 500 and above are too

TERMS = """\
Flickr8k is for research and teaching, not for commercial use. The photos belong to the people who
put them on Flickr: do not publish them or pass them on. If you use the dataset, cite: M. Hodosh,
P. Young and J. Hockenmaier (2013), "Framing Image Description as a Ranking Task: Data, Models and
Evaluation Metrics", Journal of Artificial Intelligence Research 47, 853-899."""


class DownloadError(RuntimeError):
    """A download that did not succeed; the message says why and what to do."""


class RefuseDowngrade(urllib.request.HTTPRedirectHandler):
    """Redirects are followed, but never from https to what anybody on the way can change."""

    def redirect_request(
        self, request: urllib.request.Request, *answer: Any
    ) -> urllib.request.Request | None:
        """Return the request that follows a redirect. Raises DownloadError if that is not https."""
        new = super().redirect_request(request, *answer)
        if new and request.type == "https" and new.type != "https":
            raise DownloadError(
                f"{request.full_url} leads to {new.full_url}, which is not encrypted. Nothing was "
                "fetched from there; try again in another network."
            )
        return new


OPENER = urllib.request.build_opener(RefuseDowngrade)


def download_flickr8k(target: str | Path, base_url: str = BASE_URL) -> None:
    """Download Flickr8k into the folder `target`, unless it is there already.

    It makes `target/Flicker8k_Dataset/` and `target/Flickr8k_text/`. The next call resumes an
    interrupted download. The publishers give no checksums of the archives, but the CRC-32 of every
    member is checked. Raises DownloadError, and as `check_path` does for a path that cannot be.
    """
    target = check_path(target)
    missing = [name for name in ARCHIVES if not is_complete(target, name)]
    if not missing:
        print(f"Flickr8k is already in {target}: {describe_flickr8k(target)}; nothing to do.")
        return
    print(TERMS)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in missing:
            with lock_path(target / name, f"downloading {name} into {target}"):
                bring(f"{base_url.rstrip('/')}/{name}", target / name, target / ARCHIVES[name])
    except OSError as error:
        raise DownloadError(_explain_disk_error(error, target)) from error
    print(f"Flickr8k is ready in {target}: {describe_flickr8k(target)}.")


def is_complete(target: Path, name: str) -> bool:
    """Tell whether an archive is unpacked, and no process works at it or was killed in doing so."""
    return (target / ARCHIVES[name]).is_dir() and not find_lock(target / name).exists()


def bring(url: str, archive: Path, folder: Path) -> None:
    """Download an archive and unpack it, unless another process has done so meanwhile."""
    if not folder.is_dir():
        if not archive.exists():  # it does when a full disk interrupted the unpacking
            fetch(url, archive)
        unpack(archive, folder)
    archive.unlink(missing_ok=True)  # also one that a killed process has unpacked


def describe_flickr8k(target: Path) -> str:
    """Say how many images are there, and in which splits. Raises DownloadError if few are."""
    try:
        data = read_dataset_folder(target)
    except (OSError, ValueError) as error:
        names = " and ".join(ARCHIVES.values())
        raise DownloadError(
            f"{target} holds Flickr8k in part ({str(error).splitlines()[0]}). Delete {names} there "
            "and run the same command again."
        ) from error
    sizes = ", ".join(f"{len(names):,} {split}" for split, names in data.splits.items())
    return f"{len(data.image_paths):,} images ({sizes}; {data.split_source})"


def _explain_disk_error(error: OSError, target: Path) -> str:
    """Say what an error of the disk means, and what to do."""
    if error.errno not in DISK_FULL:
        return (
            f"cannot write to {target}: {error.strerror or error}. Choose another place with "
            "--data-dir or CLIPNB_DATA."
        )
    free = shutil.disk_usage(target).free / 1e9
    return (
        f"the disk is full: {free:.1f} GB are free at {target}. Flickr8k takes about 1.1 GB, and "
        "twice that while it is unpacked. What has arrived is kept there. To go on from where it "
        "stopped, make room and run the same command again."
    )


# ---- download --------------------------------------------------------------------------------


def fetch(url: str, path: Path) -> None:
    """Download a file. Raises DownloadError after a few tries.

    It is written as `path`.part first. That file survives failures and is resumed.
    """
    part = path.with_name(f"{path.name}.part")
    problem = ""
    for attempt in range(TRIES):
        if attempt > 0:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        problem = _try_to_receive(url, part)
        if not problem:
            find_tag_file(part).unlink(missing_ok=True)  # first, so that a kill leaves none behind
            os.replace(part, path)
            return
    raise DownloadError(
        f"{url}: {problem}, {TRIES} times. {get_size(part) / 1e6:.1f} MB are kept in {part}; run "
        "the same command again and it goes on from there."
    )


def _try_to_receive(url: str, part: Path) -> str:
    """Try once to complete a .part file. Returns what went wrong, "" if nothing did.

    Raises DownloadError if another try would not help, and OSError if the disk fails.
    """
    try:
        return "" if receive(url, part) else "the connection ended early"
    except urllib.error.HTTPError as error:
        problem = f"the server answers {error.code} {error.reason}"
        if error.code >= 500 or error.code in WORTH_ANOTHER_TRY:
            return problem
        name = url.rsplit("/", 1)[-1]
        raise DownloadError(
            f"{url}: {problem}. The file may have moved: look for {name} elsewhere and put it into "
            f"{part.parent}, as data/README.md shows."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        if getattr(error, "errno", None) in DISK_ERRORS:
            raise
        reason = getattr(error, "reason", None) or error or type(error).__name__
        return f"the connection failed ({reason})"


def receive(url: str, part: Path) -> bool:
    """Append to a .part file what it lacks, or start anew if the server cannot resume.

    Returns whether the file is complete.
    """
    have = get_size(part)
    try:
        request = _make_request(url, part, have)
        response = OPENER.open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the server has nothing beyond what we have
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return True
            part.unlink(missing_ok=True)  # it is not the beginning of this file
        raise
    with response:
        content_range = response.headers.get("Content-Range") or ""
        if response.status != 206:  # the server ignores ranges, or the file has changed
            have = 0
            part.unlink(missing_ok=True)  # before the tag of the new file is noted
        elif not content_range.startswith(f"bytes {have}-"):
            part.unlink(missing_ok=True)  # the server sends another range than we asked for
            return False
        remember_tag(part, response.headers.get("ETag") or response.headers.get("Last-Modified"))
        return _append(response, part, have)


def _make_request(url: str, part: Path, have: int) -> urllib.request.Request:
    """Ask for the bytes of a file from number `have` on."""
    headers = {"User-Agent": "clipnb"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (our own URL, or a test's)
    if have:
        request.add_header("Range", f"bytes={have}-")
        if find_tag_file(part).exists():  # "if the file has changed, send it whole"
            request.add_header("If-Range", find_tag_file(part).read_text())
    return request


def _append(response: http.client.HTTPResponse, part: Path, have: int) -> bool:
    """Write a response after the first `have` bytes. Returns whether all of it has arrived."""
    length = response.headers.get("Content-Length")
    total = have + int(length) if length else None
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


def get_size(part: Path) -> int:
    """Return the size of a file in bytes, 0 if there is none."""
    return part.stat().st_size if part.exists() else 0


def find_tag_file(part: Path) -> Path:
    """Return the file that keeps the server's version tag of a .part file between two calls."""
    return part.with_name(f"{part.name}.etag")


def remember_tag(part: Path, tag: str | None) -> None:
    """Keep a version tag for If-Range, where weak tags (W/...) are not allowed."""
    if tag and not tag.startswith("W/"):
        find_tag_file(part).write_text(tag)
    else:
        find_tag_file(part).unlink(missing_ok=True)


# ---- unpack ----------------------------------------------------------------------------------


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip archive to `folder`, whole or not at all.

    A leading directory with the name of `folder` is left out, and so are the extra files of macOS.
    Reading a member to its end checks its CRC-32, so a separate `testzip` is not needed: it would
    read 1 GB a second time.

    A damaged or unsafe archive is deleted and DownloadError is raised.
    """
    try:
        _unpack_members(archive, folder)
    except DAMAGES as error:
        archive.unlink()
        raise DownloadError(
            f"{archive.name} is damaged ({error}) and has been deleted; run the same command to "
            "download it again."
        ) from error
    except DownloadError:
        archive.unlink()
        raise


def _unpack_members(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed, replace_when_done(folder) as temporary:
        temporary.mkdir()
        # All paths are checked before anything is written.
        members = [(info, split_member_path(archive, info)) for info in packed.infolist()]
        check_size(archive, packed.infolist(), folder)
        for info, parts in progress(members, desc=f"unpacking {archive.name}"):
            if parts[0] == folder.name:
                parts = parts[1:]
            if info.is_dir() or not parts or "__MACOSX" in parts or parts[-1] == ".DS_Store":
                continue
            path = temporary.joinpath(*parts)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(info) as source, open(path, "wb") as file:
                    shutil.copyfileobj(source, file)
            except OSError as error:
                if error.errno not in IMPOSSIBLE:
                    raise
                problem = f"{display_value(info.filename)}: {error.strerror or error}"
                raise zipfile.BadZipFile(problem) from error


def check_size(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    """Raise DownloadError if an archive claims to hold far more than it should.

    No member can give more than it claims: `zipfile` stops there, and the CRC-32 is wrong. Raises
    OSError if there is too little space.
    """
    n_bytes = sum(info.file_size for info in members)
    if n_bytes > MOST_UNPACKED:
        raise DownloadError(
            f"{archive.name} would take {n_bytes / 1e9:,.0f} GB: this is not the archive it should "
            "be. It has been deleted, and nothing of it was unpacked."
        )
    if n_bytes > shutil.disk_usage(folder.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def split_member_path(archive: Path, info: zipfile.ZipInfo) -> list[str]:
    """Split the path of a zip member into its parts.

    Raises DownloadError if the path is absolute, has a drive letter or "..", if it is a symbolic
    link, or if the member is encrypted.
    """
    # The name as stored, because systems differ in what a backslash means.
    name = info.orig_filename.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or ":" in name or "\0" in name or not parts:
        problem = "would be written outside of its folder"
    elif stat.S_ISLNK(info.external_attr >> 16):
        problem = "is a link"
    elif info.flag_bits & ENCRYPTED:
        problem = "is encrypted"
    else:
        return parts
    raise DownloadError(
        f"{archive.name} holds {name!r}, which {problem}: this is not the archive it should be. It "
        "has been deleted, and nothing of it was unpacked."
    )
