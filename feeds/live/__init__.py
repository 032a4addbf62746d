"""Live work: what happens now goes into the journal, complete and dated when it became known.

Knows sources and calendars; decides nothing.
"""
