"""What `python -m tests.fuzz` does to the reader: `damage` spoils files, `logs`, `questions` and `texts` ask."""
