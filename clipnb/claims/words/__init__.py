"""What words can do without labels: naming, searching, reading, and their limits (notebook 06)."""
