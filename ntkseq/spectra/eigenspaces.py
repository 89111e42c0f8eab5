"""How far may the space of the leading eigenvectors be turned against that of the exact matrix?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def sines(
    values: Float[np.ndarray, " k"], errors: Float[np.ndarray, " k"], residual: Float[np.ndarray, " k"], beyond: float
) -> Float[np.ndarray, " k"]:
    """At most the sine of the largest angle between the span of the first 1, 2, ... vectors and the exact eigenspace.

        sin t_k <= |R_k| / (values_k - l_{k+1})                                                     (numerics.14)

    1 where that gap is not told from the errors: no angle is known then.

    Args:
        values, errors: leading eigenvalues, descending, and how far each may be from the exact one.
        residual: of the first 1, 2, ... pairs, for the exact matrix, in spectral norm, at most.
        beyond: the exact eigenvalue behind the last of them, at most; -inf where there is none.

    Reference: davis1970.
    """
    gap = values - np.append(values[1:] + errors[1:], beyond)
    return np.where(gap > residual, residual / np.where(gap > residual, gap, 1.0), 1.0)
