"""What executes on the untrusted side: standard library and NumPy only."""
