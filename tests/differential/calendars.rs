//! Windows of a calendar by both sides, and by a naive fold that knows when clocks change in two zones by the rules of their laws, as they
//! have been since 2007. There is no such window in Kafka Streams: the Java side writes its own with `java.time`.

use serde_json::json;

use crate::case::{Case, Fold, Rng, Stream, Window};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Day,
    /// From Monday.
    Week,
    /// From Sunday.
    WeekFromSunday,
    Month,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    Utc,
    Berlin,
    NewYork,
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Years that both laws cover, also with all that a case adds.
const YEARS: (i64, i64) = (2008, 2034);

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Unit::Day => "day",
            Unit::Week => "week",
            Unit::WeekFromSunday => "week-from-sunday",
            Unit::Month => "month",
        }
    }

    pub fn manifest(self, zone: Zone) -> String {
        let unit = match self {
            Unit::Day => "day",
            Unit::Week => "week",
            Unit::WeekFromSunday => "week, week-starts: sunday",
            Unit::Month => "month",
        };
        format!("calendar: {unit}, time-zone: {}", zone.name())
    }
}

impl Zone {
    pub fn name(self) -> &'static str {
        match self {
            Zone::Utc => "UTC",
            Zone::Berlin => "Europe/Berlin",
            Zone::NewYork => "America/New_York",
        }
    }

    /// Hours that its clocks are ahead of UTC.
    fn ahead(self, utc: i64) -> i64 {
        let (year, _, _) = date(utc.div_euclid(DAY_MS));
        let within = |from: i64, to: i64| i64::from((from..to).contains(&utc));
        match self {
            Zone::Utc => 0,
            Zone::Berlin => {
                let last = |month| sunday_on_or_before(day(year, month, 31)) * DAY_MS + HOUR_MS;
                1 + within(last(3), last(10))
            }
            Zone::NewYork => {
                let (march, november) = (sunday_on_or_before(day(year, 3, 14)), sunday_on_or_before(day(year, 11, 7)));
                -5 + within(march * DAY_MS + 7 * HOUR_MS, november * DAY_MS + 6 * HOUR_MS)
            }
        }
    }

    /// When a day begins: neither zone changes its clocks within hours of midnight.
    fn midnight(self, day: i64) -> i64 {
        let near = day * DAY_MS - self.ahead(day * DAY_MS) * HOUR_MS;
        day * DAY_MS - self.ahead(near) * HOUR_MS
    }
}

/// The number of a date, day 0 being the first of 1970: years before it, months before it, days before it, all counted.
fn day(year: i64, month: i64, of_month: i64) -> i64 {
    let years: i64 = (1970..year).map(|y| 365 + leap(y)).sum();
    years + (1..month).map(|m| days_of(year, m)).sum::<i64>() + of_month - 1
}

fn leap(year: i64) -> i64 {
    i64::from(year % 4 == 0 && year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1]
}

/// Year, month and day of the month.
fn date(number: i64) -> (i64, i64, i64) {
    let year = (1970..).take_while(|y| day(*y, 1, 1) <= number).last().expect("behind 1970");
    let month = (1..=12).take_while(|m| day(year, *m, 1) <= number).last().expect("a month");
    (year, month, number - day(year, month, 1) + 1)
}

/// 0 is a Sunday.
fn weekday(day: i64) -> i64 {
    (day + 4).rem_euclid(7)
}

fn sunday_on_or_before(day: i64) -> i64 {
    day - weekday(day)
}

/// End and start of the window that holds a time.
pub fn window(unit: Unit, zone: Zone, time: i64) -> (i64, i64) {
    let today = (time + zone.ahead(time) * HOUR_MS).div_euclid(DAY_MS);
    let (from, to) = match unit {
        Unit::Day => (today, today + 1),
        Unit::WeekFromSunday => (sunday_on_or_before(today), sunday_on_or_before(today) + 7),
        Unit::Week => {
            let monday = today - (weekday(today) + 6) % 7;
            (monday, monday + 7)
        }
        Unit::Month => {
            let (year, month, of_month) = date(today);
            let first = today - of_month + 1;
            (first, first + days_of(year, month))
        }
    };
    (zone.midnight(to), zone.midnight(from))
}

pub fn random(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let unit = [Unit::Day, Unit::Week, Unit::WeekFromSunday, Unit::Month][rng.below(4) as usize];
    let zone = [Zone::Utc, Zone::Berlin, Zone::NewYork, Zone::Berlin][rng.below(4) as usize];
    let year = YEARS.0 + rng.below((YEARS.1 - YEARS.0) as u64) as i64;
    // Half of them where clocks change; the rest anywhere.
    let (month, of_month) = match rng.below(4) {
        0 => (3, 5 + rng.below(24) as i64),
        1 => ([10, 11][rng.below(2) as usize], 1 + rng.below(28) as i64),
        _ => (1 + rng.below(12) as i64, 1 + rng.below(28) as i64),
    };
    let fold = if rng.one_in(4) { Fold::Scan } else { [Fold::Count, Fold::Reduce][rng.below(2) as usize] };
    // Of months every record may be in one window; hours are as good for all.
    let base = day(year, month, of_month) * DAY_MS + rng.below(DAY_MS as u64) as i64;
    let nulls = if rng.one_in(3) { 6 } else { u64::MAX };
    let unit_ms = [HOUR_MS, HOUR_MS / 2, 5 * HOUR_MS][rng.below(3) as usize];
    let stream = Stream { base, unit: unit_ms, nulls, both_sides: false };
    let scans = fold == Fold::Scan;
    let value = |_: &mut Rng, i| if scans { json!({ "n": i }).to_string() } else { format!("v{i}") };
    let grace = [0, HOUR_MS, 30 * HOUR_MS, 90 * DAY_MS][rng.below(4) as usize];
    let on_close = !scans && rng.one_in(2);
    let records = stream.records(&mut rng, value);
    Case { window: Window::Calendar { unit, zone }, grace, fold, on_close, cogroup: false, records }
}

#[test]
fn the_naive_calendar_is_right_where_clocks_change() {
    let hours = |zone, year, month, of_month| {
        let (end, start) = window(Unit::Day, zone, day(year, month, of_month) * DAY_MS + 12 * HOUR_MS);
        (end - start) / HOUR_MS
    };
    assert_eq!((hours(Zone::Berlin, 2024, 3, 31), hours(Zone::Berlin, 2024, 10, 27)), (23, 25));
    assert_eq!((hours(Zone::NewYork, 2024, 3, 10), hours(Zone::NewYork, 2024, 11, 3)), (23, 25));
    assert_eq!((hours(Zone::Utc, 2024, 3, 31), hours(Zone::NewYork, 2024, 3, 31)), (24, 24));
    // 1 March 2024 began at 23:00 UTC the day before; 1,709,247,600,000 is that instant.
    assert_eq!(window(Unit::Month, Zone::Berlin, 1_709_247_600_000), (1_711_922_400_000, 1_709_247_600_000));
    assert_eq!((weekday(day(2024, 3, 31)), date(day(2024, 2, 29))), (0, (2024, 2, 29)));
}
