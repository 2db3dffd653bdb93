"""More compute, larger batches, the temperature and locked towers (notebook 10)."""
