"""Python's own logging, extended for LLM calls."""
