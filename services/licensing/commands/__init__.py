"""One function per write of licensing: load, decide, store, emit, in one transaction. Rules belong to `domain`, SQL to `store`."""
