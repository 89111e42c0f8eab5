"""How fast do the eigenvalues fall?"""

from __future__ import annotations

import numpy as np

from ntkseq import _checks
from ntkseq._struct import static, struct
from ntkseq._types import AnyArray
from ntkseq.spectra.clipping import nonnegative


@struct
class Decay:
    """The exponent a of a fitted power law lambda_k ~ k^-a, over the indices first..last (counted from 1).

    `standard_error` is that of the least-squares line: the scatter around it. `error` bounds what the errors of the
    eigenvalues can move the exponent by. Neither says that a power law is the right law.

    Attributes:
        exponent: a.
        first, last: of the indices.
    """

    exponent: float
    standard_error: float
    first: int = static()
    last: int = static()
    error: float = 0.0

    def __str__(self) -> str:
        if np.isnan(self.exponent):
            return f"not fitted: {max(self.last - self.first + 1, 0)} usable eigenvalue(s), 3 are needed"
        return f"{self.exponent:.3g} +- {self.standard_error:.1g} (k = {self.first}..{self.last})"


def decay(values: AnyArray, errors: AnyArray | None = None, *, first: int = 1, last: int | None = None) -> Decay:
    """The decay exponent of a spectrum: least squares of log lambda_k on log k, k = first..last.

    a = -slope,  standard_error^2 = sum(residual^2) / (m - 2) / sum((log k - mean)^2),  m = last - first + 1.

    Args:
        values: eigenvalues in any order.
        errors: per-value errors in descending order of the values; None: no errors.
        first: first index of the fit, counted from 1.
        last: last index, included. Default: the last value that is more than ten times its error (n eps of the
            largest where no errors are given), so that noise is not fitted.

    Returns:
        A `Decay`; its numbers are nan when the range holds fewer than three values.

    Raises:
        ValueError: a range outside 1..n, or one that reaches a value <= its error.
    """
    s = nonnegative(values, errors)
    if errors is None:
        noise, errors = s.size * np.finfo(np.float64).eps * s[0], np.zeros(s.size)
    else:
        noise = errors = np.broadcast_to(np.asarray(errors, np.float64), s.shape)
    first = _checks.positive_int("first", first)
    clear = s > 10.0 * noise
    usable = s.size if clear.all() else int(np.argmin(clear))
    if last is None:
        last = usable
    last = last if last == 0 else _checks.positive_int("last", last)
    if first > s.size or last > s.size:
        raise ValueError(f"first and last must lie in 1..{s.size}; got first={first}, last={last}.")
    part, error = s[first - 1 : last], errors[first - 1 : last]
    if (part <= error).any():
        raise ValueError(
            f"the decay is fitted to values above their errors; got the range {first}..{last}, where only the first "
            f"{usable} values are clear of rounding. Take last <= {usable}, or leave it out."
        )
    if part.size < 3:
        return Decay(float("nan"), float("nan"), first, last, float("nan"))
    x, z = np.log(np.arange(first, last + 1)), np.log(part)
    x = x - x.mean()
    spread = float(x @ x)
    slope = float(x @ z) / spread
    residual = z - z.mean() - slope * x
    moved = -np.log1p(-error / part)  # the larger side of |log(s +- error) - log s|
    return Decay(
        exponent=-slope,
        standard_error=float(np.sqrt(residual @ residual / (part.size - 2) / spread)),
        first=first,
        last=last,
        error=float(np.abs(x) @ moved / spread),
    )
