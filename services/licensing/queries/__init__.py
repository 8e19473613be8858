"""One function per read of licensing. Nothing here writes, except the copy of a project that was never heard of."""
