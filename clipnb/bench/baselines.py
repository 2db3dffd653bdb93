"""The usual way and open_clip's way to train CLIP, for the benchmark to measure against; nothing else uses them.

The usual way is the pipeline of the original replication: a row per caption, its image decoded, resized and tokenized each
time it is asked for, captions padded to 77, a `DataLoader` without workers, float32, torch's defaults for the rest.
"""

import math
from itertools import chain

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler

from clipnb.datasets import dataset_folder
from clipnb.datasets.folders import read_dataset_folder
from clipnb.losses import clip_loss
from clipnb.runtime import autocast
from clipnb.tokenizer import clip_tokenizer


def caption_rows(name, split="train"):
    """Every caption of a split beside the path of its image: a list of (path, caption), as the usual pipelines keep it."""
    folder = read_dataset_folder(dataset_folder(name))
    return list(
        chain.from_iterable(
            ((folder.image_paths[n], caption) for caption in folder.captions[n])
            for n in folder.splits[split]
        )
    )


class RowDataset(Dataset):
    """(image, tokens) of a row, decoded and tokenized anew at every visit.

    The same two lines as open_clip's `CsvDataset`, whose module would want pandas, webdataset and braceexpand installed.
    """

    def __init__(self, rows, transform, tokenizer):
        self.rows, self.transform, self.tokenizer = rows, transform, tokenizer

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        from PIL import Image

        path, caption = self.rows[i]
        return self.transform(Image.open(path)), self.tokenizer([caption])[0]  # (3, S, S), (77,)


def row_loader(dataset, batch_size, steps, workers=0):
    """A `DataLoader` of `steps` batches of random rows: workers that run ahead do no work that is not counted."""
    rows = RandomSampler(dataset, num_samples=steps * batch_size)
    return DataLoader(dataset, batch_size, sampler=rows, num_workers=workers, drop_last=True)


def naive_dataset(name, image_size=224):
    """A dataset's training rows the usual way: squashed to a square, mean and standard deviation 0.5, captions padded to 77."""
    from torchvision import transforms

    transform = transforms.Compose(
        [
            lambda image: image.convert("RGB"),
            transforms.Resize((image_size, image_size)),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    return RowDataset(caption_rows(name), transform, lambda texts: pad(clip_tokenizer()(texts), 77))


def pad(tokens, length):
    """Tokens (..., T) -> (..., length), filled with 0."""
    return F.pad(tokens, (0, length - tokens.shape[-1]))


def naive_step(model, optimizer, images, tokens):
    """A training step the usual way, on images (B, 3, S, S) and tokens (B, 77); returns the loss."""
    loss = clip_loss(*model(images, tokens))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


def open_clip_model(image_size=64):
    """open_clip's own CLIP in the shape of our `vit` and `transformer`: 4 layers of width 128 with 8 heads each, 512 features."""
    from open_clip.model import CLIP

    return CLIP(
        512,
        vision_cfg={
            "image_size": image_size,
            "patch_size": 8,
            "width": 128,
            "layers": 4,
            "head_width": 16,
            "pool_type": "avg",
        },
        text_cfg={"width": 128, "layers": 4, "heads": 8, "context_length": 77, "vocab_size": 49408},
        output_dict=True,
    )


def open_clip_optimizer(model, recipe):
    """AdamW as open_clip's training script makes it."""
    groups = [
        {
            "params": [p for p in model.parameters() if (p.ndim >= 2) == decays],
            "weight_decay": recipe.weight_decay * decays,
        }
        for decays in (True, False)
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), eps=1e-6)


def open_clip_step(model, optimizer, loss_of, images, tokens):
    """The body of open_clip's training loop with its `--grad-clip-norm 1`, at the precision we compute in ourselves."""
    optimizer.zero_grad()
    with autocast(images.device):
        loss = loss_of(**model(images, tokens))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(100))
    return loss.detach()


def open_clip_dataset(name, image_size=64):
    """A dataset's training rows through open_clip's own training transform (random crops) and tokenizer."""
    from open_clip.tokenizer import SimpleTokenizer
    from open_clip.transform import image_transform

    return RowDataset(
        caption_rows(name),
        image_transform(image_size, is_train=True, mean=(0.5,) * 3, std=(0.5,) * 3),
        SimpleTokenizer(),
    )
