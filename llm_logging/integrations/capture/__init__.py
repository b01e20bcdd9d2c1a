"""What the integrations share: the exchange seen, what was observed, retries, nesting."""
