import numpy as np
import pytest

from perception.errors import ConfigError
from perception.tracking.evidence import LEAST, MOST, POINTRCNN, Evidence


def says(evidence, score, height=40.0):
    return float(evidence(np.array([score], np.float32), np.array([height]))[0])


def test_the_neutral_score_says_nothing():
    assert says(Evidence(neutral_score=0.4), 0.4) == pytest.approx(0, abs=1e-6)


def test_better_scores_say_more_within_limits():
    evidence = Evidence(neutral_score=0.4)
    values = [says(evidence, score) for score in (0.0, 0.1, 0.3, 0.5, 0.8, 1.0)]
    assert values == sorted(values)
    assert values[0] == LEAST and values[-1] == MOST


def test_a_tall_box_needs_a_better_score_than_a_far_one_where_size_counts():
    assert says(POINTRCNN, 0.9, height=25) > 0 > says(POINTRCNN, 0.9, height=100)
    plain = Evidence(neutral_score=0.4)
    assert says(plain, 0.9, height=25) == says(plain, 0.9, height=100)


@pytest.mark.parametrize(
    "settings",
    [{"neutral_score": 0}, {"neutral_score": 1.2}, {"size_slope": np.nan}, {"size_px": 0}],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError, match=f"{next(iter(settings))} must be"):
        Evidence(**settings)
