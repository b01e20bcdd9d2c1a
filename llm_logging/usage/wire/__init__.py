"""Bytes -> events: server-sent events, content encodings, AWS event streams."""
