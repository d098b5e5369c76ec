"""The low-pass in numpy against scipy's."""

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from repset.autolabel.lowpass import butterworth, zero_phase


@pytest.mark.parametrize(("cutoff_hz", "fps"), [(6.0, 30.0), (3.2, 8.0), (6.0, 240.0), (6.0, 59.94)])
def test_filter_is_scipys(cutoff_hz: float, fps: float) -> None:
    sos = butter(2, cutoff_hz, fs=fps, output="sos")
    ours = butterworth(cutoff_hz, fps)
    assert np.allclose([ours.b0, ours.b1, ours.b2, 1.0, ours.a1, ours.a2], sos[0], rtol=1e-12, atol=0)
    rng = np.random.default_rng(3)
    for count in (4, 5, 31, 400):
        values = np.cumsum(rng.normal(0, 8, (count, 6)), axis=0) + 500
        padding = min(count - 1, int(fps))
        wanted = sosfiltfilt(sos, values, axis=0, padlen=padding)
        assert np.allclose(zero_phase(values, ours, padding), wanted, rtol=0, atol=1e-8)


def test_constant_stays_and_input_is_untouched() -> None:
    values = np.full((50, 2), 7.0)
    done = zero_phase(values, butterworth(6.0, 30.0), 30)
    assert np.allclose(done, 7.0, atol=1e-12)
    assert (values == 7.0).all()
