"""Experiments of notebook 09: other styles, corruptions, overlap (paper Fig 13 to 15, §5)."""

EXPERIMENTS = []
