"""One round for a run or session: by hand, by a schedule, or when its scores drift."""
