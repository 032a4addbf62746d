"""The registry of adapters: champions, challengers and their history."""
