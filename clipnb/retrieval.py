"""Search: every picture encoded once, then any text, picture or vector compared with all of them exactly."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ImageOps

from clipnb.runtime import replace_when_done, shown
from clipnb.training import encode_dataset


@dataclass(frozen=True)
class Hit:
    """One picture found. score: cosine in [-1, 1]. caption: the picture's own caption that lies nearest to the query."""

    score: float
    image_id: str
    caption: str


class ImageIndex:
    """N pictures with their captions, encoded, and the model that encodes a query. Make one with `build` or `load`.

    image_features float32 (N, D) and text_features (N, K, D) of unit length; images uint8 (N, 3, S, S).
    """

    def __init__(self, model, tokenizer, image_features, text_features, images, image_ids, captions):
        self.model, self.tokenizer = model, tokenizer
        self.image_features, self.text_features = image_features, text_features
        self.images, self.image_ids, self.captions = images, list(image_ids), captions
        self.row = {image_id: i for i, image_id in enumerate(self.image_ids)}

    @classmethod
    def build(cls, model, tokenizer, dataset):
        """Encode all pictures and captions of a `CaptionDataset`."""
        return cls(model, tokenizer, *encode_dataset(model, tokenizer, dataset), dataset.images, dataset.image_ids, dataset.captions)

    def __len__(self):
        return len(self.image_ids)

    @torch.no_grad()
    def encode(self, query):
        """A query -> its feature, float32 (D,) of unit length, or None if it holds nothing the model knows.

        query: a text; a picture, as a PIL image or uint8 (3, H, W); or a vector (D,), of any length but zero.
        """
        device = self.model.eval().logit_scale.device  # a model left in training mode would encode a query unlike the pictures
        if isinstance(query, str):
            if not self.tokenizer.encode(query):  # empty, or in a script without a token
                return None
            return self.model.encode_text(self.tokenizer([query]).to(device), normalize=True)[0].cpu()
        if hasattr(query, "convert"):  # a PIL image
            size = self.images.shape[-2:]
            query = np.asarray(ImageOps.exif_transpose(query).convert("RGB").resize(size)).transpose(2, 0, 1)
        query = query if torch.is_tensor(query) else torch.tensor(np.asarray(query))
        if query.ndim == 3:
            return self.model.encode_image(query[None].to(device), normalize=True)[0].cpu()
        if query.shape != self.image_features.shape[1:]:
            raise ValueError(f"a query is a text, a picture (3, H, W) or a vector ({self.image_features.shape[1]},); this is an array {tuple(query.shape)}.")
        return F.normalize(query.float().cpu(), dim=0)

    def search(self, query, k=5):
        """The k pictures nearest to a query (see `encode`), best first, as a list of `Hit`s.

        Fewer than k if the index holds fewer; none for an empty text or one without a known token.
        """
        feature = self.encode(query)
        if feature is None or k < 1:
            return []
        scores, rows = (self.image_features @ feature).topk(min(k, len(self)))
        nearest = (self.text_features[rows] @ feature).argmax(dim=1)  # (k,) which caption of each picture
        return [Hit(score, self.image_ids[row], self.captions[row][i]) for score, row, i in zip(scores.tolist(), rows.tolist(), nearest.tolist())]

    def search_captions(self, query, k=5):
        """The k captions nearest to a query, best first, as `Hit`s: the way from a picture to text."""
        feature = self.encode(query)
        if feature is None or k < 1:
            return []
        K = self.text_features.shape[1]
        scores, rows = (self.text_features.flatten(0, 1) @ feature).topk(min(k, len(self) * K))
        return [Hit(score, self.image_ids[row // K], self.captions[row // K][row % K]) for score, row in zip(scores.tolist(), rows.tolist())]

    def image(self, image_id):
        """A picture of the index by its id: uint8 (3, S, S)."""
        return self.images[self.row[image_id]]

    def save(self, path):
        """Write features, pictures and captions as one .npz file; the model is not in it."""
        with replace_when_done(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, image_features=self.image_features, text_features=self.text_features, images=self.images,
                     image_ids=np.array(self.image_ids), captions=np.array(self.captions))

    @classmethod
    def load(cls, path, model, tokenizer):
        """Read what `save` wrote; model and tokenizer must be those it was built with. Raises FileNotFoundError, ValueError if they cannot be."""
        if not Path(path).exists():
            raise FileNotFoundError(f"no index at {shown(path)}; make one with ImageIndex.build(model, tokenizer, dataset).save(path).")
        with np.load(path) as data:
            features = torch.from_numpy(data["image_features"])
            if features.shape[1] != model.image_projection.out_features:
                raise ValueError(f"{shown(path)} holds features of {features.shape[1]} numbers, this model makes {model.image_projection.out_features}: "
                                 "it was built with another model.")
            return cls(model, tokenizer, features, torch.from_numpy(data["text_features"]), data["images"], data["image_ids"].tolist(), data["captions"].tolist())
