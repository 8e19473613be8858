"""The published contract of licensing."""
