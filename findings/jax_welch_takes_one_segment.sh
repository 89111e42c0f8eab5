#!/usr/bin/env bash
# jax.scipy.signal.welch, without nperseg, takes the whole series as its one segment: nothing is averaged, the power spectrum has
# a relative error of 100 % at each frequency however long the series, and 501 frequencies where scipy.signal.welch has 129 for the
# same call. csd is the same; stft of the same module has scipy's 256.
# Guessed: segments of 256, as in scipy and as its own documentation has it: "nperseg: Length of each segment (default: 256)".
# jax 0.10.2, scipy 1.17.1. Safe: nperseg=256, with which both agree to 1e-6.
# Exit 0: seen again. Exit 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 scipy==1.17.1 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import numpy as np
import scipy.signal

peer = jax.scipy.signal
for length in (1000, 16000):
    noise = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    spread = {}
    for name, library in {"jax": peer, "scipy": scipy.signal}.items():
        power = np.asarray(library.welch(noise)[1])[1:-1]
        spread[name] = float(power.std() / power.mean())
        print(f"{name}: {power.size + 2} frequencies of {length} steps of white noise, relative error of each {spread[name]:.2f}")
    assert peer.welch(noise)[1].shape == peer.csd(noise, noise)[1].shape == (length // 2 + 1,), "the default is scipy's now"
    assert peer.stft(noise)[2].shape == scipy.signal.stft(noise)[2].shape
    assert spread["jax"] > 0.9 and spread["scipy"] < 0.5
    assert np.allclose(peer.welch(noise, nperseg=256)[1], scipy.signal.welch(noise)[1], rtol=1e-4, atol=1e-6)
PYTHON
