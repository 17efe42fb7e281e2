"""The built-in model of LLMOS: data, tokenizer, training, export, evaluation."""
