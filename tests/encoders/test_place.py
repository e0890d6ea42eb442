import doctest
from datetime import datetime, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmrec_lib as mm
from mmrec_lib.encoders import place
from mmrec_lib.encoders.place import Geohash, Trajectory, geohash, geohash_box, geohash_neighbours, steps
from mmrec_lib.errors import DataError, MediaWarning, MissingColumnError, ParameterError

latitudes, longitudes = st.floats(-90, 90), st.floats(-180, 180)


def test_doctests():
    assert doctest.testmod(place).failed == 0


# -- time ----------------------------------------------------------------------------------------------------------
def clock(*items, **options):
    return mm.encoders.create("cyclic-time", **options).encode(list(items))


def test_time_by_hand():
    # Thursday, 1 January 1970, midnight: everything is at the beginning but the weekday, 3 of 7
    angle = 2 * np.pi * 3 / 7
    np.testing.assert_allclose(clock(0)[0], [0, 1, np.sin(angle), np.cos(angle), 0, 1, 0, 1], atol=1e-6)
    # 6 in the morning is a quarter of the circle; the 16th of a month of 30 days is half of it
    np.testing.assert_allclose(clock("1970-04-16 06:00")[0, [0, 1, 4, 5]], [1, 0, 0, -1], atol=1e-6)


def test_the_same_moment_in_all_forms():
    moment = datetime(2024, 2, 29, 18, 30, tzinfo=timezone.utc)
    forms = [
        moment.timestamp(), int(moment.timestamp()), moment, moment.replace(tzinfo=None), pd.Timestamp(moment),
        np.datetime64("2024-02-29T18:30"), "2024-02-29 18:30", "2024-02-29T20:30+02:00",
    ]  # fmt: skip
    vectors = clock(*forms)
    np.testing.assert_allclose(vectors, np.repeat(vectors[:1], len(forms), axis=0), atol=1e-6)


def test_midnight_is_no_border():
    late, early, noon = clock("2024-05-06 23:00", "2024-05-07 01:00", "2024-05-07 13:00")[:, :2]
    assert np.linalg.norm(late - early) < 0.6 < 1.9 < np.linalg.norm(early - noon)


def test_the_last_day_of_the_year_is_beside_the_first_in_leap_years_too():
    for year in (2023, 2024):
        vectors = clock(f"{year}-12-31", f"{year + 1}-01-01")[:, 6:]
        np.testing.assert_allclose(np.linalg.norm(vectors[0] - vectors[1]), 2 * np.sin(np.pi / 365), atol=1e-3)


def test_zone_moves_the_hour_of_seconds_but_not_of_naive_times():
    shanghai = {"zone": "Asia/Shanghai"}  # eight hours ahead
    np.testing.assert_allclose(clock(0, **shanghai), clock("1970-01-01 08:00"), atol=1e-6)
    np.testing.assert_allclose(clock("1970-01-01 08:00", **shanghai), clock("1970-01-01 08:00"), atol=1e-6)
    # an hour that does not exist and one that exists twice are read all the same
    assert np.isfinite(clock("2024-03-31 02:30", "2024-10-27 02:30", zone="Europe/Berlin")).all()
    with pytest.raises(ParameterError, match="Atlantis"):
        mm.encoders.create("cyclic-time", zone="Europe/Atlantis")


def test_what_is_no_time_is_named_and_masked():
    with pytest.warns(MediaWarning, match="soon"):
        run = mm.encoders.create("cyclic-time").run([0, "soon", None, float("nan"), True])
    assert run.mask.tolist() == [True, False, False, False, False]
    assert [d.item for d in run.damaged] == [1, 3, 4]


def test_columns_of_seconds_at_once():
    encoder = mm.encoders.create("cyclic-time", zone="America/New_York")
    seconds = [0, 10**9, 1_234_567_890]
    np.testing.assert_allclose(encoder.of_seconds(seconds), encoder.encode(seconds), atol=1e-6)


@given(st.integers(0, 2**32))
def test_each_pair_is_on_the_unit_circle(seconds):
    pairs = mm.encoders.create("cyclic-time").of_seconds([seconds]).reshape(4, 2)
    np.testing.assert_allclose(np.square(pairs).sum(axis=1), 1, atol=1e-5)


def shop(**columns):
    items = pd.DataFrame(columns)
    events = mm.data.Interactions([0], [0], n_users=1, n_items=len(items))
    return mm.data.Dataset(events, pd.DataFrame(index=[0]), items)


