"""Experiments of notebook 10: scaling laws, batch size, temperature (paper Fig 9, §2.3 to 2.5)."""

EXPERIMENTS = []
