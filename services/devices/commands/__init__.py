"""The writes of devices, one function each: load, decide, store, emit; one transaction each."""