def test_read_from_a_table():
    data = shop(
        when=[pd.Timestamp("2024-01-01"), pd.NaT], lat=[48.2, np.nan], lon=[16.4, 2.0], spot=[(48.2, 16.4), None],
        way=[[(0, 0), (0, 1)], None],
    )  # fmt: skip
    wanted = {"when": "cyclic-time", "spot": Geohash(dim=4), "way": Trajectory(dim=3, epochs=1)}
    features = mm.encoders.encode(data, wanted, cache=None)
    assert features.dims == {"when": 8, "spot": 4, "way": 3}
    assert all(mask.tolist() == [True, False] for mask in features.mask.values())
    with pytest.raises(MissingColumnError, match="date"):
        mm.encoders.encode(data, {"date": "cyclic-time"}, cache=None)


# -- geohash -------------------------------------------------------------------------------------------------------
def test_geohash_known_answers():
    assert geohash(57.64911, 10.40744, 11) == "u4pruydqqvj"
    assert geohash(42.605, -5.603, 5) == "ezs42"
    assert geohash(0, 0, 3) == "s00"
    assert geohash([90, -90], [180, -180], 4) == ["zzzz", "0000"]
    assert geohash(38.8977, -77.0365, 5) == "dqcjq"  # the White House
    # by hand: longitude 10 is in the east (1), then west of 90 (0), of 45 (0); latitude 57 is north (1), of 45 (1)
    assert geohash(57, 10, 1) == place._ALPHABET[0b11010]


def test_box_and_neighbours_by_hand():
    assert geohash_box("ezs42") == pytest.approx((42.583, -5.625, 42.627, -5.581), abs=1e-3)
    assert geohash_box("s") == (0, 0, 45, 45)
    assert set(geohash_neighbours("s")) == {"e", "g", "u", "v", "t", "7", "k", "m"}
    assert set(geohash_neighbours("z")) == {"y", "w", "x", "b", "8"}  # over the date line; nothing beyond the pole
    for wrong in ("", "abc", "s-"):
        with pytest.raises(DataError, match="geohash"):
            geohash_box(wrong)


@given(latitudes, longitudes, st.integers(1, 9))
def test_a_place_lies_in_its_box(lat, lon, precision):
    south, west, north, east = geohash_box(geohash(lat, lon, precision))
    assert south - 1e-9 <= lat <= north + 1e-9
    assert west - 1e-9 <= lon <= east + 1e-9
    middle = (south + north) / 2, (west + east) / 2
    assert geohash(*middle, precision) == geohash(lat, lon, precision)


@given(latitudes, longitudes, st.integers(1, 6))
def test_being_neighbours_is_mutual(lat, lon, precision):
    cell = geohash(lat, lon, precision)
    around = geohash_neighbours(cell)
    assert len(around) in (5, 8) or precision == 1
    assert cell not in around
    assert all(cell in geohash_neighbours(other) for other in around)


def test_wrong_places_are_refused():
    for lat, lon, message in ((91, 0, "latitude 91"), (0, -181, "longitude -181"), (np.nan, 0, "latitude nan")):
        with pytest.raises(DataError, match=message):
            geohash(lat, lon)
    encoder = Geohash(dim=2).fit([(0, 0), (1, 1)])
    with pytest.warns(MediaWarning, match="exchanged"):
        run = encoder.run([(0, 0), (116.4, 39.9), "here"])
    assert run.mask.tolist() == [True, False, False]
    with pytest.raises(DataError, match="none of 2"):
        Geohash().fit([(100, 0), "here"])
    for options in ({"dim": 0}, {"precisions": ()}, {"precisions": (0, 3)}):
        with pytest.raises(ParameterError):
            Geohash(**options)


def cities(seed=0, n=200):
    """Places around five towns."""
    rng = np.random.default_rng(seed)
    towns = np.array([(51.48, 0.0), (48.86, 2.35), (52.52, 13.40), (40.71, -74.0), (31.23, 121.47)])
    town = rng.integers(5, size=n)
    return [tuple(place) for place in (towns[town] + rng.normal(0, 0.05, (n, 2))).tolist()], town


def test_neighbours_of_vectors_are_neighbours_on_the_map():
    places, town = cities()
    vectors = Geohash().fit(places).encode(places)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert mm.evaluation.neighbour_accuracy(vectors, town)["accuracy"] == 1


def cosine(encoder, a, b):
    a, b = encoder.encode([a, b])
    return float(a @ b)


def test_soft_cells_do_not_see_the_border():
    places, _ = cities()
    west, east, far = (51.478, -0.0005), (51.478, 0.0005), (51.478, 0.15)  # Greenwich, 70 m apart
    assert geohash(*west)[0] != geohash(*east)[0]
    hard, soft = (Geohash(soft=flag).fit(places) for flag in (False, True))
    assert cosine(soft, west, east) > 0.99 > cosine(soft, east, far)
    assert cosine(hard, west, east) < cosine(hard, east, far)


