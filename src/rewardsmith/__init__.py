"""rewardsmith: words in, a proven reward function out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewardsmith.agent.api import design

__version__ = "0.1.0"
__all__ = ["__version__", "design"]


def __getattr__(name: str) -> Any:
    """Imports the Python API when it is first asked for, so that the package imports at once."""
    if name == "design":
        from rewardsmith.agent.api import design

        return design
    raise AttributeError(f"module 'rewardsmith' has no attribute {name!r}")
