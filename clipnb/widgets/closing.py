"""Closing a widget with all its parts, so that their memory is free again."""

import inspect
from typing import Any, NoReturn

import ipywidgets


class WholeWidget(ipywidgets.VBox):
    """A widget that is closed with all its parts. It cannot be used again."""

    def close(self) -> None:
        """Close it with all its parts, so that their memory is free again."""
        close_parts(self)
        super().close()
        for name, member in vars(type(self)).items():
            if inspect.isfunction(member) and not name.startswith("__"):
                vars(self)[name] = refuse_closed


def close_parts(owner: ipywidgets.Widget) -> None:
    """Close all widgets that a widget is made of: what it shows, hides, or keeps for later.

    ipywidgets closes the outermost one alone. It keeps the others as long as Python runs, and with
    them the outermost one, which their handlers call.
    """
    found, waiting = {}, [owner]  # {id: part}: most parts cannot be hashed
    while waiting:
        part = waiting.pop()
        if id(part) in found:
            continue
        found[id(part)] = part
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, ipywidgets.Widget) or is_ours(part):
            waiting += getattr(part, "__dict__", {}).values()  # its traits, such as children, too
    for part in found.values():
        if isinstance(part, ipywidgets.Widget) and part is not owner:
            part.close()


def refuse_closed(*arguments: Any, **options: Any) -> NoReturn:
    """Stand for every method of a closed widget. Raises RuntimeError."""
    raise RuntimeError("this widget is closed; make a new one.")


def is_ours(part: object) -> bool:
    """Tell whether an object is of a class of clipnb's widgets, such as the gallery."""
    return type(part).__module__.startswith(__package__)
