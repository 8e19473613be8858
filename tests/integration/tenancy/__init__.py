"""What the tenant matrix is made of: two companies and neighbors, who asks, what is expected, what may not leak."""
