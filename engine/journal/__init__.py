"""The append-only journal: its events, their storage and their recovery."""
