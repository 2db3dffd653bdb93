"""Archives that are damaged, mean harm or do not fit on the disk; nothing of them stays."""

import errno
import random
import shutil
import zipfile

import pytest
from download_parts import WHOLE, list_files, make_archives, zip_bytes

from clipnb.datasets import download
from clipnb.datasets.download import DownloadError, download_flickr8k, unpack


def flip_byte(content):
    """Return the archive with one byte changed in the middle of a photo."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def cut_off(content):
    return content[:-5000]


def replace_by_page(content):
    return b"<html>Please log in</html>"


@pytest.mark.parametrize("damage", [flip_byte, cut_off, replace_by_page])
def test_damaged_archive_is_deleted(archive_server, tmp_path, damage):
    whole = archive_server.files["/Flickr8k_Dataset.zip"]
    archive_server.files["/Flickr8k_Dataset.zip"] = damage(whole)
    with pytest.raises(DownloadError, match="Flickr8k_Dataset.zip is damaged .* deleted"):
        download_flickr8k(tmp_path, archive_server.url)
    assert list_files(tmp_path) == []
    archive_server.files = make_archives()
    download_flickr8k(tmp_path, archive_server.url)
    assert list_files(tmp_path) == WHOLE


def test_disk_full_while_unpacking_keeps_the_archive(archive_server, tmp_path, monkeypatch):
    def full(source, file):
        file.write(b"something")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "copyfileobj", full)
        with pytest.raises(DownloadError, match="disk is full"):
            download_flickr8k(tmp_path, archive_server.url)
    assert list_files(tmp_path) == ["Flickr8k_Dataset.zip"]
    download_flickr8k(tmp_path, archive_server.url)
    fetched = [path for path, _ in archive_server.requests]
    assert fetched == ["/Flickr8k_Dataset.zip", "/Flickr8k_text.zip"]  # neither of them twice
    assert list_files(tmp_path) == WHOLE


def link_member():
    """Make a symbolic link as zip archives store it: its mode says link, its content where to."""
    info = zipfile.ZipInfo("Flicker8k_Dataset/link.jpg")
    info.create_system = 3  # Unix
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    "member",
    [
        "../evil.txt",
        "Flicker8k_Dataset/../../evil.txt",
        "/evil.txt",
        "..\\evil.txt",
        "C:/evil.txt",
        "Flicker8k_Dataset/C:/evil.txt",
        link_member(),
    ],
    ids=str,
)
def test_no_member_may_leave_the_target(archive_server, tmp_path, member):
    members = [("Flicker8k_Dataset/0_x.jpg", "fine"), (member, "/etc/passwd")]
    archive_server.files["/Flickr8k_Dataset.zip"] = zip_bytes(members)
    with pytest.raises(DownloadError, match="outside of its folder|is a link"):
        download_flickr8k(tmp_path / "data" / "flickr8k", archive_server.url)
    assert list_files(tmp_path) == []


def set_in_directory(content, place, value):
    """Change bytes of the first entry in the directory at the end of a zip archive."""
    start = content.index(b"PK\1\2") + place
    return content[:start] + value + content[start + len(value) :]


@pytest.mark.parametrize(
    "place, value, message",
    [
        (8, b"\1\0", "is encrypted"),
        (24, (2**32 - 2).to_bytes(4, "little"), "would take 4 GB"),  # it holds 100 bytes
        (16, b"\0\0\0\0", "is damaged .Bad CRC-32"),
        (24, b"\12\0\0\0", "is damaged"),  # it holds more than it claims
    ],
    ids=["encrypted", "a bomb", "a wrong CRC-32", "a hidden bomb"],
)
def test_an_archive_that_is_not_what_it_should_be(archive_server, tmp_path, place, value, message):
    archive = zip_bytes([("Flicker8k_Dataset/0_x.jpg", "x" * 100)])
    archive_server.files["/Flickr8k_Dataset.zip"] = set_in_directory(archive, place, value)
    with pytest.raises(DownloadError, match=message):
        download_flickr8k(tmp_path / "flickr8k", archive_server.url)
    assert list_files(tmp_path) == []


def test_space_is_checked_before_anything_is_unpacked(archive_server, tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(DownloadError, match="the disk is full"):
        download_flickr8k(tmp_path, archive_server.url)
    assert list_files(tmp_path) == ["Flickr8k_Dataset.zip"]


def flip_content(content):
    """Change what lies in the first member of an archive."""
    return bytes(byte ^ 90 if 60 <= i < 900 else byte for i, byte in enumerate(content))


def break_name(content):
    return content.replace("café".encode(), b"caf\xff\xfe")


def move_directory(content):
    """Let an archive say that its directory lies beyond its end."""
    start = content.rindex(b"PK\5\6") + 16
    return content[:start] + (2**31).to_bytes(4, "little") + content[start + 4 :]


NOISE = random.Random(0).randbytes(1500)
MEMBERS = {  # {case: (members, how they are compressed, what damages them)}
    "bzip2": ([("a.txt", NOISE)], zipfile.ZIP_BZIP2, flip_content),
    "lzma": ([("a.txt", NOISE)], zipfile.ZIP_LZMA, flip_content),
    "a name in Latin-1": ([("café.txt", "x")], zipfile.ZIP_STORED, break_name),
    "its directory elsewhere": ([("a.txt", "x")], zipfile.ZIP_STORED, move_directory),
    "a file that is a folder": ([("a", "x"), ("a/b", "y")], zipfile.ZIP_STORED, bytes),
    "a folder that is a file": ([("a/b", "x"), ("a", "y")], zipfile.ZIP_STORED, bytes),
    "a long name": ([("n" * 300, "x")], zipfile.ZIP_STORED, bytes),
}


@pytest.mark.parametrize("case", MEMBERS)
def test_whatever_is_wrong_with_an_archive_it_is_told_as_damaged(tmp_path, case):
    members, method, damage = MEMBERS[case]
    archive = tmp_path / "Flickr8k_text.zip"
    with zipfile.ZipFile(archive, "w", method) as packed:
        for name, content in members:
            packed.writestr(name, content)
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(DownloadError, match="Flickr8k_text.zip is damaged .*been deleted") as error:
        unpack(archive, tmp_path / "Flickr8k_text")
    assert "\n" not in str(error.value)
    assert list_files(tmp_path) == []
