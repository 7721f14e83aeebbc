"""``python -m rewardsmith``."""

from rewardsmith.agent.cli import main

if __name__ == "__main__":
    main()
