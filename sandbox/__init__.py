"""The reward worker, its walls and its client: the only place where generated code runs."""
