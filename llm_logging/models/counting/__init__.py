"""A provider's usage object -> counts of tokens and units: find it, name its counts, say what is not understood."""
