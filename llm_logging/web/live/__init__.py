"""The live view: the report's page and more, served on loopback while logs grow."""
