"""Reading files of weights: every kind that people download, and those that must be refused."""

import json
import os
import pickle
import warnings
import zipfile

import pytest
import torch
from bad_parts import check_message
from safetensors.torch import save_file
from torch import nn

from clipnb.pretrained.files import find_kind, find_weight_files, read_weights


class Tower(nn.Module):
    """A module with what a state dict can hold: nested names, buffers, shared and strided ones."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 2, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        self.layers[1].weight = self.layers[0].weight
        self.proj = nn.Parameter(torch.randn(4, 2))
        self.register_buffer("turned", torch.arange(6.0).view(2, 3).T)
        self.register_buffer("context_length", torch.tensor(77))
        self.register_buffer("brain", torch.ones(2, dtype=torch.bfloat16))
        self.title = "a text beside the tensors"
        self.sizes = [1, 2]

    def forward(self, images):
        x = self.bn1(self.conv1(images)).mean(dim=(2, 3))
        return self.layers(x) @ self.proj + self.turned.sum() + self.sizes[0]


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return Tower().eval()


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


# ---- what can be read ------------------------------------------------------------------------


def test_safetensors(tower, tmp_path):
    weights = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, tmp_path / "x.bin")
    assert find_kind(tmp_path / "x.bin") == "safetensors"  # whatever its name says
    assert_same(read_weights(tmp_path / "x.bin"), weights)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nesting", [None, "state_dict", "model"])
def test_what_torch_saved(tower, tmp_path, zipped, nesting):
    tower(torch.randn(2, 3, 4, 4)).sum().backward()
    optimizer = torch.optim.AdamW(tower.parameters())
    optimizer.step()
    weights = tower.state_dict()
    checkpoint = weights
    if nesting:  # as open_clip's training writes it
        checkpoint = {"epoch": 3, "name": "run", nesting: weights}
        checkpoint["optimizer"] = optimizer.state_dict()
    torch.save(checkpoint, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    assert find_kind(tmp_path / "x.pt") == ("torch" if zipped else "old_torch")
    assert_same(read_weights(tmp_path / "x.pt"), weights)


@pytest.mark.parametrize("way", ["script", "trace"])
@pytest.mark.parametrize("half", [False, True])
def test_torchscript(tower, tmp_path, way, half):
    with warnings.catch_warnings(action="ignore"):  # torch calls both ways old
        if way == "script":
            compiled = torch.jit.script(tower)
        else:
            compiled = torch.jit.trace(tower, torch.randn(2, 3, 4, 4))
        if half:
            compiled.half()
        compiled.save(str(tmp_path / "ViT-B-32.pt"))
    (tmp_path / "ViT-B-32.pt").rename(tmp_path / "renamed.bin")
    assert find_kind(tmp_path / "renamed.bin") == "torchscript"
    weights = read_weights(tmp_path / "renamed.bin")
    assert_same(weights, compiled.state_dict())
    assert weights["proj"].dtype == (torch.float16 if half else torch.float32)
    assert weights["turned"].stride() == (1, 3)
    if way == "script":  # tracing gives each layer weights of its own
        assert weights["layers.0.weight"].data_ptr() == weights["layers.1.weight"].data_ptr()


def test_torchscript_is_not_run(tower, tmp_path, monkeypatch):
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(tower).save(str(tmp_path / "x.pt"))

    def refuse(*arguments, **options):
        raise AssertionError("the archive was compiled")

    monkeypatch.setattr(torch.jit, "load", refuse)
    monkeypatch.setattr(torch._C, "import_ir_module", refuse)
    assert read_weights(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "name", ["open_clip_model.safetensors", "model.safetensors", "pytorch_model.bin", "own.pth"]
)
def test_folders(tower, tmp_path, name):
    weights = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
    if name.endswith("safetensors"):
        save_file({key: tensor.contiguous() for key, tensor in weights.items()}, tmp_path / name)
    else:
        torch.save(weights, tmp_path / name)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "README.md").write_text("# a model")
    assert_same(read_weights(tmp_path), weights)


def write_parts(folder):
    """Write two parts of weights and their index. Returns the weights."""
    weights = {"a": torch.ones(2), "b": torch.zeros(3)}
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    for key, name in names.items():
        save_file({key: weights[key]}, folder / name)
    index = {"metadata": {"total_size": 20}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return weights


def test_parts(tmp_path):
    weights = write_parts(tmp_path)
    assert_same(read_weights(tmp_path), weights)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="lacks 1 of its 2 parts: model-00002.*same folder"):
        read_weights(tmp_path)


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "", ".", ".."])
def test_an_index_stays_in_its_folder(tmp_path, name):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ValueError, match="outside of its folder"):
        read_weights(tmp_path)
    index.write_text("[]")
    with pytest.raises(ValueError, match="is no index of parts"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    "parts, message",
    [
        ({}, "index.json names no parts. Fetch the file again"),
        ({"a": 3}, "index.json is no index of parts"),
        ({"a": "x\0"}, "cannot be the name of a file or folder: it holds the character 0"),
    ],
)
def test_an_index_names_files(tmp_path, parts, message):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": parts}))
    with pytest.raises(ValueError) as error:
        read_weights(tmp_path)
    check_message(error, message)


def test_two_parts_with_the_same_tensor_are_refused(tmp_path):
    """The later one would win, whatever the index says."""
    save_file({"a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "1.safetensors")
    save_file({"b": torch.zeros(1)}, tmp_path / "2.safetensors")
    index = {"weight_map": {"a": "2.safetensors", "b": "1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError) as error:
        read_weights(tmp_path)
    check_message(error, "2.safetensors and another part both hold b, ", "fetch all parts again")


def test_what_is_no_ordinary_file_is_refused(tmp_path):
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(ValueError, match="model.safetensors is no ordinary file, so it holds no"):
        read_weights(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.pt")  # nobody writes into it, so reading would never end
        with pytest.raises(ValueError, match="pipe.pt is no ordinary file"):
            read_weights(tmp_path / "pipe.pt")


@pytest.mark.parametrize("place, damage", [(0, b"XXXX"), (6, b"\xff\xff")])
def test_a_damaged_table_of_contents(tmp_path, place, damage):
    """Of the first entry: its mark, or the version of zip that it needs."""
    torch.save({"a": torch.ones(3)}, tmp_path / "a.pt")
    content = bytearray((tmp_path / "a.pt").read_bytes())
    start = content.find(b"PK\x01\x02") + place
    content[start : start + len(damage)] = damage
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ValueError) as error:
        read_weights(tmp_path / "a.pt")
    check_message(error, "a.pt is cut or damaged (", "Fetch the file again.")


def test_folders_without_an_answer(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no weights.*model.safetensors"):
        read_weights(tmp_path)
    for name in ("a.pt", "b.pt"):
        torch.save({"a": torch.ones(1)}, tmp_path / name)
    (tmp_path / "._a.pt").write_bytes(b"\0")  # macOS writes it onto a disk of another system
    with pytest.raises(ValueError, match="several files of weights; name one: a.pt, b.pt"):
        read_weights(tmp_path)
    assert find_weight_files(tmp_path / "a.pt") == [tmp_path / "a.pt"]
    with pytest.raises(FileNotFoundError, match=r"there is no file .*c\.pt"):
        read_weights(tmp_path / "c.pt")


# ---- what could run code ---------------------------------------------------------------------


class Hostile:
    """An object that runs a command when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def write_archive(path, pickled):
    """Write a TorchScript-like archive with a pickle of one's own."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickled)
        archive.writestr("x/constants.pkl", b"\x80\x02).")
        archive.writestr("x/data/0", b"\0" * 16)


def write_hostile(path, marker, way):
    """Write a file that runs a command if a careless program loads it."""
    hostile = {"state_dict": {"a": torch.ones(2)}, "extra": Hostile(marker)}
    command = f"touch {marker}".encode()
    call = b"\x80\x02c%s\n(V" + command + b"\ntR."
    if way == "zip":
        torch.save(hostile, path)
    elif way == "old":
        torch.save(hostile, path, _use_new_zipfile_serialization=False)
    elif way == "pickle":
        path.write_bytes(pickle.dumps(hostile["extra"]))
    elif way == "torchscript":
        write_archive(path, pickle.dumps(hostile["extra"], protocol=2))
    else:
        module, name = way.rsplit(".", 1)
        write_archive(path, call % f"{module}\n{name}".encode())


@pytest.mark.parametrize(
    "way",
    [
        "zip",
        "old",
        "pickle",
        "torchscript",
        # Names like those that weights have, in an archive like OpenAI's.
        "os.system",
        "builtins.eval",
        "__torch__.os.system",
        "torch.load",
        "torch._utils._rebuild_tensor_v3",
        "torch.jit._pickle.build_evil",
        "torch.FloatStorage",
        "collections.OrderedDict",
    ],
)
def test_a_hostile_file_never_runs(tmp_path, way):
    path, marker = tmp_path / "weights.pt", tmp_path / "marker"
    write_hostile(path, marker, way)
    with pytest.raises(ValueError) as caught:
        read_weights(path)
    assert not marker.exists()
    assert "\n" not in str(caught.value)
    assert "weights.pt" in str(caught.value)
    if way in ("zip", "old", "torchscript"):
        assert "asks for posix.system" in str(caught.value)


def test_the_hostile_files_are_hostile(tmp_path):
    write_hostile(tmp_path / "weights.pt", tmp_path / "marker", "pickle")
    pickle.loads((tmp_path / "weights.pt").read_bytes())  # noqa: S301 (this is the point)
    assert (tmp_path / "marker").exists()


def test_a_whole_module_is_refused(tower, tmp_path):
    torch.save(tower, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"asks for .*Tower.*torch\.save\(model\.state_dict"):
        read_weights(tmp_path / "x.pt")


def storage_reference(n_numbers, size, stride):
    """Pickle an archive's description of one tensor."""
    numbers = b"((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\n" + b"I%d\ntQ" % n_numbers
    shape = b"(" + b"".join(b"I%d\n" % n for n in size) + b"t"
    steps = b"(" + b"".join(b"I%d\n" % n for n in stride) + b"t"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n" + numbers + b"I0\n" + shape + steps
    tensor += b"I00\nccollections\nOrderedDict\n)RtR"
    return b"\x80\x02c__torch__\nNet\n)\x81}(Va\n" + tensor + b"ub."


