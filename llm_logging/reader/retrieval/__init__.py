"""Single requests and pages of lines: cursors, search by id, one folded request."""
