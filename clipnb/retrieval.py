"""Search: encode every image once, then compare any text, image or vector with all of them."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.features import digest_weights, encode_dataset, encode_images, encode_texts
from clipnb.places import display_value
from clipnb.preprocess import Preprocess, find_preprocess
from clipnb.runtime import display_path
from clipnb.search.index_parts import check_parts, read_features, read_ids
from clipnb.search.nearest import check_finite, check_k, find_nearest
from clipnb.search.query import Query
from clipnb.search.query_images import fit_array, fit_image, read_image_file

if TYPE_CHECKING:
    from clipnb.datasets import CaptionDataset
    from clipnb.datasets.photos import PhotoFolder
    from clipnb.search.bank import CaptionBank
    from clipnb.search.page import Page
    from clipnb.search.store import Report
    from clipnb.tokenizer import Tokenizer

SAME_TEXT = 0.99  # the cosine of one text encoded twice, once perhaps in half precision
SMALLEST_SUM = 1e-4  # a sum of unit vectors that is shorter than this consists of rounding errors


@dataclass(frozen=True)
class Hit:
    """One image found.

    score: its cosine with the query, in [-1, 1]. caption: the one of the image's own captions that
    lies nearest to the query, or "" if the image has none.
    """

    score: float
    image_id: str
    caption: str


class ImageIndex:
    """N images, encoded, and the model that encodes a query.

    Make one with `build` or `load`. image_features: float32 (N, D), of unit length. image_ids: N
    names, all different. Raises ValueError or TypeError if the parts do not belong together.

    The rest is there if the images have it. text_features: (N, K, D), the captions encoded, and
    captions: N lists of K strings. images: uint8 (N, 3, S, S). paths: N files. taken: N dates.
    make_thumbnail: returns the thumbnail of an image id, as WebP. unreadable: the images that were
    left out, and why. hashes: uint64 (N,), for `find_near_duplicates`. bank: tells whether anything
    matches a query at all (`has_match`).
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: "Tokenizer",
        image_features: Tensor,
        text_features: Tensor | None = None,
        images: np.ndarray | None = None,
        image_ids: Sequence[str] = (),
        captions: Sequence[Sequence[str]] | None = None,
        paths: Sequence[Path] = (),
        taken: Sequence[datetime] = (),
        make_thumbnail: Callable[[str], bytes] | None = None,
        unreadable: dict[str, str] | None = None,
        hashes: np.ndarray | None = None,
        bank: "CaptionBank | None" = None,
    ):
        self.model = model
        self.tokenizer = tokenizer
        self.image_features = read_features(image_features, "image_features", "ND")
        if text_features is not None:
            text_features = read_features(text_features, "text_features", "NKD")
        self.text_features = text_features
        self.images = images
        self.image_ids = read_ids(image_ids)
        self.captions = captions
        self.paths = list(paths)
        self.taken = list(taken)
        self.unreadable = unreadable or {}
        self.hashes = hashes
        self.bank = bank
        self.report: Report | None = None  # of a folder: what has changed since the last time
        if bank is not None and bank.weights != self.weights:
            raise ValueError("this bank belongs to another model; make one with load_bank(run).")
        self.row = {image_id: i for i, image_id in enumerate(self.image_ids)}
        check_parts(self)
        self.thumbnail = functools.lru_cache(maxsize=2000)(make_thumbnail or self._make_thumbnail)

    @classmethod
    def build(
        cls,
        model: nn.Module,
        tokenizer: "Tokenizer",
        photos: "CaptionDataset | PhotoFolder",
        bank: "CaptionBank | None" = None,
    ) -> "ImageIndex":
        """Encode all images, and their captions if there are any.

        photos: a `CaptionDataset`, or a `PhotoFolder`. What is known about a folder is kept in the
        cache, so a second call encodes only what is new or has changed (see `update_store`).
        """
        if hasattr(photos, "captions"):
            image_features, text_features = encode_dataset(model, tokenizer, photos)
            index = cls(
                model,
                tokenizer,
                image_features,
                text_features,
                photos.images,
                photos.image_ids,
                photos.captions,
                paths=photos.paths,
                bank=bank,
            )
            index.weights  # noqa: B018 (digested now: the model may be trained on later)
            return index
        from clipnb.search.store import update_store

        if not hasattr(photos, "refresh"):
            raise TypeError(
                "an index is built of a CaptionDataset or a PhotoFolder, not of "
                f"{display_value(photos)} ({type(photos).__name__})."
            )
        store = update_store(photos, model)
        index = cls(
            model,
            tokenizer,
            store.image_features,
            image_ids=store.image_ids,
            paths=store.paths,
            taken=store.taken,
            make_thumbnail=store.get_thumbnail,
            unreadable=store.unreadable,
            hashes=store.hashes,
            bank=bank,
        )
        index.report = store.report
        return index

    def __len__(self) -> int:
        return len(self.image_ids)

    @functools.cached_property
    def weights(self) -> str:
        """The digest of the model's weights. Another model cannot read these features."""
        return digest_weights(self.model)

    # ---- queries -----------------------------------------------------------------------------

    def encode(self, query: Any) -> Tensor | None:
        """Encode a query as a feature, float32 (D,) of unit length.

        query: a text; an image, as a PIL image, uint8 (3, H, W) or the path of a file; a vector
        (D,) of any length but zero; or a `Query` that adds and subtracts such terms. An image of
        another size than the model's is resized as `preprocess` says. Returns None if the query
        holds nothing that the model knows. Raises ValueError for anything else, for an array of
        another shape and for terms that cancel each other, OSError for a file that cannot be read.
        """
        if isinstance(query, Query):
            return self._encode_terms(query)
        if isinstance(query, str):
            if not self.tokenizer.encode(query):  # empty, or in a script without a token
                return None
            return self._encode_text(query)
        if isinstance(query, Path):
            query = read_image_file(query, self.preprocess)
        if hasattr(query, "convert"):
            query = fit_image(query, self.preprocess)
        D = self.image_features.shape[1]
        kinds = f"a query is a text, an image (3, H, W) or a vector ({D},)"
        if not torch.is_tensor(query):
            numbers = np.asarray(query)
            if numbers.dtype.kind not in "fiub":  # texts, or None
                raise ValueError(f"{kinds}; this is a {type(query).__name__}.")
            query = torch.tensor(numbers)
        if query.ndim == 3 and len(query) == 3:
            return encode_images(self.model, fit_array(query, self.preprocess)[None])[0]
        if query.shape != self.image_features.shape[1:]:
            raise ValueError(f"{kinds}; this is an array {tuple(query.shape)}.")
        query = query.double().cpu()
        if not query.any():
            raise ValueError("this vector is zero, so it points nowhere; give another one.")
        # Large and small numbers have no squares, and `normalize` would take the sum of these.
        return F.normalize(query / query.abs().max(), dim=0).float()

    def _encode_text(self, text: str) -> Tensor:
        """Encode a text. For a short one the bank, if there is one, knows a better direction."""
        expanded = None if self.bank is None else self.bank.expand(text)
        if expanded is not None:
            return expanded
        return encode_texts(self.model, self.tokenizer([text]))[0]

    def _encode_terms(self, query: Query) -> Tensor | None:
        """Add the features of all terms, each times its weight."""
        features = [(term.weight, self.encode(term.content)) for term in query.terms]
        known = [weight * feature for weight, feature in features if feature is not None]
        if not known:
            return None
        total = torch.stack(known).sum(dim=0)
        if total.norm() < SMALLEST_SUM:
            raise ValueError("the terms of this query cancel each other: there is nothing left.")
        return F.normalize(total, dim=0)

    @property
    def preprocess(self) -> Preprocess:
        """How an image becomes one that the model sees, as large as the images of this index."""
        preprocess = find_preprocess(self.model)
        if self.images is None:
            return preprocess
        return dataclasses.replace(preprocess, size=self.images.shape[-1])

    @property
    def image_size(self) -> int:
        """Pixels a side of the images that the model sees."""
        return self.preprocess.size

    # ---- answers -----------------------------------------------------------------------------

    def search(self, query: Any, k: int = 5) -> list[Hit]:
        """Find the k images nearest to a query (see `encode`), best first.

        There are fewer than k if the index holds fewer, and none if the query is a text that is
        empty or without a known token. Raises ValueError if k is no whole number.
        """
        check_k(k, "images")
        feature = self.encode(query)
        if feature is None or k < 1 or not len(self):
            return []
        scores, rows = find_nearest(self.image_features, feature, k)
        captions = self._find_captions(feature, rows)
        found = zip(scores.tolist(), rows.tolist(), captions, strict=True)
        return [Hit(score, self.image_ids[i], caption) for score, i, caption in found]

    def _find_captions(self, feature: Tensor, rows: Tensor) -> list[str]:
        """Return for each row the caption of the image that lies nearest to a feature (D,)."""
        if self.captions is None:
            return [""] * len(rows)
        scores = self.text_features[rows] @ feature  # (k, K)
        if not scores.isfinite().all():
            raise ValueError("the feature of a caption holds NaN or infinity; encode them again.")
        nearest = scores.argmax(dim=1)  # (k,)
        return [self.captions[i][j] for i, j in zip(rows.tolist(), nearest.tolist(), strict=True)]

    def search_captions(self, query: Any, k: int = 5) -> list[Hit]:
        """Find the k captions nearest to a query, best first: the way from an image to text.

        There are none if the images have no captions. Raises ValueError if k is no whole number.
        """
        check_k(k, "captions")
        feature = self.encode(query)
        if feature is None or k < 1 or not self.captions:
            return []
        n_captions = self.text_features.shape[1]
        scores, rows = find_nearest(self.text_features.flatten(0, 1), feature, k)
        hits = []
        for score, row in zip(scores.tolist(), rows.tolist(), strict=True):
            image, caption = divmod(row, n_captions)
            hits.append(Hit(score, self.image_ids[image], self.captions[image][caption]))
        return hits

    def has_match(self, query: Any) -> bool | None:
        """Tell whether any image matches a text, by the calibrated threshold of the bank.

        query: a text, or a `Query` of one text. Returns None where the answer is not known: for
        any other query, or without a bank.
        """
        if isinstance(query, Query):
            query = query.text
        if self.bank is None or not isinstance(query, str):
            return None
        return self.bank.has_match(self.image_features, query)

    # ---- the images --------------------------------------------------------------------------

    def feature(self, image_id: str) -> Tensor:
        """Return the feature of an image of the index, float32 (D,) of unit length."""
        return self.image_features[self.row[image_id]]

    def image(self, image_id: str) -> np.ndarray:
        """Return an image of the index by its id, as the model sees it: uint8 (3, S, S).

        Raises OSError if it must be read from its file and that is gone, and ValueError if the
        index has neither images nor paths.
        """
        row = self.row[image_id]
        if self.images is None:
            if not self.paths:
                raise ValueError("this index has no images and no paths of files; give it one.")
            return read_image_file(self.paths[row], self.preprocess)
        return self.images[row]

    def _make_thumbnail(self, image_id: str) -> bytes:
        """Return an image as WebP of at most 5 KB."""
        from clipnb.search.thumbnails import encode_array_thumbnail

        return encode_array_thumbnail(self.image(image_id))

    def find_near_duplicates(self) -> list[list[str]]:
        """Find images that show nearly the same. Returns groups of image ids."""
        from clipnb.search.duplicates import find_near_duplicates, hash_images

        if not len(self):
            return []
        check_finite(self.image_features)
        if self.hashes is None:
            self.hashes = hash_images(np.stack([self.image(each) for each in self.image_ids]))
        return find_near_duplicates(self.image_ids, self.image_features, self.hashes)

    def save_html(self, path: str | Path, **options: Any) -> "Page":
        """Write a page that searches these images offline (see `clipnb.search.page.save_html`)."""
        from clipnb.search.page import save_html

        return save_html(self, path, **options)

    # ---- on disk -----------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write features, images and captions as one .npz file.

        The model is not in it, but a digest of its weights is, so that `load` can tell another
        model from this one. The index of a `PhotoFolder` is in the cache already. Raises ValueError
        for it, and FileExistsError if `path` is a folder, or a file that is no such index.
        """
        if self.images is None or self.captions is None:
            raise ValueError(
                "this index has no images or captions of its own to save. The index of a folder is "
                "kept in the cache: ImageIndex.build(model, tokenizer, PhotoFolder(path)) opens it."
            )
        from clipnb.search.index_files import refuse_foreign_file, write_index_file

        check_finite(self.image_features)
        check_finite(self.text_features.flatten(0, 1))
        refuse_foreign_file(path)
        write_index_file(
            path,
            {
                "weights_digest": np.array(self.weights),
                "image_features": self.image_features,
                "text_features": self.text_features,
                "images": self.images,
                "image_ids": self.image_ids,
                "captions": [list(own) for own in self.captions],
            },
        )

    @classmethod
    def load(cls, path: str | Path, model: nn.Module, tokenizer: "Tokenizer") -> "ImageIndex":
        """Read what `save` wrote; `model` must be the one it was built with.

        Raises FileNotFoundError if there is no index, ValueError if another model made it, if the
        tokenizer is not the model's, or if the file is damaged or something else.
        """
        from clipnb.search.index_files import read_index_file

        parts = read_index_file(path)
        if str(parts["weights_digest"]) != digest_weights(model):
            raise ValueError(
                f"{display_path(path)} was built with another model: its features cannot be "
                "compared with this one's. Build it again with ImageIndex.build."
            )
        index = cls(
            model,
            tokenizer,
            torch.from_numpy(parts["image_features"]),
            torch.from_numpy(parts["text_features"]),
            parts["images"],
            parts["image_ids"],
            parts["captions"],
        )
        if len(index) and not index._reads_as_before():
            raise ValueError(
                f"{display_path(path)} was built with another tokenizer: the model would not read "
                "the words that are typed. Give the one that belongs to it, `run.tokenizer`."
            )
        return index

    def _reads_as_before(self) -> bool:
        """Tell whether the first caption has the feature that it had when the index was built."""
        try:
            feature = encode_texts(self.model, self.tokenizer([self.captions[0][0]]))[0]
        except IndexError:  # a token that the model does not have
            return False
        return bool(feature @ self.text_features[0, 0] > SAME_TEXT)
