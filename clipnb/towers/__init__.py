"""Encoders that were made elsewhere: the published CLIP's, torchvision's and timm's."""
