"""The only SQL of licensing, a module per part. What is decided with it belongs to `domain` and `commands`."""
