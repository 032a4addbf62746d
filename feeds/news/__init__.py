"""News from feeds and pages: fetched safely, read, told apart, and kept with its first sight.

Knows no price.
"""
