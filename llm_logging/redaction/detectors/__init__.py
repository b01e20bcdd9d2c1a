"""One module per family of secrets. Each detector yields spans of a text to hide."""
