"""Names of code as ``module:attr`` strings: how wrappers, suites and fitness are given."""

import importlib
from typing import Any

from rewardsmith.errors import ConfigError


def attribute(reference: str, what: str) -> Any:
    """Imports ``module:attr``; ``what`` says in messages what it was to be.

    Raises:
        ConfigError: the text has another form, or the module or the attribute is missing.
    """
    module_name, colon, name = reference.partition(":")
    if not (module_name and colon and name):
        raise ConfigError(f"{what} {reference!r}: the form module:attr is wanted")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"{what} {reference!r}: {error}") from error
    if not hasattr(module, name):
        raise ConfigError(f"{what} {reference!r}: module {module_name} has no {name!r}")
    return getattr(module, name)
