"""The adapters that training writes, and 4-bit students in training."""
