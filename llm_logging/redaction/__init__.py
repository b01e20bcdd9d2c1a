"""Take secrets out of values: `redactor.py` is the door, `traversal.py` walks objects, `scanner.py` searches text."""
