"""A classifier out of words: each class is the mean feature of some sentences about it (paper §3.1)."""

import warnings

import torch
import torch.nn.functional as F


def unknown_words(tokenizer, name):
    """The words of a class name that are no single token: the vocabulary spells them in pieces, so the model has hardly met them."""
    return [word for word in name.lower().split() if len(tokenizer.encode(word)) != 1]


@torch.no_grad()
def build_zero_shot_classifier(model, tokenizer, classnames, templates=("a photo of a {}",)):
    """Class names and templates with a {} each -> weights (D, C), float32, of unit length: picture features @ weights are cosines.

    The sentences of a class are averaged in embedding space and brought back to unit length (paper §3.1.4), so an ensemble
    costs nothing at test time. Warns of a class name with a word the vocabulary has no token for: its score means nothing.
    (CLIP's own vocabulary has a token for nearly every word, also for those your captions never held: there nothing is noticed.)
    Raises ValueError if there is no class or no template, or a template without {}.
    """
    classnames, templates = list(classnames), list(templates)
    if not classnames or not templates:
        raise ValueError("a classifier needs at least one class name and one template.")
    for template in templates:
        if "{}" not in template:
            raise ValueError(f"the template {template!r} has no {{}} for the class name; for example 'a photo of a {{}}'.")
    for name in classnames:
        if unknown := unknown_words(tokenizer, name):
            warnings.warn(f"class {name!r}: the vocabulary has never seen {', '.join(map(repr, unknown))} as a word, so its score means nothing.", stacklevel=2)
    was_training, device = model.training, model.logit_scale.device
    texts = [template.format(name) for name in classnames for template in templates]  # C*P
    features = model.eval().encode_text(tokenizer(texts).to(device), normalize=True).float().cpu()  # (C*P, D)
    model.train(was_training)
    return F.normalize(features.view(len(classnames), len(templates), -1).mean(dim=1), dim=-1).T  # (D, C)


def zero_shot_scores(model, tokenizer, images, classnames, templates=("a photo of a {}",)):
    """Cosines (N, C) of pictures uint8 (N, 3, S, S), or of their features (N, D) of unit length, with the classes."""
    if images.ndim == 4:
        images = encode_images(model, images)
    return images @ build_zero_shot_classifier(model, tokenizer, classnames, templates)


@torch.no_grad()
def encode_images(model, images, batch_size=250, projected=True):
    """Pictures uint8 (N, 3, S, S), array or tensor -> features on the CPU: (N, D) of unit length, or with `projected=False` the tower's own (N, width)."""
    from clipnb.datasets import normalize_images

    was_training, device = model.training, model.logit_scale.device
    model.eval()
    encode = (lambda batch: model.encode_image(batch, normalize=True)) if projected else (lambda batch: model.image_encoder(normalize_images(batch)))
    parts = (torch.as_tensor(images[i : i + batch_size].copy() if not torch.is_tensor(images) else images[i : i + batch_size]) for i in range(0, len(images), batch_size))
    features = torch.cat([encode(batch.to(device)).float().cpu() for batch in parts])
    model.train(was_training)
    return features
