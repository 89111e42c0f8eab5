"""Tests of `ntkseq.studies.provenance`."""

from __future__ import annotations

import hashlib

import numpy as np

from ntkseq.studies.provenance import Fingerprint


def test_the_fingerprint_sees_every_bit_and_the_shape():
    def of(*arrays) -> str:
        one = Fingerprint()
        one.add(*arrays)
        return one.fingerprint()

    x = np.arange(6.0)
    assert of(x) == of(x.copy()) and len(of(x)) == 64
    assert len({of(x), of(x.reshape(2, 3)), of(x.astype(np.float32)), of(x + 1e-15), of(x, x)}) == 5
    assert of("ab", "c") == hashlib.sha256(b"abc").hexdigest()
