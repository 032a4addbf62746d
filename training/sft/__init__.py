"""One round of supervised training on the same outcomes, the other way to the same end."""