def test_a_tensor_stays_within_its_numbers(tmp_path):
    write_archive(tmp_path / "x.pt", storage_reference(4, [2, 2], [2, 1]))
    assert torch.equal(read_weights(tmp_path / "x.pt")["a"], torch.zeros(2, 2))
    for n_numbers, size, stride in ((4, [2, 3], [3, 1]), (400, [400], [1]), (4, [2], [-1])):
        write_archive(tmp_path / "x.pt", storage_reference(n_numbers, size, stride))
        with pytest.raises(ValueError, match="is cut or damaged"):
            read_weights(tmp_path / "x.pt")


# ---- what is something else ------------------------------------------------------------------

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:40d3\nsize 605143316\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty. Fetch"),
        (POINTER, "is a Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><title>Sign in</title>", "is a web page.*download the file itself"),
        (b"\n <html>", "is a web page"),
        (b'{"error": "Repository not found"}', "is a JSON text"),
        (b"\x89HDF\r\n", "is an HDF5 file"),
        (b"GGUF\3\0\0\0", "is a GGUF file"),
        (b"\x1f\x8b\x08", "is compressed with gzip"),
        (b"\xff\xd8\xff\xe0 JFIF", "is no file of weights that is known here"),
        (b"hello", "is no file of weights that is known here"),
        (b"PK\3\4 and then nothing", "is cut: its end is missing"),
        (b"\x80\x04N.", "is cut or damaged"),
    ],
)
def test_something_else(tmp_path, content, message):
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_weights(tmp_path / "model.bin")
    assert "\n" not in str(caught.value)


def test_a_zip_of_other_things(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("ViT-B-32.pt", "x")
    with pytest.raises(ValueError, match=r"zip file of other things \(ViT-B-32.pt\)"):
        read_weights(tmp_path / "x.pt")


def test_a_checkpoint_without_weights(tmp_path):
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"holds a dict without any weights.*\(epoch, lr\)"):
        read_weights(tmp_path / "x.pt")
    torch.save([torch.ones(2)], tmp_path / "x.pt")
    with pytest.raises(ValueError, match="holds a list without any weights"):
        read_weights(tmp_path / "x.pt")


@pytest.mark.parametrize("kind", ["safetensors", "torch", "old_torch", "torchscript"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_cut_file(tower, tmp_path, kind, share):
    path = tmp_path / "weights"
    weights = {name: tensor.clone().contiguous() for name, tensor in tower.state_dict().items()}
    if kind == "safetensors":
        save_file(weights, path)
    elif kind == "torchscript":
        with warnings.catch_warnings(action="ignore"):
            torch.jit.script(tower).save(str(path))
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "torch")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="is cut|damaged") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
