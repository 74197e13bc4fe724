"""Measures what the product promises about its cost, and compares each figure with its limit: `make bench`."""
