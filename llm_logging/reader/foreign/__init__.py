"""Lines of other programs -> entries: providers' responses, exports of other tools, usual names of fields."""
