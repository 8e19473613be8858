"""What the tenant matrix is made of: two companies and their neighbors, who asks, what is expected, what may not leak."""
