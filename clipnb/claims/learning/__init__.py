"""What to learn from pairs: contrast, words or sentences (notebook 07)."""
