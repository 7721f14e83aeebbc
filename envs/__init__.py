"""What is to be learned: tasks, environment cards, fitness, recorded steps."""
