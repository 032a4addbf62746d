"""The closecall command."""
