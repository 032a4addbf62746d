"""Training: turn outcomes into a better student.

Experiences, rewards, training methods, walk-forward retraining and promotion.
"""
