"""Requests that mean harm, on the companies of the tenant matrix in a copy of their own: what they use up is theirs."""
