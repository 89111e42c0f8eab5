"""Does a study report what the library computes, step by step, and nothing better?"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

import ntkseq
from ntkseq import bounds, predictors
from ntkseq.studies import Study, run
from ntkseq.studies.tangent import digits
from ntkseq.studies.tangent.inputs import problem

SMALL = Study("digits", n_train=40, n_test=30, read="last", reg=1e-2)


@pytest.fixture(scope="module")
def small():
    return run(SMALL)


@pytest.fixture
def file(tmp_path):
    def made(x, y, **more):
        np.savez(tmp_path / "made.npz", x=x, y=y, **more)
        return str(tmp_path / "made.npz")

    return made


@pytest.mark.slow
def test_the_numbers_are_those_of_the_library_called_by_hand(small):
    signs = np.where(small.y == 1, 1.0, -1.0)
    assert small.spectrum.min_eigenvalue.estimate == ntkseq.spectrum(small.gram).min_eigenvalue.estimate
    by_hand = bounds.rademacher(small.gram, signs, reg=1e-2, tried=5)  # five parts share delta
    assert small.bounds["rademacher"].value == by_hand.value
    assert small.bounds["arora2019"].value == bounds.arora2019(small.gram, signs).value
    fit = predictors.ridge(small.gram, signs, reg=1e-2)
    f, truth = np.asarray(fit(small.cross)), np.where(small.y_test == 1, 1.0, -1.0)
    assert small.prediction.test_error == np.mean(np.sign(f) != truth)
    assert small.measured["margin"] == np.mean(f * truth <= 0)
    assert small.measured["rademacher"] == pytest.approx(np.mean(np.minimum(1, np.abs(f - truth))))


@pytest.mark.slow
def test_what_is_proved_stands_beside_what_the_same_predictor_does_on_the_test_examples(small):
    truth = np.where(small.y_test == 1, 1.0, -1.0)
    posed = problem(SMALL)
    queries, cross = ntkseq.gram(SMALL.build(), posed.test.x), np.asarray(small.cross.array)
    for key in ("gibbs", "gibbs 20 %"):
        known = small.bounds[key].constants.predictor
        spread = np.sqrt(known.variance(cross, np.asarray(queries.array)))
        wrong = scipy.special.ndtr(-truth * np.asarray(known.mean(cross)) / spread)
        assert small.measured[key] == pytest.approx(np.mean(wrong), abs=1e-5)
    mean = np.asarray(small.bounds["mean"].constants.predictor.mean(cross))
    assert small.measured["mean"] == np.mean(truth * mean <= 0)
    assert small.best in small.bounds and small.numbers["best_bound"] == small.best


@pytest.mark.slow
def test_the_cross_kernel_is_that_of_the_test_examples(small):
    posed = problem(SMALL)
    direct = SMALL.build()(posed.test.x[:3], posed.train.x[:4])
    assert small.cross.shape == (30, 40)
    assert np.allclose(np.asarray(small.cross.array)[:3, :4], np.asarray(direct), rtol=1e-5)


def test_provenance_tells_how_to_do_it_again(small):
    told = small.provenance
    assert told["command"] == "ntkseq study digits --read last --reg 0.01 --n-train 40 --n-test 30"
    assert Study(**{k: tuple(v) if isinstance(v, list) else v for k, v in told["config"].items()}) == SMALL
    assert {"ntkseq", "jax", "numpy", "python"} <= set(told["versions"])
    assert {"gram", "spectrum", "bounds"} <= set(told["seconds"]) and len(told["data_sha256"]) == 64


@pytest.mark.slow
def test_every_stage_is_announced():
    heard = []

    class Stage:
        def __init__(self, name):
            heard.append(name)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    run(SMALL, stage=Stage)
    assert heard[0] == "data" and "kernel matrix 40 x 40" in heard and heard[-1] == "bounds"


def sequences(seed=0):
    """12 sequences to train on and 4 to test: one shape for all tests below, so that little is compiled."""
    x = np.random.default_rng(seed).normal(size=(16, 3, 1)).astype(np.float32)
    return x[:12], np.arange(12) % 2, {"x_test": x[12:], "y_test": np.arange(4) % 2}


@pytest.mark.slow
def test_without_a_ridge_it_is_chosen_on_training_labels_only(file):
    x, y, held = sequences()
    chosen = [
        run(Study(file(x, y, **held | {"y_test": labels}), read="last")).prediction
        for labels in (np.arange(4) % 2, np.ones(4, int))
    ]
    assert chosen[0].reg == chosen[1].reg and "leave-one-out" in chosen[0].reg_from


@pytest.mark.slow
def test_duplicate_sequences_leave_estimates_without_a_value_and_say_so(file):
    x, y, held = sequences()
    x[2] = x[0]
    found = run(Study(file(x, y, **held), read="last"))
    assert not found.spectrum.min_eigenvalue.resolved
    assert not found.bounds["arora2019"].computable and "zero" in found.bounds["arora2019"].reason
    assert any("cannot be told from zero" in note for note in found.notes)
    assert found.bounds["rademacher"].computable


@pytest.mark.slow
def test_more_classes_are_predicted_one_against_the_rest(file):
    x, _, held = sequences()
    y, y_test = np.arange(12) % 3, np.arange(4) % 3
    x[:], held["x_test"][:] = (
        np.array([3.0, -3.0, 0.1])[c][:, None, None] + 0.1 * z for c, z in ((y, x), (y_test, held["x_test"]))
    )
    names = np.array(["u", "v", "w"])
    found = run(Study(file(x, names[y], x_test=held["x_test"], y_test=names[y_test]), positive="v", read="last"))
    assert found.prediction.test_error == 0.0 and found.prediction.scores.shape == (4, 3)
    assert found.problem == "class 'v' is +1, the other 2 classes together are -1"
    assert any("one-vs-rest" in note for note in found.notes)


@pytest.mark.slow
def test_test_examples_that_were_trained_on_take_the_interval_away_and_are_counted(file):
    x, y, held = sequences()
    held["x_test"][1:3] = x[[5, 0]]
    found = run(Study(file(x, y, **held), read="last"))
    assert found.prediction.test_interval is None and found.data["repeated_in_test"] == 2 and not found.measured
    assert any("2 of 4 test examples are training examples" in note for note in found.notes)
    assert "no interval" in "\n".join(found.summary()) and found.prediction.to_dict()["test_interval"] is None
    with pytest.raises(ValueError, match="the test split repeats the training split, the same 12 examples"):
        run(Study(file(x, y, x_test=x[::-1], y_test=y[::-1]), read="last"))


@pytest.mark.slow
def test_scaling_by_the_sample_takes_the_certificate_away(file):
    x, y, held = sequences()
    path = file(x, y, **held)
    assert run(Study(path, read="last")).bounds["rademacher"].certified
    scaled = run(Study(path, read="last", normalise="max-norm"))
    assert not scaled.bounds["rademacher"].certified
    assert "scale: fails" in scaled.bounds["rademacher"].objections
    assert scaled.best == "" and any(one.startswith("Nothing is proved of the error") for one in scaled.findings)
    assert scaled.bounds["du2019"].certified  # speaks of the training examples only


@pytest.mark.slow
def test_ragged_sequences_are_refused_by_the_dense_kernel(file):
    x, y, held = sequences()
    path = file(x, y, **held, lengths=np.arange(12) % 3 + 1, lengths_test=np.full(4, 2))
    with pytest.raises(ValueError, match="needs sequences of one length"):
        run(Study(path, kernel="dense"))
    assert run(Study(path, read="last")).data["ragged"]


def test_a_kernel_that_is_zero_is_named_as_the_cause(file):
    x, y, held = sequences()
    with pytest.raises(ValueError, match="kernel is zero"):
        run(Study(file(0 * x, y, **held), sigma_b=0.0, read="last"))


@pytest.mark.slow
def test_the_digits_study_finds_the_numbers_that_its_file_promises():
    found = digits.main()
    assert found.prediction.test_error == 0.0
    assert found.spectrum.min_eigenvalue.estimate == pytest.approx(0.0204, rel=0.04)
    assert found.spectrum.effective_rank("entropy") == pytest.approx(2.53, abs=0.03)
    assert found.bounds["rademacher"].value == pytest.approx(3.35, abs=0.01)
    best = found.bounds[found.best]
    assert best.certified and best.value < 0.1 and found.measured[found.best] == 0.01  # of 100 test examples
    assert found.facts[0][0].startswith("≤ 0.06")
    assert found.bounds["mean"].value <= 0.25 and 0 < found.measured["gibbs"] < found.bounds["gibbs"].value < 0.25
