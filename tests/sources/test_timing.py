from fractions import Fraction

from perception.sources.timing import TimeStamps

MILLISECONDS = Fraction(1, 1000)


def test_good_times_pass_unchanged_however_irregular():
    times = TimeStamps(MILLISECONDS, Fraction(25))
    given = [-80, -40, 0, 1, 500, 9000]
    assert [times(pts) for pts in given] == given
    assert (times.estimated, times.jumps) == (0, [])


def test_a_missing_time_is_one_step_after_the_frame_before():
    times = TimeStamps(MILLISECONDS, Fraction(25))
    assert [times(pts) for pts in (0, None, None, 120)] == [0, 40, 80, 120]
    assert times.estimated == 2


def test_an_equal_time_is_moved_by_a_tick():
    times = TimeStamps(MILLISECONDS, Fraction(25))
    assert [times(pts) for pts in (0, 40, 40, 120)] == [0, 40, 41, 120]
    assert times.estimated == 1


def test_a_second_recording_in_the_file_is_counted_on():
    times = TimeStamps(MILLISECONDS, Fraction(25))
    assert [times(pts) for pts in (4000, 4040, 0, 40, 90)] == [4000, 4040, 4080, 4120, 4170]
    assert times.jumps == [4.04]
    assert times.estimated == 0


def test_a_jump_ahead_that_no_camera_makes_is_counted_on():
    times = TimeStamps(MILLISECONDS, Fraction(25))
    days = 5 * 24 * 3600 * 1000
    assert [times(pts) for pts in (0, 40, days, days + 50, days + 80)] == [0, 40, 80, 130, 160]
    assert times.jumps == [0.04]


def test_one_damaged_number_far_ahead_is_told_from_a_pause():
    times = TimeStamps(MILLISECONDS, Fraction(25))
    times(0)
    assert times.is_spike(35_000, following=80)
    assert not times.is_spike(35_000, following=35_040)
    assert not times.is_spike(40, following=80)
    assert not times.is_spike(35_000, following=None)


def test_gaps_of_a_constant_rate_are_missing_frames():
    times = TimeStamps(MILLISECONDS, Fraction(30000, 1001))
    for i in range(30):
        if i not in (10, 11, 20):
            times(round(i * 1001 / 30))
    assert times.missing_within == 3
    assert times.missing_before(round(33 * 1001 / 30)) == 3


def test_gaps_of_a_variable_rate_are_not():
    times = TimeStamps(MILLISECONDS, Fraction(25))
    for pts in (0, 17, 90, 300, 310, 500):
        times(pts)
    assert times.missing_within == 0
    assert times.missing_before(None) == 0
