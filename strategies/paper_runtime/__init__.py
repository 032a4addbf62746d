"""The processes of a paper session: supervisor, session, student, retraining."""
