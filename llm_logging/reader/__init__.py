"""What reads the files back: statistics and entries."""
