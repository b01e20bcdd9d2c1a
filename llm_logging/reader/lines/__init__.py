"""JSON lines -> typed rows: columns, parsing, coercions, salvage of odd lines, the list of log files."""
