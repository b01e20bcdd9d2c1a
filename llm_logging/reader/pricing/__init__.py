"""Rates per model and day: the price list, a user's own rates, rates kept in the cache."""
