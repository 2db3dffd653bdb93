"""What the benchmark compares our training with: the naive pipeline, and open_clip's.

The naive pipeline is the one of the original replication. It has a row for each caption. A row's
image is decoded and resized, and its caption tokenized, at every visit. Captions are padded to 77
tokens, a `DataLoader` has no workers, numbers are float32, and all else is torch's default.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from clipnb.datasets import dataset_folder
from clipnb.datasets.folders import read_dataset_folder
from clipnb.losses import clip_loss
from clipnb.model import CLIP
from clipnb.recipes import Recipe
from clipnb.runtime import autocast
from clipnb.tokenizer import clip_tokenizer

# ---- rows ------------------------------------------------------------------------------------


def list_rows(name: str, split: str = "train") -> list[tuple]:
    """List the captions of a dataset's split as rows (path of the image, caption)."""
    folder = read_dataset_folder(dataset_folder(name))
    rows = []
    for image_id in folder.splits[split]:
        path = folder.image_paths[image_id]
        rows += [(path, caption) for caption in folder.captions[image_id]]
    return rows


class RowDataset(Dataset):
    """Rows (path of an image, caption) that are decoded and tokenized anew at every visit.

    It does what open_clip's `CsvDataset` does. We do not use that one, because importing it needs
    pandas, webdataset and braceexpand.
    """

    def __init__(
        self,
        rows: list[tuple],
        transform: Callable[[Image.Image], Tensor],
        tokenizer: Callable[[list[str]], Tensor],
    ):
        self.rows = rows
        self.transform = transform
        self.tokenizer = tokenizer

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        path, caption = self.rows[i]
        image = self.transform(Image.open(path))  # (3, S, S)
        return image, self.tokenizer([caption])[0]  # (77,)


def make_row_loader(
    dataset: RowDataset, batch_size: int, steps: int, workers: int = 0
) -> DataLoader:
    """Make a `DataLoader` of `steps` batches of random rows.

    Its length is `steps`, so that workers prepare no batch that is not counted. Its memory is
    pinned where there is a graphics card, as open_clip does.
    """
    sampler = RandomSampler(dataset, num_samples=steps * batch_size)
    return DataLoader(
        dataset,
        batch_size,
        sampler=sampler,
        num_workers=workers,
        drop_last=True,
        pin_memory=torch.cuda.is_available(),
    )


# ---- the naive pipeline ----------------------------------------------------------------------


def make_naive_dataset(name: str, image_size: int = 224) -> RowDataset:
    """Make the naive pipeline's training rows of a dataset.

    Images are squashed to squares and normalized with mean and standard deviation 0.5. Captions
    are padded to 77 tokens.
    """
    from torchvision import transforms

    steps = [
        convert_to_rgb,
        transforms.Resize((image_size, image_size)),
        transforms.ToTensor(),
        transforms.Normalize([0.5] * 3, [0.5] * 3),
    ]
    return RowDataset(list_rows(name), transforms.Compose(steps), tokenize_padded)


def convert_to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to RGB."""
    return image.convert("RGB")


def tokenize_padded(texts: list[str]) -> Tensor:
    """Turn N texts into CLIP's tokens, int64 (N, 77)."""
    return pad_tokens(clip_tokenizer()(texts), 77)


def pad_tokens(tokens: Tensor, length: int) -> Tensor:
    """Pad tokens (..., T) with 0 to (..., length)."""
    return F.pad(tokens, (0, length - tokens.shape[-1]))


def take_naive_step(
    model: CLIP, optimizer: torch.optim.Optimizer, images: Tensor, tokens: Tensor
) -> Tensor:
    """Take a naive training step on images (B, 3, S, S) and tokens (B, 77). Returns the loss."""
    loss = clip_loss(*model(images, tokens))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


# ---- open_clip's pipeline --------------------------------------------------------------------


def make_open_clip_dataset(name: str, image_size: int = 64) -> RowDataset:
    """Make a dataset's training rows with open_clip's training transform and its tokenizer.

    The transform takes random crops.
    """
    from open_clip.tokenizer import SimpleTokenizer
    from open_clip.transform import image_transform

    transform = image_transform(image_size, is_train=True, mean=(0.5,) * 3, std=(0.5,) * 3)
    return RowDataset(list_rows(name), transform, SimpleTokenizer())


def make_open_clip_model(image_size: int = 64) -> nn.Module:
    """Make open_clip's CLIP in the shape of our `ViT` and `TextTransformer`.

    Both towers have 4 layers of width 128 with 8 heads each. The features have 512 numbers.
    """
    import open_clip.model

    return open_clip.model.CLIP(
        512,
        vision_cfg={
            "image_size": image_size,
            "patch_size": 8,
            "width": 128,
            "layers": 4,
            "head_width": 16,
            "pool_type": "avg",
        },
        text_cfg={
            "width": 128,
            "layers": 4,
            "heads": 8,
            "context_length": 77,
            "vocab_size": 49408,
        },
        output_dict=True,
    )


def make_open_clip_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """Make AdamW as open_clip's training script does."""
    decaying = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": decaying, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), eps=1e-6)


def take_open_clip_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    compute_loss: Callable[..., Tensor],
    images: Tensor,
    tokens: Tensor,
) -> Tensor:
    """Take a step as open_clip's training loop does with `--grad-clip-norm 1`.

    The precision is the one that we compute in ourselves. compute_loss: open_clip's `ClipLoss`.
    images: (B, 3, S, S). tokens: (B, 77). Returns the loss.
    """
    optimizer.zero_grad()
    with autocast(images.device):
        loss = compute_loss(**model(images, tokens))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(100))
    return loss.detach()
