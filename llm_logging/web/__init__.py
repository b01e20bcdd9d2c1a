"""HTTP API, live view and report: the answers of the reader as pages, charts and routes."""
