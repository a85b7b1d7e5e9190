"""The kernels' elementary functions against the library's, to the accuracy that they state."""

import numpy as np

from tests.helpers.numerics_probe import elementary

EVERYWHERE = np.concatenate([np.linspace(-85, 85, 40001), np.geomspace(1e-30, 1e30, 20001), np.linspace(0.5, 2, 20001)])


def test_exponential_and_its_ends():
    x = EVERYWHERE[np.abs(EVERYWHERE) < 85]
    x = x.astype(np.float32)
    found = elementary(x)["exp"]
    assert np.abs(found / np.exp(x.astype(float)) - 1).max() < 2e-7
    low, high = elementary([-1e4, 1e4])["exp"]
    assert 0 < low < 2e-38
    assert 1e38 < high < np.inf
    assert elementary([0.0])["exp"] == 1.0


def test_logarithm_is_exact_at_one_and_close_around_it():
    x = EVERYWHERE[EVERYWHERE > 1e-30].astype(np.float32)
    exact = np.log(x.astype(float))
    error = np.abs(elementary(x)["log"] - exact)
    assert np.minimum(error / 1e-7, error / (2e-7 * np.maximum(np.abs(exact), 1e-30))).max() < 1
    assert elementary([1.0])["log"] == 0.0


def test_sine_and_cosine_in_every_quadrant_odd_and_even_exactly():
    x = np.linspace(-100, 100, 100001).astype(np.float32)
    found = elementary(x)
    assert np.abs(found["sine"] - np.sin(x.astype(float))).max() < 2e-7
    assert np.abs(found["cosine"] - np.cos(x.astype(float))).max() < 2e-7
    mirrored = elementary(-x)
    assert (mirrored["sine"] == -found["sine"]).all()
    assert (mirrored["cosine"] == found["cosine"]).all()


def test_hyperbolic_tangent_is_close_and_odd():
    x = np.concatenate([np.linspace(-20, 20, 20001), [-1e5, 1e5]]).astype(np.float32)
    found = elementary(x)["tanh"]
    assert np.abs(found - np.tanh(x.astype(float))).max() < 2e-7
    assert (elementary(-x)["tanh"] == -found).all()
