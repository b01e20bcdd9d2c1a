"""Names and places of files: layout, segments, lines, safe opening, compression. Knows nothing of LLMs."""
