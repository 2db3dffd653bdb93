"""Other styles, other sources and overlap of training and test (notebook 09)."""
