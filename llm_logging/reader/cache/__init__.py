"""Files in the cache folder: how they are written, read, keyed and evicted."""
