"""What lies on disk, shared by the writing and the reading side."""
