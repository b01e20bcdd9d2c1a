"""The buffer of lines that outlives its process: rings of bytes in mapped memory, and where to find them."""
