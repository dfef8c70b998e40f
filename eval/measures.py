"""What a figure is: its name, which way is better, its definition, and how it comes from the rows of a run.

A figure is either a mean of one value a row (``each``; None leaves the row out of the mean) or a function of all rows
(``whole``). The first kind is resampled in one matrix product, the second has to be computed again for each sample
(eval/resampling.py); that is the only reason for the difference.

One rule for figures that the rows cannot give: where the denominator is zero (no answerable question, nothing refused,
one class only) the value is None, which --json prints as null; never NaN, never a made-up 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item")
Better = Literal["higher", "lower", "zero", "neither"]  # "zero": the nearer to 0, from either side
Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Measure(Generic[Item]):
    """A figure over rows of one kind. ``about`` is its definition and source, as reports print it."""

    name: str
    better: Better
    about: str
    each: Callable[[Item], float | None] | None = None
    whole: Callable[[Sequence[Item]], float | None] | None = None

    def value(self, items: Sequence[Item]) -> float | None:
        """The figure over ``items``; None where they cannot give it."""
        if self.whole is not None:
            return self.whole(items)
        return mean(value for value in self.values(items) if value is not None)

    def values(self, items: Sequence[Item]) -> list[float | None]:
        """The value of each row, of a figure that is a mean; None for rows that it leaves out."""
        if self.each is None:
            raise AssertionError(f"{self.name} is no mean over rows")
        return [self.each(item) for item in items]


def figures(measures: Sequence[Measure[Item]], items: Sequence[Item]) -> Figures:
    """All ``measures`` over ``items``, by name."""
    return {measure.name: measure.value(items) for measure in measures}


def mean(values: Iterable[float]) -> float | None:
    """Arithmetic mean, exactly rounded whatever the order; None without values."""
    numbers = list(values)
    return math.fsum(numbers) / len(numbers) if numbers else None


def share(part: int, whole: int) -> float | None:
    """part / whole; None where ``whole`` is 0."""
    return part / whole if whole else None
