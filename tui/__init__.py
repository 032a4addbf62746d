"""The terminal: the `closecall` command, its tables and its messages."""
