"""The byte formats of license files and returns, as `docs/reference/license-files.md` publishes them.

Pure functions over bytes: no tables, no clock, no key store. What is issued to whom, and why, belongs to the commands.
"""
