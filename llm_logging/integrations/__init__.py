"""One module per ecosystem; each logs the calls of an SDK or framework without changes to user code."""
