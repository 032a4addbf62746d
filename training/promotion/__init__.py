"""Whether a challenger may take the champion's place: the rule and the evidence."""
