"""Words against linear probes, and what features are worth (notebook 08)."""
