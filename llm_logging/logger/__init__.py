"""What an application holds: the adapter, `log.request` and its streams, and the way to a handler."""
