"""The student: prompts, answers, kinds of students, forecasts, and the cache of answers.

Nothing here knows where the data come from or what a forecast earned.
"""
