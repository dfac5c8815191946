"""The departures: what is kept, what is missing, what is never given away."""

import pytest

pd = pytest.importorskip("pandas")

from penstock.demo import flights  # noqa: E402


@pytest.fixture(scope="module")
def departures():
    return flights.load()


@pytest.fixture(scope="module")
def raw():
    return flights.read("flights.csv.zip")


def test_every_flight_is_either_kept_or_counted_as_dropped(departures, raw):
    assert len(departures) + sum(departures.dropped.values()) == len(raw)
    assert departures.dropped["cancelled"] == raw["dep_time"].isna().sum()


def test_the_joins_neither_lose_nor_double_a_flight(departures):
    identity = departures.flight[["date", "scheduled", "number", "route"]]
    assert not identity.duplicated().any()
    assert len(departures.frame) == len(departures.outcome) == len(departures.flight)


def test_nothing_known_only_after_departure_is_a_feature(departures):
    assert list(departures.frame.columns) == flights.COLUMNS
    assert not {"arr_time", "arr_delay", "air_time", "dep_time"} & set(departures.frame.columns)


def test_missing_weather_and_aircraft_stay_missing(departures, raw):
    planes = flights.read("planes.csv")
    flown = raw[raw["arr_delay"].notna()]
    unregistered = ~flown["tailnum"].isin(planes["tailnum"])
    assert departures.frame["engine"].isna().sum() == unregistered.sum() > 0
    assert departures.frame["seats"].isna().sum() == unregistered.sum()
    assert departures.frame["wind_gust"].isna().any()
    assert departures.frame["dep_delay"].notna().all()


def test_a_flight_gets_the_weather_of_its_origin_and_hour(departures, raw):
    weather = flights.read("weather.csv").set_index(["origin", "time_hour"])["temp"]
    first = raw[(raw["month"] == 7) & (raw["day"] == 4) & raw["arr_delay"].notna()].iloc[0]
    found = departures.flight["date"].eq("2013-07-04") & departures.flight["number"].eq(
        f"{first['carrier']}{first['flight']}"
    )
    assert found.sum() >= 1
    row = departures.frame[found & departures.frame["origin"].eq(first["origin"])].iloc[0]
    assert row["temp"] == weather[(first["origin"], first["time_hour"])]


def test_the_outcome_is_late_only_past_fifteen_minutes(departures):
    late = departures.late
    assert set(late.unique()) == {0, 1}
    assert departures.outcome[late == 1].min() == flights.LATE_MINUTES + 1
    assert departures.outcome[late == 0].max() == flights.LATE_MINUTES


def test_months_split_in_time_without_overlap(departures):
    early, late = departures.months(1, 3), departures.months(9, 12)
    assert early.flight["date"].max() == "2013-03-31"
    assert late.flight["date"].min() == "2013-09-01"
    assert len(early) + len(departures.months(4, 8)) + len(late) == len(departures)


def test_an_unknown_table_is_named_in_the_error():
    with pytest.raises(flights.NotFoundError, match=r"trains\.csv"):
        flights.read("trains.csv")
