"""What Python's own runtime may do to a logger: forks that it is told of or not, threads and locks that others replace."""
