"""One function per read of accounts. Nothing here writes."""
