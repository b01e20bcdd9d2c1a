"""One question answered: `run.py` leads through load, fold, price and aggregate; results are cached here."""
