"""`logging.LogRecord` -> line of JSON: handlers, formatters, entry builder, content policy."""
