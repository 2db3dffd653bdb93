"""Search: encode every image once, then compare any text, image or vector with all of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.features import encode_dataset, encode_images, encode_texts
from clipnb.runtime import display_path, replace_when_done

if TYPE_CHECKING:
    from clipnb.datasets import CaptionDataset
    from clipnb.tokenizer import Tokenizer


@dataclass(frozen=True)
class Hit:
    """One image found.

    score: its cosine with the query, in [-1, 1]. caption: the one of the image's own captions that
    lies nearest to the query.
    """

    score: float
    image_id: str
    caption: str


class ImageIndex:
    """N images with their captions, encoded, and the model that encodes a query.

    Make one with `build` or `load`. image_features: float32 (N, D) and text_features: (N, K, D),
    of unit length. images: uint8 (N, 3, S, S).
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: "Tokenizer",
        image_features: Tensor,
        text_features: Tensor,
        images: np.ndarray,
        image_ids: Sequence[str],
        captions: Sequence[Sequence[str]],
    ):
        self.model = model
        self.tokenizer = tokenizer
        self.image_features = image_features
        self.text_features = text_features
        self.images = images
        self.image_ids = list(image_ids)
        self.captions = captions
        self.row = {image_id: i for i, image_id in enumerate(self.image_ids)}

    @classmethod
    def build(
        cls, model: nn.Module, tokenizer: "Tokenizer", dataset: "CaptionDataset"
    ) -> "ImageIndex":
        """Encode all images and captions of a `CaptionDataset`."""
        features = encode_dataset(model, tokenizer, dataset)
        return cls(model, tokenizer, *features, dataset.images, dataset.image_ids, dataset.captions)

    def __len__(self) -> int:
        return len(self.image_ids)

    def encode(self, query: Any) -> Tensor | None:
        """Encode a query as a feature, float32 (D,) of unit length.

        query: a text; an image, as a PIL image or uint8 (3, H, W); or a vector (D,) of any length
        but zero. Returns None if the query holds nothing that the model knows. Raises ValueError
        for an array of another shape.
        """
        if isinstance(query, str):
            if not self.tokenizer.encode(query):  # empty, or in a script without a token
                return None
            return encode_texts(self.model, self.tokenizer([query]))[0]
        if hasattr(query, "convert"):
            query = self._resize(query)
        query = query if torch.is_tensor(query) else torch.tensor(np.asarray(query))
        if query.ndim == 3 and len(query) == 3:
            return encode_images(self.model, query[None])[0]
        if query.shape != self.image_features.shape[1:]:
            D = self.image_features.shape[1]
            raise ValueError(
                f"a query is a text, an image (3, H, W) or a vector ({D},); this is an array "
                f"{tuple(query.shape)}."
            )
        return F.normalize(query.float().cpu(), dim=0)

    def _resize(self, image: Any) -> np.ndarray:
        """Turn a PIL image into uint8 (3, S, S), as large as the images of the index."""
        from PIL import ImageOps

        upright = ImageOps.exif_transpose(image).convert("RGB")
        return np.asarray(upright.resize(self.images.shape[-2:])).transpose(2, 0, 1)

    def search(self, query: Any, k: int = 5) -> list[Hit]:
        """Find the k images nearest to a query (see `encode`), best first.

        There are fewer than k if the index holds fewer, and none if the query is a text that is
        empty or without a known token.
        """
        feature = self.encode(query)
        if feature is None or k < 1:
            return []
        scores, rows = (self.image_features @ feature).topk(min(k, len(self)))
        nearest = (self.text_features[rows] @ feature).argmax(dim=1)  # (k,) caption of each image
        found = zip(scores.tolist(), rows.tolist(), nearest.tolist(), strict=True)
        return [Hit(score, self.image_ids[i], self.captions[i][j]) for score, i, j in found]

    def search_captions(self, query: Any, k: int = 5) -> list[Hit]:
        """Find the k captions nearest to a query, best first: the way from an image to text."""
        feature = self.encode(query)
        if feature is None or k < 1:
            return []
        n_captions = self.text_features.shape[1]
        similarities = self.text_features.flatten(0, 1) @ feature  # (N*K,)
        scores, rows = similarities.topk(min(k, len(similarities)))
        hits = []
        for score, row in zip(scores.tolist(), rows.tolist(), strict=True):
            image, caption = divmod(row, n_captions)
            hits.append(Hit(score, self.image_ids[image], self.captions[image][caption]))
        return hits

    def image(self, image_id: str) -> np.ndarray:
        """Return an image of the index by its id: uint8 (3, S, S)."""
        return self.images[self.row[image_id]]

    def save(self, path: str | Path) -> None:
        """Write features, images and captions as one .npz file.

        The model is not in it, but a digest of its weights is, so that `load` can tell another
        model from this one.
        """
        with replace_when_done(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                image_features=self.image_features,
                text_features=self.text_features,
                images=self.images,
                image_ids=np.array(self.image_ids),
                captions=np.array(self.captions),
                weights_digest=np.array(digest_weights(self.model)),
            )

    @classmethod
    def load(cls, path: str | Path, model: nn.Module, tokenizer: "Tokenizer") -> "ImageIndex":
        """Read what `save` wrote; `model` must be the one it was built with.

        Raises FileNotFoundError if there is no index, ValueError if another model made it.
        """
        if not Path(path).exists():
            raise FileNotFoundError(
                f"no index at {display_path(path)}; make one with "
                "ImageIndex.build(model, tokenizer, dataset).save(path)."
            )
        with np.load(path) as data:
            if str(data.get("weights_digest", "")) != digest_weights(model):
                raise ValueError(
                    f"{display_path(path)} was built with another model: its features cannot be "
                    "compared with this one's. Build it again with ImageIndex.build."
                )
            return cls(
                model,
                tokenizer,
                torch.from_numpy(data["image_features"]),
                torch.from_numpy(data["text_features"]),
                data["images"],
                data["image_ids"].tolist(),
                data["captions"].tolist(),
            )


def digest_weights(model: nn.Module) -> str:
    """Return sixteen hexadecimal digits that change when any weight of a model does."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
