"""Trains, judges, remembers and shows: everything of a run but its decisions."""
