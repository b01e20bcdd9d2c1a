"""One file an ecosystem."""