def test_date_line_and_poles():
    places = [(-16.8, 179.99), (-16.8, -179.99), (-17.0, 178.0), (89.9, 0), (89.9, 170), (10, 10)]
    encoder = Geohash().fit(places)
    assert cosine(encoder, (-16.8, 179.99), (-16.8, -179.99)) > 0.99
    np.testing.assert_allclose(encoder.encode([(-16.8, 180)]), encoder.encode([(-16.8, -180)]), atol=1e-6)
    assert np.isfinite(encoder.encode([(90, 0), (-90, 0)])).all()


def test_one_place_alone_and_a_place_far_from_all():
    encoder = Geohash(dim=4).fit([(10, 10)])
    assert cosine(encoder, (10, 10), (10, 10.001)) == pytest.approx(1)
    assert not encoder.encode([(-50, -150)]).any()


@given(latitudes, longitudes)
def test_weights_of_cells_sum_to_one(lat, lon):
    rows, _, weights = Geohash(precisions=(3,))._cells([(lat, lon)])
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert len(rows) == 4


# -- ways ----------------------------------------------------------------------------------------------------------
def test_steps_by_hand():
    way = np.array([(0, 0), (0, 1), (1, 1)], float)  # one degree east, one north, at the equator
    np.testing.assert_allclose(steps(way), [[111.195, 0, 0], [0, 111.195, 0]], atol=0.01)
    np.testing.assert_allclose(steps(np.array([(60, 10), (60, 11)], float))[0, 0], 111.195 / 2, rtol=1e-4)
    over = steps(np.array([(0, 179.5, 0), (0, -179.5, 99)], float))
    np.testing.assert_allclose(over, [[111.195, 0, np.log(100)]], atol=0.01)
    with pytest.raises(DataError, match="backwards"):
        steps(np.array([(0, 0, 5), (0, 1, 4)], float))


def walks(n=80, seed=0):
    """Straight ways, and ways that turn back and forth; 5 to 15 places, anywhere."""
    rng = np.random.default_rng(seed)
    ways, straight = [], rng.random(n) < 0.5
    for is_straight in straight:
        length, heading = rng.integers(5, 15), rng.uniform(0, 2 * np.pi)
        turns = np.zeros(length) if is_straight else np.pi * (np.arange(length) % 2)
        move = 0.01 * np.stack([np.sin(heading + turns), np.cos(heading + turns)], axis=1)
        ways.append(rng.uniform(-60, 60, 2) + move.cumsum(axis=0) + rng.normal(0, 1e-4, move.shape))
    return ways, straight


def test_a_way_is_told_by_its_form():
    ways, straight = walks()
    encoder = Trajectory(dim=16, epochs=30, batch_size=16).fit(ways)
    assert encoder.history_["loss"][-1] < 0.5 * encoder.history_["loss"][0]
    vectors = encoder.encode(ways)
    assert mm.evaluation.linear_probe(vectors, straight)["accuracy"] > 0.95
    # where on Earth makes no difference (on the same latitude), nor who else is in the batch
    moved = [way + [0, 50] for way in ways]
    np.testing.assert_allclose(encoder.encode(moved), vectors, atol=1e-3)
    np.testing.assert_allclose(encoder.encode(ways, batch_size=3), vectors, atol=1e-5)


def test_ways_fit_again_save_and_load(tmp_path):
    ways, _ = walks(12)
    first, second = (Trajectory(dim=5, epochs=2).fit(ways) for _ in range(2))
    np.testing.assert_array_equal(first.encode(ways), second.encode(ways))
    first.save(tmp_path / "way")
    np.testing.assert_array_equal(mm.encoders.load(tmp_path / "way").encode(ways), first.encode(ways))
    with pytest.warns(MediaWarning, match="two or more"):
        run = first.run([ways[0], [(0, 0)], None])
    assert run.mask.tolist() == [True, False, False]
    for options in ({"dim": 0}, {"epochs": 1.5}, {"learning_rate": 0}):
        with pytest.raises(ParameterError):
            Trajectory(**options)


def test_places_save_and_load(tmp_path):
    places, _ = cities(n=40)
    encoder = Geohash(dim=6).fit([*places, None])
    encoder.save(tmp_path / "place")
    loaded = mm.encoders.load(tmp_path / "place")
    np.testing.assert_array_equal(loaded.encode(places), encoder.encode(places))
    assert loaded.fingerprint == encoder.fingerprint


def test_seconds_between_places_matter():
    slow = [[(0, 0, 0), (0, 0.01, 600), (0, 0.02, 1200)]]
    fast = [[(0, 0, 0), (0, 0.01, 20), (0, 0.02, 40)]]
    encoder = Trajectory(dim=8, epochs=2).fit(slow + fast)
    assert np.abs(encoder.encode(slow) - encoder.encode(fast)).max() > 1e-3
