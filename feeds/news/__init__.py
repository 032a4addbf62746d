"""News from feeds and web pages: download, parse, deduplicate and store with the time of first sight."""
