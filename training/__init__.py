"""How a student is made: data sets, tokenizer and training."""
