"""Write lines to files: the buffer, the writer thread, open files, rotation and recovery."""
