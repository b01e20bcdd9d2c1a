"""One question answered: `session.py` runs load, fold, select and price; `group_figures.py` aggregates; `results_cache.py` keeps results."""
