"""How outcomes make a better student: experience, rewards, training, walk-forward and promotion.

The rewards stand in `training.rewards`; every other part is a folder with its own few lines on top.
"""
