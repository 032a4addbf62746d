"""Adapters on record: champions, challengers, and how they changed."""
