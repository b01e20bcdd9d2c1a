"""Files -> statistics: the public functions. Read on in `answer/run.py` (one question) and `retrieval/` (lines)."""
