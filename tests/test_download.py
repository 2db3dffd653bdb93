"""The downloader against a local server that fails as servers and networks do."""

import errno
import http.client
import io
import urllib.request

import pytest
from download_parts import WHOLE, list_files

from clipnb.datasets import download
from clipnb.datasets.download import DownloadError, download_flickr8k
from clipnb.datasets.folders import read_dataset_folder


def test_whole(archive_server, tmp_path, capsys):
    download_flickr8k(tmp_path / "flickr8k", archive_server.url)
    assert list_files(tmp_path / "flickr8k") == WHOLE
    assert len(read_dataset_folder(tmp_path / "flickr8k").image_paths) == 10
    printed = capsys.readouterr().out
    assert "Hodosh" in printed
    assert "research" in printed
    assert "10 images (6 train, 2 dev, 2 test" in printed


def test_second_call_does_nothing(archive_server, tmp_path, capsys):
    download_flickr8k(tmp_path, archive_server.url)
    n_requests = len(archive_server.requests)
    capsys.readouterr()
    download_flickr8k(tmp_path, archive_server.url)
    assert len(archive_server.requests) == n_requests
    assert f"already in {tmp_path}: 10 images (6 train" in capsys.readouterr().out


def test_early_end_is_resumed_by_the_same_call(archive_server, tmp_path):
    archive_server.cut_after = [100_000, 150_000]
    download_flickr8k(tmp_path, archive_server.url)
    assert list_files(tmp_path) == WHOLE
    ranges = [wanted for _, wanted in archive_server.requests[:3]]
    assert ranges == [None, "bytes=100000-", "bytes=250000-"]
    whole = sum(len(content) for content in archive_server.files.values())
    assert archive_server.bytes_sent == whole  # none twice


def test_connection_reset_in_the_middle(archive_server, tmp_path):
    archive_server.cut_after = [100_000, 100_000]
    archive_server.reset = True
    download_flickr8k(tmp_path, archive_server.url)
    assert list_files(tmp_path) == WHOLE


