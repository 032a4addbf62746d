"""Decoding: how an answer is taken from a model, and the memory and order in which prompts are computed."""
