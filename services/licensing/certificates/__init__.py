"""X.509 of the device authority: requests, profiles, revocation lists, checks (rules S15, S16; mission LIC-10).

Pure functions over keys and certificates; which device gets one, and when, belongs to the commands.
"""
