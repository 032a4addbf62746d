"""What a journal says, for every reader: status, dashboard, log and webhook."""
