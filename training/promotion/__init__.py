"""The promotion gate: the rule and the evidence by which a challenger replaces the champion."""
