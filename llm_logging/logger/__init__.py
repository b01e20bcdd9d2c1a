"""The logger's side: the adapter, `log.request` and its streams, and the dispatch to handlers."""
