"""A paper session's processes, and what a person sees of them. What it does stands in `strategies.paper`."""
