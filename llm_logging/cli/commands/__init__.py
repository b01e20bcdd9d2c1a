"""One module per group of commands. `cli/registry.py` lists them; each is imported when it is run."""
