"""What the student sees and says: prompts, answers, students, forecasts and their ledger.

Nothing here knows where facts come from or what a forecast earned.
"""
