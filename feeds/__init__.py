"""Where facts come from: bars and news, from files or from a simulated market.

Feeds know nothing of models, orders or scores.
"""
