"""Is the template of effective rank as capacity what it says, and never a bound?"""

from __future__ import annotations

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkseq import spectra
from ntkseq._bound import PROVENANCE, Bound, Term
from ntkseq.bounds.attention_capacity import effective_rank_capacity


def test_it_is_its_formula():
    found = effective_rank_capacity(3.0, 1000, 0.01, 2.0)
    assert found.value == pytest.approx(2 * math.sqrt((3 * math.log(1000) + math.log(100)) / 1000), rel=1e-14)
    other = effective_rank_capacity(3.0, 1000, 0.01, log_arg=8)
    assert other.value == pytest.approx(math.sqrt((3 * math.log(8) + math.log(100)) / 1000), rel=1e-14)


def test_it_is_never_certified_and_says_that_no_theorem_stands_behind_it():
    found = effective_rank_capacity(1e-9, 10**9, 0.5, 1e-9)
    assert not found.certified and found.provenance == "template" == PROVENANCE[-1]
    assert found.verdict.count("<=") == 0 and "no theorem" in found.verdict
    assert found.delta is None  # nothing holds with that probability
    assert "template" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["provenance"] == "template"


def test_a_template_spoils_any_bound_it_counts_in():
    proved = Term("capacity", "b", 0.1, explicit=True, provenance="derived")
    assumed = Term("shape", "s", 0.1, explicit=True, provenance="template")
    bound = Bound("test", "risk", 0.2, (proved, assumed), ())
    assert not bound.certified and bound.provenance == "template"
    assert bound.objections == ("form assumed by this library, no theorem, in shape",)


def test_definition_and_aggregation_are_recorded_and_matter():
    x = jax.random.normal(jax.random.key(0), (12, 5, 5))
    two = jnp.array([0.1, 3.0])[:, None, None]
    ranks = spectra.attention_ranks(lambda p, x: jax.nn.softmax(two * x[None]), None, x, kinds=("stable", "entropy"))
    means = ranks.layers[0].mean
    for kind in ("stable", "entropy"):
        for how in ("mean", "max", "sum"):
            found = effective_rank_capacity(ranks, 50, kind=kind, how=how)
            assert found.constants.r_eff == pytest.approx(float(getattr(np, how)(means[kind])))
            assert found.constants.kind == kind and found.constants.how == how
            assert found.constants.r_eff_error > 0
            assert "means of 12 examples" in found.terms[0].note
    with pytest.raises(ValueError, match="kind must be one of"):
        effective_rank_capacity(ranks, 50, kind="participation")


def test_it_falls_with_n_and_grows_with_the_rank():
    values = [effective_rank_capacity(2.0, n).value for n in (10, 100, 1000, 10**6)]
    assert (np.diff(values) < 0).all()
    assert effective_rank_capacity(4.0, 100).value > effective_rank_capacity(2.0, 100).value
    assert effective_rank_capacity([1.0, 5.0], 100, how="max").constants.r_eff == 5.0


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([], 10), {}, "r_eff must be effective ranks"),
        ((-1.0, 10), {}, "r_eff must be effective ranks"),
        ((np.nan, 10), {}, "r_eff must be effective ranks"),
        ((1.0, 0), {}, "n must be an integer"),
        ((1.0, 10, 0.0), {}, "delta must lie"),
        ((1.0, 10, 0.1, 0.0), {}, "constant must be"),
        ((1.0, 10, 0.1, 1.0, 0.5), {}, "log_arg must be at least 1"),
        ((1.0, 10), {"kind": "rank"}, "kind must be one of"),
        ((1.0, 10), {"how": "median"}, "how must be one of"),
    ],
)
def test_bad_arguments_are_turned_away(arguments, options, message: str):
    with pytest.raises(ValueError, match=message):
        effective_rank_capacity(*arguments, **options)