def test_interrupted_then_resumed_by_the_next_call(archive_server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    archive_server.cut_after = [300_000]
    with pytest.raises(DownloadError, match="run the same command again"):
        download_flickr8k(tmp_path, archive_server.url)
    assert (tmp_path / "Flickr8k_Dataset.zip.part").stat().st_size == 300_000
    download_flickr8k(tmp_path, archive_server.url)
    assert archive_server.requests[1] == ("/Flickr8k_Dataset.zip", "bytes=300000-")
    assert archive_server.bytes_sent < 2 * len(archive_server.files["/Flickr8k_Dataset.zip"])
    assert list_files(tmp_path) == WHOLE


class InterruptedFile(io.FileIO):
    """A file during whose first write the reader presses Ctrl-C."""

    def write(self, block):
        super().write(block)
        raise KeyboardInterrupt


def test_ctrl_c_keeps_what_has_arrived(archive_server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(download, "open", InterruptedFile, raising=False)
        with pytest.raises(KeyboardInterrupt):
            download_flickr8k(tmp_path, archive_server.url)
    have = (tmp_path / "Flickr8k_Dataset.zip.part").stat().st_size
    download_flickr8k(tmp_path, archive_server.url)
    assert have > 0
    assert archive_server.requests[1][1] == f"bytes={have}-"
    assert list_files(tmp_path) == WHOLE


@pytest.mark.parametrize("change", ["ranges are ignored", "the file has changed"])
def test_starts_anew_when_it_cannot_resume(archive_server, tmp_path, change):
    (tmp_path / "Flickr8k_Dataset.zip.part").write_bytes(b"x" * 50_000)
    (tmp_path / "Flickr8k_Dataset.zip.part.etag").write_text('"v0"')
    archive_server.honour_range = change != "ranges are ignored"
    download_flickr8k(tmp_path, archive_server.url)
    assert archive_server.requests[0][1] == "bytes=50000-"
    assert list_files(tmp_path) == WHOLE


def test_a_kill_after_the_tag_of_a_changed_file_mixes_no_two_files(
    archive_server, tmp_path, monkeypatch
):
    (tmp_path / "Flickr8k_Dataset.zip.part").write_bytes(b"x" * 50_000)
    (tmp_path / "Flickr8k_Dataset.zip.part.etag").write_text('"v0"')

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(download, "_append", stop)
        with pytest.raises(KeyboardInterrupt):
            download_flickr8k(tmp_path, archive_server.url)
    download_flickr8k(tmp_path, archive_server.url)
    assert list_files(tmp_path) == WHOLE


@pytest.mark.parametrize("was_killed", [True, False])
def test_an_archive_that_a_killed_process_has_unpacked_is_removed_and_a_reader_s_own_stays(
    archive_server, tmp_path, was_killed
):
    download_flickr8k(tmp_path, archive_server.url)
    archive = tmp_path / "Flickr8k_Dataset.zip"
    archive.write_bytes(b"as it arrived")
    if was_killed:
        (tmp_path / ".Flickr8k_Dataset.zip.lock").touch()
    download_flickr8k(tmp_path, archive_server.url)
    assert archive.exists() != was_killed
    assert not list(tmp_path.glob(".*"))


def test_a_busy_server_is_asked_again(archive_server, tmp_path):
    archive_server.busy = 2
    download_flickr8k(tmp_path, archive_server.url)
    assert list_files(tmp_path) == WHOLE


def test_another_range_than_asked_for_is_not_appended(archive_server, tmp_path):
    beginning = archive_server.files["/Flickr8k_Dataset.zip"][:1000]
    (tmp_path / "Flickr8k_Dataset.zip.part").write_bytes(beginning)
    archive_server.wrong_range = True
    download_flickr8k(tmp_path, archive_server.url)
    assert list_files(tmp_path) == WHOLE


def test_part_file_that_was_already_whole(archive_server, tmp_path):
    (tmp_path / "Flickr8k_Dataset.zip.part").write_bytes(
        archive_server.files["/Flickr8k_Dataset.zip"]
    )
    download_flickr8k(tmp_path, archive_server.url)
    assert list_files(tmp_path) == WHOLE
    assert archive_server.bytes_sent == len(archive_server.files["/Flickr8k_text.zip"])


def test_part_file_longer_than_the_file(archive_server, tmp_path):
    (tmp_path / "Flickr8k_text.zip.part").write_bytes(b"x" * 1_000_000)
    download_flickr8k(tmp_path, archive_server.url)
    assert list_files(tmp_path) == WHOLE


def test_404_is_said_at_once(archive_server, tmp_path):
    archive_server.files = {}
    with pytest.raises(DownloadError, match="404 .* may have moved: look for Flickr8k_Dataset.zip"):
        download_flickr8k(tmp_path, archive_server.url)
    assert len(archive_server.requests) == 1
    assert list_files(tmp_path) == []


def test_404_of_another_file_says_nothing_of_flickr8k(archive_server, tmp_path):
    with pytest.raises(DownloadError) as caught:
        download.fetch(
            f"{archive_server.url}models/ViT-B-32.pt", tmp_path / "ViT-B-32.pt.unchecked"
        )
    assert f"look for ViT-B-32.pt elsewhere and put it into {tmp_path}," in str(caught.value)
    assert "Flickr8k" not in str(caught.value)


def test_no_server_at_all(archive_server, tmp_path):
    with pytest.raises(DownloadError, match="the connection failed .* run the same command again"):
        download_flickr8k(tmp_path, "http://127.0.0.1:1/")


class FullDisk(io.FileIO):
    """A file on a disk with room for 100,000 bytes."""

    def write(self, block):
        room = 100_000 - self.tell()
        if len(block) > room:
            super().write(block[:room])
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(block)


def test_disk_full_while_downloading(archive_server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(download, "open", FullDisk, raising=False)
        with pytest.raises(DownloadError, match="disk is full.*1.1 GB.*make room"):
            download_flickr8k(tmp_path, archive_server.url)
    assert (tmp_path / "Flickr8k_Dataset.zip.part").stat().st_size == 100_000
    download_flickr8k(tmp_path, archive_server.url)
    assert archive_server.requests[1][1] == "bytes=100000-"
    assert list_files(tmp_path) == WHOLE


def test_target_that_cannot_be_written(archive_server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot write to .*--data-dir"):
        download_flickr8k(tmp_path / "file", archive_server.url)
    with pytest.raises(NotADirectoryError, match="file is a file, not a folder. Choose another"):
        download_flickr8k(tmp_path / "file" / "flickr8k", archive_server.url)


def test_a_part_of_flickr8k_is_not_called_complete(archive_server, tmp_path):
    download_flickr8k(tmp_path, archive_server.url)
    for path in sorted((tmp_path / "Flicker8k_Dataset").iterdir())[2:]:
        path.unlink()
    with pytest.raises(DownloadError, match="in part .*Delete Flicker8k_Dataset and Flickr8k_text"):
        download_flickr8k(tmp_path, archive_server.url)


def test_a_redirect_never_leads_from_https_to_http():
    handler, headers = download.RefuseDowngrade(), http.client.HTTPMessage()
    request = urllib.request.Request("https://host/a.zip")
    with pytest.raises(download.DownloadError, match=r"https://host/a.zip leads to http://other/b"):
        handler.redirect_request(request, None, 302, "Found", headers, "http://other/b.zip")
    new = handler.redirect_request(request, None, 302, "Found", headers, "https://other/b.zip")
    assert new.full_url == "https://other/b.zip"
