"""Evidence about rewards, cheapest first: pure functions of arrays that never run a program."""
