"""Line -> file: the writer thread, its buffer, open files, rotation and recovery."""
