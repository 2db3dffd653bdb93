"""Experiments of notebook 08: linear probes and few-shot (paper Fig 5 to 8, 10)."""

EXPERIMENTS = []
