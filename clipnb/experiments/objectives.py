"""Experiments of notebook 07: contrastive against predictive objectives (paper Fig 2)."""

EXPERIMENTS = []
