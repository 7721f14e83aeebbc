"""Training and judging: trusted code that knows a reward only as arrays that come back."""
