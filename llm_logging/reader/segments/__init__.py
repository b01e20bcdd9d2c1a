"""Logs -> the view `lines`: one Parquet file per sealed segment, its index, and what is not cached."""
