"""A provider's response -> usage, ids, cost, error. Logs nothing. `extract.py` is the door."""
