"""The folder that child processes of `python -m llm_logging run` have in their `PYTHONPATH`."""
