"""Files -> statistics: the public functions. Read on in `answer/session.py` (one question) and `retrieval/` (lines)."""
