"""Other engines: the table of requests that they read."""
