"""Whether a student in training is still sound, and what happens where it is not."""
