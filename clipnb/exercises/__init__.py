"""Exercises of the notebooks: `check(properties, answer)` tells right from not yet.

Each exercise is a generator function in the module of its notebook. It takes what the reader
wrote, tries it, and yields one sentence and one truth value for each property that must hold. A
property is about behaviour, so any correct answer passes, and nothing shows the solution.
"""

import dis
import math
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import torch

Properties = Iterator[tuple[str, bool]]

# The instructions of a function whose body is `...`, by version of Python.
IDLE = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}


def check(properties: Callable[[Any], Properties], answer: Any) -> None:
    """Print whether an answer is right, or the first property that it lacks.

    properties: the generator function of the exercise, such as `losses.two_by_two`.
    answer: what the reader wrote: a function, a class or a value. `...` and None stand for an
        exercise that is still open, and so does a function whose body is `...` alone.
    """
    if is_open(answer):
        print("Not answered yet. Replace the dots in this cell, then run it again.")
        return
    n_holding = 0
    try:
        for sentence, holds in properties(answer):
            if not holds:
                print(f"Not yet. This does not hold so far: {sentence}")
                return
            n_holding += 1
    except Exception as error:  # whatever the reader's code raises
        print(f"Not yet. Your code stopped with {type(error).__name__}: {error}")
        return
    print(f"Right. All {n_holding} properties hold.")


def is_open(answer: Any) -> bool:
    """Tell whether an exercise is still open.

    It is open while the answer is `...` or None, or while the body of the function, or of a method
    of the class, is `...` alone.
    """
    if answer is None or answer is ...:
        return True
    functions = vars(answer).values() if isinstance(answer, type) else [answer]
    codes = [function.__code__ for function in functions if hasattr(function, "__code__")]
    return any(does_nothing(code) for code in codes)


def does_nothing(code: CodeType) -> bool:
    """Tell whether a function's byte code only returns None, as that of a stub does."""
    instructions = list(dis.get_instructions(code))
    constants = [each.argval for each in instructions if each.opname.endswith("_CONST")]
    return {each.opname for each in instructions} <= IDLE and constants == [None]


def is_close(value: Any, expected: Any, tolerance: float = 1e-4) -> bool:
    """Tell whether a number or a tensor equals another to within a relative tolerance.

    In place of a tensor, `value` may be a list or an array.
    """
    if isinstance(expected, torch.Tensor) and expected.ndim > 0:
        value = torch.as_tensor(value)
        if value.shape != expected.shape:
            return False
        return torch.allclose(value.double(), expected.double(), rtol=tolerance, atol=tolerance)
    return math.isclose(float(value), float(expected), rel_tol=tolerance, abs_tol=tolerance)
