"""The tensors of a TorchScript archive, such as OpenAI's `ViT-B-32.pt`, without running its code.

Such an archive is a zip file. `data.pkl` describes a tree of modules, `data/0`, `data/1` and so on
hold the numbers, and `code/` holds a program, which nothing here opens.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# The types of numbers, by the names that a pickle has for them.
DTYPES = {
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
PASSED_ON = {  # functions that only say of what type a list or a dictionary is
    "build_intlist",
    "build_tensorlist",
    "build_doublelist",
    "build_boollist",
    "restore_type_tag",
}


def read_torchscript(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a TorchScript archive under the names that its modules give them.

    Tensors that share their numbers in the archive share them here too. Raises
    pickle.UnpicklingError for an archive that asks for anything beyond modules and tensors, and
    other errors, those of zipfile among them, for a damaged one.
    """
    with zipfile.ZipFile(path) as archive:
        root = find_root(archive)
        with archive.open(f"{root}data.pkl") as file:
            tree = TreeReader(file, archive, root).load()
    return dict(list_tensors(tree))


def find_root(archive: zipfile.ZipFile) -> str:
    """Return the folder of a zip archive that holds `data.pkl`, with its slash."""
    names = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
    if not names:
        raise pickle.UnpicklingError("it has no data.pkl")
    return names[0].removesuffix("data.pkl")


class Module(dict):
    """What stands for any class of the archive: a dictionary of its fields."""

    def __setstate__(self, fields: dict):
        self.update(fields)


class TreeReader(pickle.Unpickler):
    """An unpickler that builds dictionaries, lists, numbers, texts and tensors, and nothing else.

    Whatever else a pickle names is refused before it is imported.
    """

    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str):
        super().__init__(file)
        self.archive = archive
        self.root = root
        self.storages = {}  # the numbers that were read already, by the names of their files
        # A pickle may set attributes of the classes that it gets. These live for one file only.
        self.module_class = type("Module", (Module,), {})

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name in the pickle. Raises UnpicklingError for all others."""
        if module.split(".")[0] == "__torch__":
            return self.module_class
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self.view_storage
        if module == "torch.jit._pickle" and name in PASSED_ON:
            return self.return_first
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, saved_id: Any) -> Tensor:
        """Read the numbers that a tensor of the pickle points to, as a vector."""
        _, dtype, key, _, n_numbers = saved_id  # the fourth is the device that it was saved on
        if key not in self.storages:
            self.storages[key] = self.read_storage(key, dtype, n_numbers)
        return self.storages[key]

    def read_storage(self, key: str, dtype: torch.dtype, n_numbers: int) -> Tensor:
        """Read one file of numbers."""
        member = self.archive.getinfo(f"{self.root}data/{key}")
        # PyTorch never compresses them. A small compressed file could fill all memory.
        if member.compress_type != zipfile.ZIP_STORED:
            raise pickle.UnpicklingError(f"its file data/{key} is compressed")
        if n_numbers == 0:
            return torch.empty(0, dtype=dtype)
        numbers = bytearray(member.file_size)
        with self.archive.open(member) as file:
            file.readinto(numbers)
        return torch.frombuffer(numbers, dtype=dtype, count=n_numbers)

    def view_storage(
        self, storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ) -> Tensor:
        """Return a tensor that looks at a vector. torch refuses one that looks beyond its end."""
        return storage.as_strided(size, stride, offset)

    def return_first(self, value: Any, *_: Any) -> Any:
        """Return a value as it is, whatever its type is said to be."""
        return value


def list_tensors(module: dict, prefix: str = "") -> list[tuple[str, Tensor]]:
    """List (full name, tensor) of a module and those inside it, as `state_dict` names them."""
    found = []
    for name, value in module.items():
        if isinstance(value, Tensor):
            found.append((prefix + name, value))
        elif isinstance(value, Module):
            found += list_tensors(value, f"{prefix}{name}.")
    return found
