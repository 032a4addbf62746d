"""The student in a process of its own."""
