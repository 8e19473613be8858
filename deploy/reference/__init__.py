"""Writes the pages of `docs/reference` that say what the code declares: `make reference`; a test compares them."""
