#!/usr/bin/env bash
# cross_validate of a scikit-learn Pipeline hands metadata to fit and, without a word, not to score, though both asked for it.
# Guessed: what set_score_request asks for arrives at score, as it does without the Pipeline. scikit-learn 1.7.2; 1.8.0 hands it on.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
cat > "$folder/routed.py" <<'PYTHON'
import sys

import numpy as np
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline

arrived = []


class Recorder(ClassifierMixin, BaseEstimator):
    """Says where lengths arrived."""

    def fit(self, X, y, lengths=None):
        self.classes_ = np.unique(y)
        arrived.append(("fit", lengths is not None))
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def score(self, X, y, sample_weight=None, lengths=None):
        arrived.append(("score", lengths is not None))
        return 0.0


sklearn.set_config(enable_metadata_routing=True)
X, y, lengths = np.zeros((4, 3)), np.array([0, 1, 0, 1]), np.array([3, 2, 1, 3])
found = {}
for name, wrapped in (("alone", lambda model: model), ("pipeline", lambda model: make_pipeline("passthrough", model))):
    arrived.clear()
    model = Recorder().set_fit_request(lengths=True).set_score_request(lengths=True)
    cross_validate(wrapped(model), X, y, cv=2, params={"lengths": lengths}, error_score="raise")
    found[name] = dict(arrived)
print("scikit-learn", sklearn.__version__, found)
assert found["alone"] == {"fit": True, "score": True}
assert found["pipeline"] == {"fit": True, "score": sys.argv[1] == "kept"}, "a Pipeline treats metadata otherwise now"
PYTHON
for expected in 1.7.2:dropped 1.8.0:kept; do
    "$folder/venv/bin/pip" install -q "scikit-learn==${expected%%:*}"
    "$folder/venv/bin/python" "$folder/routed.py" "${expected##*:}"
done
