//! Windows over a week, over midnight, and over changes of the clocks.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn schedule(window: &Value) -> Schedule {
    serde_json::from_value::<Window>(window.clone()).unwrap().schedule().unwrap()
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// When all the windows are open: `now`, a time, or `never`.
fn opens(windows: &[Value], now: &str) -> String {
    let windows: Vec<Schedule> = windows.iter().map(schedule).collect();
    match opening(&windows, at(now)) {
        Opening::Now => "now".into(),
        Opening::At(moment) => moment.to_string(),
        Opening::Never => "never".into(),
    }
}

#[test]
fn one_window_opens_on_its_days() {
    let nightly = json!({"start": "22:00", "duration": "4h"});
    let weekend =
        json!({"days": ["Sat"], "start": "00:00", "duration": "48h", "timeZone": "Europe/Berlin"});
    let all_week = json!({"days": ["Wed"], "start": "12:00", "duration": "168h"});
    for (window, now, expected) in [
        // 2026-01-01 is a Thursday.
        (&nightly, "2026-01-01T21:59:59Z", "2026-01-01T22:00:00Z"),
        (&nightly, "2026-01-01T22:00:00Z", "now"),
        (&nightly, "2026-01-02T01:59:59Z", "now"),
        (&nightly, "2026-01-02T02:00:00Z", "2026-01-02T22:00:00Z"),
        (&weekend, "2026-01-01T00:00:00Z", "2026-01-02T23:00:00Z"),
        (&weekend, "2026-01-04T22:59:59Z", "now"),
        (&weekend, "2026-01-04T23:00:00Z", "2026-01-09T23:00:00Z"),
        (&all_week, "2026-01-06T03:00:00Z", "now"),
    ] {
        assert_eq!(opens(std::slice::from_ref(window), now), expected, "{window} at {now}");
    }
    assert_eq!(opens(&[], "2026-01-01T00:00:00Z"), "now");
}

#[test]
fn a_change_of_the_clocks_moves_the_opening() {
    let berlin = json!({"start": "02:30", "duration": "30m", "timeZone": "Europe/Berlin"});
    let opens = |now| opens(std::slice::from_ref(&berlin), now);
    // 2026-03-29 has no 02:30: it is 03:30 of summer time. 2026-10-25 has two: the first counts.
    assert_eq!(opens("2026-03-29T00:00:00Z"), "2026-03-29T01:30:00Z");
    assert_eq!(opens("2026-10-25T00:00:00Z"), "2026-10-25T00:30:00Z");
    assert_eq!(opens("2026-10-25T01:30:00Z"), "2026-10-26T01:30:00Z");
}

#[test]
fn several_windows_all_have_to_be_open() {
    let nightly = json!({"start": "22:00", "duration": "4h"});
    let sunday = json!({"days": ["Sun"], "start": "23:00", "duration": "6h"});
    let noon = json!({"start": "12:00", "duration": "1h"});
    let both = [nightly.clone(), sunday];
    assert_eq!(opens(&both, "2026-01-01T22:30:00Z"), "2026-01-04T23:00:00Z");
    assert_eq!(opens(&both, "2026-01-05T01:59:59Z"), "now");
    assert_eq!(opens(&both, "2026-01-05T02:00:00Z"), "2026-01-11T23:00:00Z");
    assert_eq!(opens(&[nightly, noon], "2026-01-01T22:30:00Z"), "never");
}

#[test]
fn an_invalid_window_names_its_field() {
    let wrong = |field: &str, value: &str| {
        let mut window = json!({"start": "22:00", "duration": "4h"});
        window[field] = json!(value);
        serde_json::from_value::<Window>(window).unwrap().schedule().unwrap_err().to_string()
    };
    for (field, value) in [
        ("start", "24:00"),
        ("start", "ten"),
        ("duration", "0m"),
        ("duration", "169h"),
        ("duration", "-4h"),
        ("duration", "long"),
        ("timeZone", "Mars/Olympus"),
        ("timeZone", "Local"),
        ("timeZone", ""),
    ] {
        let message = wrong(field, value);
        let start = format!("invalid spec.tetragon.window.{field} {value:?}");
        assert!(message.starts_with(&start), "{message}");
    }
}

proptest! {
    /// The window is open at the returned time, and not a second before.
    #[test]
    fn it_opens_at_the_returned_time(
        now in 1_767_225_600_i64..1_800_000_000, hour in 0_u8..24, minute in 0_u8..60, hours in 1_u8..30, day in 0_usize..8,
    ) {
        let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let days: Vec<&str> = days.get(day).copied().into_iter().collect();
        let window = json!({"days": days, "start": format!("{hour:02}:{minute:02}"), "duration": format!("{hours}h"),
            "timeZone": "America/New_York"});
        let schedule = schedule(&window);
        let now = Timestamp::from_second(now).unwrap();
        match opening(std::slice::from_ref(&schedule), now) {
            Opening::Now => prop_assert!(schedule.is_open(now)),
            Opening::At(moment) => {
                prop_assert!(moment > now && schedule.is_open(moment));
                let before = moment.checked_sub(SignedDuration::from_secs(1)).unwrap();
                prop_assert!(!schedule.is_open(before));
            }
            Opening::Never => prop_assert!(false, "a single window opens within a week"),
        }
    }
}
