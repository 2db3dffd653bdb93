"""The tags of published weights: downloads, checksums, caches, and what is said offline."""

import dataclasses
import functools
import hashlib
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip import pretrained as table
from pretrained_parts import assert_equal, load_quietly, make_theirs
from safetensors.torch import save_file

from clipnb.datasets import download
from clipnb.preprocess import HALF
from clipnb.pretrained import fetch, load_pretrained
from clipnb.pretrained.sources import Source, find_source
from clipnb.runtime import cache_dir
from clipnb.towers import published

pytestmark = pytest.mark.usefixtures("tiny_architectures", "own_home")


# ---- tags ------------------------------------------------------------------------------------


class Handler(SimpleHTTPRequestHandler):
    """A server of a folder, without a log."""

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    """A server of the folder `served`. Its address."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(Handler, directory=tmp_path / "served")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def publish(tmp_path, server, monkeypatch):
    """A function that publishes weights at an address, as OpenAI does, and enters them as a tag."""

    def publish(model, tag, name="Tiny-16", checksum=None, **fields):
        path = tmp_path / "served" / "weights.pt"
        torch.save(model.state_dict(), path)
        checksum = checksum or hashlib.sha256(path.read_bytes()).hexdigest()
        folder = path.parent / "openaipublic" / checksum
        folder.mkdir(parents=True)
        path.rename(folder / "weights.pt")
        entry = table._pcfg(f"{server}/openaipublic/{checksum}/weights.pt", **fields)
        monkeypatch.setitem(table._PRETRAINED, name, {tag: entry})
        return folder / "weights.pt"

    return publish


def list_cache():
    files = [path for path in (cache_dir() / "pretrained").rglob("*") if path.is_file()]
    return sorted(path.relative_to(cache_dir() / "pretrained").as_posix() for path in files)


def test_a_tag_is_downloaded_once(publish):
    theirs = make_theirs("Tiny-16-quickgelu")
    served = publish(theirs, "openai", quick_gelu=True)
    run = load_quietly("Tiny-16", "openai")
    assert_equal(run, theirs)
    assert repr(run) == "Pretrained(Tiny-16/openai)"
    assert run.recipe.name == "Tiny-16/openai"
    assert run.recipe.image_encoder == "clip/Tiny-16-quickgelu"  # OpenAI's always are
    assert run.folder == cache_dir() / "pretrained" / "Tiny-16-openai"
    assert list_cache() == ["Tiny-16-openai/weights.pt"]
    served.unlink()
    assert_equal(load_quietly("Tiny-16", "openai"), theirs)


def test_a_tag_has_one_folder_however_it_is_written(publish):
    publish(make_theirs("Tiny-16"), "laion2b_e16")
    for tag in ("laion2b_e16", "LAION2B-e16"):
        run = load_quietly("Tiny-16", tag)
        assert repr(run) == "Pretrained(Tiny-16/laion2b_e16)"
    assert list_cache() == ["Tiny-16-laion2b_e16/weights.pt"]


def test_a_tag_says_how_images_are_made(publish):
    publish(make_theirs("Tiny-16"), "half", mean=HALF, std=HALF, resize_mode="squash")
    preprocess = load_quietly("Tiny-16", "half").preprocess
    assert (preprocess.mean, preprocess.std, preprocess.crop) == (HALF, HALF, False)
    publish(make_theirs("Tiny-16"), "other", checksum="0" * 64, interpolation="bilinear")
    with pytest.raises(ValueError, match="begins with"):
        load_pretrained("Tiny-16", "other")


def test_images_that_cannot_be_made_are_refused(publish):
    publish(make_theirs("Tiny-16"), "other", resize_mode="longest")
    with pytest.raises(ValueError, match="resize_mode='longest'; clipnb has 'bicubic'"):
        load_pretrained("Tiny-16", "other")


def test_another_tag_keeps_the_activation_of_the_name(publish):
    publish(make_theirs("Tiny-16"), "laion", quick_gelu=True)
    with pytest.warns(UserWarning, match="with QuickGELU, and Tiny-16 has GELU; Tiny-16-quickgelu"):
        run = load_pretrained("Tiny-16", "laion")
    assert_equal(run, make_theirs("Tiny-16"))  # as open_clip, which warns too


def test_a_wrong_download_never_gets_its_name(publish):
    publish(make_theirs("Tiny-16"), "openai", checksum="ab" * 32)
    with pytest.raises(ValueError, match=r"weights.pt.unchecked is not the published file.*abab"):
        load_pretrained("Tiny-16", "openai")
    assert list_cache() == ["Tiny-16-openai/weights.pt.unchecked"]


def test_a_broken_download_leaves_no_file(publish, monkeypatch):
    served = publish(make_theirs("Tiny-16"), "openai", quick_gelu=True)
    receive = download.receive

    def receive_half(url, part):
        part.write_bytes(served.read_bytes()[:1000])
        raise ConnectionResetError("the connection was reset")

    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "receive", receive_half)
    with pytest.raises(download.DownloadError, match="was reset.*run the same command again"):
        load_pretrained("Tiny-16", "openai")
    assert list_cache() == ["Tiny-16-openai/weights.pt.unchecked.part"]
    monkeypatch.setattr(download, "receive", receive)
    assert_equal(load_pretrained("Tiny-16", "openai"), make_theirs("Tiny-16-quickgelu"))
    assert list_cache() == ["Tiny-16-openai/weights.pt"]


@pytest.mark.parametrize("place", ["cache/pretrained/Tiny-16-openai", "home/.cache/clip"])
def test_a_copy_is_found_and_checked(publish, tmp_path, place):
    served = publish(make_theirs("Tiny-16-quickgelu"), "openai", quick_gelu=True)
    copied = tmp_path / place / "weights.pt"
    copied.parent.mkdir(parents=True)
    served.rename(copied)
    assert_equal(load_quietly("Tiny-16", "openai"), make_theirs("Tiny-16-quickgelu"))
    content = copied.read_bytes()
    copied.write_bytes(content[:-100])
    with pytest.raises(ValueError, match=rf"{place}/weights.pt is not the published .*delete"):
        load_pretrained("Tiny-16", "openai")
    assert copied.read_bytes() == content[:-100]


def test_checksums_in_the_addresses():
    url = "https://github.com/x/vit_b_32-quickgelu-laion400m_e32-46683a32.pt"
    source = Source("a", "b", url, "", (), 1, table._pcfg())
    assert source.url_checksum == "46683a32"
    assert source.url_name == "vit_b_32-quickgelu-laion400m_e32-46683a32.pt"
    assert dataclasses.replace(source, url="https://x.com/b32_400m.pt").url_checksum == ""


# ---- the Hugging Face Hub --------------------------------------------------------------------


def fill_hub(tmp_path, model, name="open_clip_model.safetensors"):
    """Put a model into the cache of the Hub as huggingface_hub does. Returns the real file."""
    repository = tmp_path / "hub" / "models--org--tiny"
    for folder in ("blobs", "refs", "snapshots/abc"):
        (repository / folder).mkdir(parents=True)
    save_file(model.state_dict(), repository / "blobs" / "new")
    digest = hashlib.sha256((repository / "blobs" / "new").read_bytes()).hexdigest()
    blob = (repository / "blobs" / "new").rename(repository / "blobs" / digest)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc" / name).symlink_to(blob)
    return blob


@pytest.fixture
def hub_tag(monkeypatch):
    """A tag whose weights are on the Hub alone."""
    entry = table._pcfg(hf_hub="org/tiny/")
    monkeypatch.setitem(table._PRETRAINED, "Tiny-16", {"laion": entry})


def test_the_cache_of_the_hub(hub_tag, tmp_path, monkeypatch):
    from huggingface_hub import constants

    theirs = make_theirs("Tiny-16")
    blob = fill_hub(tmp_path, theirs)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_equal(load_quietly("Tiny-16", "laion"), theirs)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    with pytest.raises(ValueError, match=rf"not the published file.*{blob.name[:8]}"):
        load_pretrained("Tiny-16", "laion")


def test_an_older_repository_has_no_safetensors(hub_tag, tmp_path, monkeypatch):
    import huggingface_hub

    path = tmp_path / "open_clip_pytorch_model.bin"
    torch.save(make_theirs("Tiny-16").state_dict(), path)
    asked = []

    def hf_hub_download(repository, name, **options):
        asked.append((repository, name))
        if name.endswith("safetensors"):
            raise huggingface_hub.errors.EntryNotFoundError("404")
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    monkeypatch.setattr(fetch, "find_problem", lambda url: "")
    assert_equal(load_quietly("Tiny-16", "laion"), make_theirs("Tiny-16"))
    assert asked == [("org/tiny", "open_clip_model.safetensors"), ("org/tiny", path.name)]


def test_the_hub_refuses(hub_tag, monkeypatch):
    import huggingface_hub

    def hf_hub_download(repository, name, **options):
        raise OSError("the disk is full\nand more lines")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    monkeypatch.setattr(fetch, "find_problem", lambda url: "")
    message = r"huggingface.co/org/tiny could not be downloaded \(the disk is full\)\. Fetch"
    with pytest.raises(FileNotFoundError, match=message):
        load_pretrained("Tiny-16", "laion")


# ---- no network ------------------------------------------------------------------------------


def test_offline_says_what_to_fetch_and_where_to_put_it(hub_tag, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        load_pretrained("Tiny-16", "laion")
    message = str(caught.value)
    assert "\n" not in message
    assert "huggingface.co cannot be reached (Name or service not known)" in message
    assert "Fetch open_clip_model.safetensors (about 15 MB) from https://huggingface.co" in message
    assert 'load_pretrained("Tiny-16", "FOLDER/open_clip_model.safetensors")' in message
    # A reader does what it says.
    folder = Path(re.search(r"put it into (.*)/;", message)[1])
    folder.mkdir(parents=True)
    save_file(make_theirs("Tiny-16").state_dict(), folder / "open_clip_model.safetensors")
    assert_equal(load_quietly("Tiny-16", "laion"), make_theirs("Tiny-16"))


def test_offline_without_what_a_file_does_not_say(monkeypatch):
    entry = table._pcfg(hf_hub="org/tiny/", mean=HALF, std=HALF)
    monkeypatch.setitem(table._PRETRAINED, "Tiny-16", {"laion": entry})
    with pytest.raises(FileNotFoundError, match=r"put it into .*/Tiny-16-laion/\.$"):
        load_pretrained("Tiny-16", "laion")


def test_offline_by_wish(hub_tag, monkeypatch):
    from huggingface_hub import constants

    def refuse(url):
        raise AssertionError("it asked the network")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(fetch, "find_problem", refuse)
    with pytest.raises(FileNotFoundError, match="HF_HUB_OFFLINE forbids a download. Fetch"):
        load_pretrained("Tiny-16", "laion")


def test_a_file_that_was_moved(publish):
    publish(make_theirs("Tiny-16"), "openai", quick_gelu=True).unlink()
    with pytest.raises(FileNotFoundError, match="127.0.0.1.* answers 404 .*Fetch http"):
        load_pretrained("Tiny-16", "openai")


@pytest.mark.parametrize(
    "name, tag, file, megabytes",
    [  # the sizes of the published files
        ("RN50", "openai", "RN50.pt", 256),
        ("ViT-B-32", "openai", "ViT-B-32.pt", 354),
        ("ViT-B-16", "openai", "ViT-B-16.pt", 351),
        ("ViT-L-14", "openai", "ViT-L-14.pt", 933),
        ("ViT-B-32", "laion2b_s34b_b79k", "", 605),
    ],
)
def test_the_published_files(monkeypatch, name, tag, file, megabytes):
    folder = Path(open_clip.__file__).parent / "model_configs"
    files = {path.stem: path for path in folder.glob("*.json")}
    monkeypatch.setattr(published, "find_size_files", lambda: files)
    source = find_source(name, tag)
    assert source.url_name == file
    assert source.megabytes == pytest.approx(megabytes, rel=0.01)
    assert len(source.url_checksum) == (64 if file else 0)
