"""rewardsmith: words in, a proven reward function out."""

__version__ = "0.1.0"
