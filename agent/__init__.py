"""Who decides: language models, roles, search, the loop and the command line."""
