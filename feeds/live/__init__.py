"""The collector: live bars, quotes and news go into the journal, dated when they became known."""
