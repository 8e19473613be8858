"""One function per write of licensing: load, decide, store, emit. Rules belong to `domain`, SQL to `store`."""
