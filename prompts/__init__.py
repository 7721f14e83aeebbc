"""What is said to a language model, and what its reply means."""
