"""The check for lookahead: whether a student or a strategy knows what it cannot know."""
