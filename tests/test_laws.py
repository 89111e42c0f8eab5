"""Do weights of another law have it, mean 0 and variance 1, in every precision?"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ntkseq._laws import CUT_VARIANCE, LAWS, shaped


@pytest.mark.parametrize("law", LAWS)
def test_the_numbers_have_the_quantiles_of_the_law(law: str) -> None:
    of = {"normal": scipy.stats.norm(), "uniform": scipy.stats.uniform(-(3**0.5), 2 * 3**0.5)}
    of["truncated"] = scipy.stats.truncnorm(-2, 2, scale=CUT_VARIANCE**-0.5)
    wanted = of[law]
    assert abs(wanted.mean()) < 1e-12 and abs(wanted.var() - 1) < 1e-12
    z = np.linspace(-4, 4, 41).astype(np.float32)
    np.testing.assert_allclose(shaped(law, jnp.asarray(z)), wanted.ppf(scipy.stats.norm.cdf(z)), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("law", LAWS)
def test_half_precision_is_rounded_once(law: str) -> None:
    z = jnp.asarray(np.linspace(-6, 6, 25), jnp.bfloat16)
    assert shaped(law, z).dtype == jnp.bfloat16
    np.testing.assert_array_equal(shaped(law, z), shaped(law, z.astype(jnp.float32)).astype(jnp.bfloat16))
