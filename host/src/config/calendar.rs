//! Days, weeks and months of a time zone as boundaries for the core, by the database of time zones that this program carries: the same on
//! every machine, whatever is installed there. Which records are in a window is the core's matter.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

use anyhow::Context;
use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use millstream_core::calendar::Calendar;

use super::manifest::{CalendarUnit, WeekDay};

/// The year with whose beginning a calendar's boundaries end: what comes behind it lies in windows of one length, of 24 hours, 7
/// days or 30 days.
pub const CALENDAR_YEAR_END: i16 = 2200;

/// The zone of windows whose manifest names none.
pub const ZONE_DEFAULT: &str = "UTC";

const DAY_MS: i64 = 86_400_000;

/// What tells calendars apart.
type Key = (CalendarUnit, String, WeekDay);

/// Calendars that were made: each is kept for the life of the program, so it is made once.
static MADE: OnceLock<Mutex<BTreeMap<Key, &'static Calendar>>> = OnceLock::new();

/// Names of all zones.
pub fn zones() -> Vec<String> {
    TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect()
}

/// The zone with this name; `None`: there is none.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

/// The calendar of a unit in a zone; `week_starts` is for weeks.
///
/// # Errors
/// A zone of which a boundary cannot be worked out, which none has.
pub fn calendar(unit: CalendarUnit, zone_name: &str, week_starts: WeekDay) -> anyhow::Result<&'static Calendar> {
    let key = (unit, zone_name.to_string(), week_starts);
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(calendar) = made.get(&key) {
        return Ok(calendar);
    }
    let zone = zone(zone_name).with_context(|| format!("there is no time zone `{zone_name}`"))?;
    let starts = boundaries(unit, &zone, week_starts)?;
    let (word, then_ms) = match unit {
        CalendarUnit::Day => ("day", DAY_MS),
        CalendarUnit::Week => ("week", 7 * DAY_MS),
        CalendarUnit::Month => ("month", 30 * DAY_MS),
    };
    let calendar = Calendar::new(format!("{word} in {zone_name}"), starts, then_ms).context("boundaries ascend")?;
    made.insert(key, calendar);
    Ok(calendar)
}

/// First milliseconds of windows, ascending from 0. The window that holds 1970-01-01T00:00:00Z begins there, since time does.
fn boundaries(unit: CalendarUnit, zone: &TimeZone, week_starts: WeekDay) -> anyhow::Result<Vec<i64>> {
    let (mut starts, mut date) = (vec![0], Date::constant(1969, 12, 1));
    while date.year() < CALENDAR_YEAR_END {
        let begins = match unit {
            CalendarUnit::Day => true,
            CalendarUnit::Week => date.weekday() == weekday(week_starts),
            CalendarUnit::Month => date.day() == 1,
        };
        if begins {
            let start = first_of_day(zone, date)?.as_millisecond();
            // A day that a zone has left out has no time in it.
            if start > starts[starts.len() - 1] {
                starts.push(start);
            }
        }
        date = date.tomorrow().context("go on to the next day")?;
    }
    Ok(starts)
}

/// The first instant at which clocks show a date or a later one.
fn first_of_day(zone: &TimeZone, date: Date) -> anyhow::Result<Timestamp> {
    let midnight = date.at(0, 0, 0, 0);
    let found = midnight.to_zoned_datetime(zone.clone()).context("find a day's midnight")?;
    if found.datetime() == midnight {
        // Of two midnights this is the first.
        return Ok(found.timestamp());
    }
    // There is no midnight: the day begins where clocks were put forward over it.
    let behind = Timestamp::from_millisecond(found.timestamp().as_millisecond() + 1).context("one millisecond on")?;
    Ok(zone.preceding(behind).next().map_or(found.timestamp(), |change| change.timestamp()))
}

fn weekday(day: WeekDay) -> Weekday {
    match day {
        WeekDay::Monday => Weekday::Monday,
        WeekDay::Tuesday => Weekday::Tuesday,
        WeekDay::Wednesday => Weekday::Wednesday,
        WeekDay::Thursday => Weekday::Thursday,
        WeekDay::Friday => Weekday::Friday,
        WeekDay::Saturday => Weekday::Saturday,
        WeekDay::Sunday => Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: &str) -> i64 {
        time.parse::<Timestamp>().unwrap().as_millisecond()
    }

    /// The window that holds a time, in UTC, and its length in hours.
    fn window(unit: CalendarUnit, zone: &str, day: WeekDay, time: &str) -> (String, i64) {
        let (start, end) = calendar(unit, zone, day).unwrap().around(ms(time));
        (Timestamp::from_millisecond(start).unwrap().to_string(), (end - start) / 3_600_000)
    }

    fn day(zone: &str, time: &str) -> (String, i64) {
        window(CalendarUnit::Day, zone, WeekDay::Monday, time)
    }

    #[test]
    fn days_on_which_clocks_change_have_23_and_25_hours() {
        let in_berlin = |time| day("Europe/Berlin", time);
        assert_eq!(in_berlin("2024-03-30T23:30:00Z"), ("2024-03-30T23:00:00Z".into(), 23));
        assert_eq!(in_berlin("2024-03-31T22:00:00Z"), ("2024-03-31T22:00:00Z".into(), 24));
        assert_eq!(in_berlin("2024-10-27T12:00:00Z"), ("2024-10-26T22:00:00Z".into(), 25));
        assert_eq!(in_berlin("2024-10-27T22:59:59.999Z"), ("2024-10-26T22:00:00Z".into(), 25));
        assert_eq!(day("UTC", "2024-03-31T12:00:00Z"), ("2024-03-31T00:00:00Z".into(), 24));
        assert_eq!(day("Asia/Kathmandu", "2024-03-31T12:00:00Z"), ("2024-03-30T18:15:00Z".into(), 24));
    }

    #[test]
    fn days_without_a_midnight_begin_where_clocks_jump_and_days_left_out_are_none() {
        // At midnight clocks go from 00:00 to 01:00.
        assert_eq!(day("America/Sao_Paulo", "2018-11-04T12:00:00Z"), ("2018-11-04T03:00:00Z".into(), 23));
        // At midnight they go back to 23:00: the day before has both hours.
        assert_eq!(day("America/Sao_Paulo", "2018-02-18T02:30:00Z"), ("2018-02-17T02:00:00Z".into(), 25));
        // The 30th of December 2011 was left out.
        assert_eq!(day("Pacific/Apia", "2011-12-30T09:00:00Z"), ("2011-12-29T10:00:00Z".into(), 24));
        assert_eq!(day("Pacific/Apia", "2011-12-30T10:00:00Z"), ("2011-12-30T10:00:00Z".into(), 24));
    }

    #[test]
    fn weeks_begin_on_their_day_and_months_with_the_first() {
        let week = |day, time| window(CalendarUnit::Week, "Europe/Berlin", day, time);
        assert_eq!(week(WeekDay::Monday, "2024-03-31T12:00:00Z"), ("2024-03-24T23:00:00Z".into(), 7 * 24 - 1));
        assert_eq!(week(WeekDay::Sunday, "2024-03-31T12:00:00Z"), ("2024-03-30T23:00:00Z".into(), 7 * 24 - 1));
        let month = |time| window(CalendarUnit::Month, "Europe/Berlin", WeekDay::Monday, time);
        assert_eq!(month("2024-02-29T22:59:00Z"), ("2024-01-31T23:00:00Z".into(), 29 * 24));
        assert_eq!(month("2024-03-01T00:00:00Z"), ("2024-02-29T23:00:00Z".into(), 31 * 24 - 1));
    }

    #[test]
    fn time_begins_in_1970_and_boundaries_end_with_their_last_year() {
        assert_eq!(day("America/New_York", "1970-01-01T00:00:00Z"), ("1970-01-01T00:00:00Z".into(), 5));
        let last = format!("{}-12-31T12:00:00Z", CALENDAR_YEAR_END - 1);
        assert_eq!(day("UTC", &last).1, 24);
        let beyond = format!("{CALENDAR_YEAR_END}-02-15T12:00:00Z");
        let (start, hours) = window(CalendarUnit::Month, "UTC", WeekDay::Monday, &beyond);
        assert_eq!(
            (start, hours),
            (format!("{CALENDAR_YEAR_END}-01-30T00:00:00Z"), 30 * 24),
            "30 days from the last first on"
        );
    }

    #[test]
    fn every_zone_has_its_days_and_a_calendar_is_made_once() {
        let zones = zones();
        assert!(zones.len() > 300 && zones.iter().any(|name| name == "Europe/Berlin"), "{}", zones.len());
        assert!(zone("Europe/Berln").is_none());
        let made = || calendar(CalendarUnit::Month, "Europe/Berlin", WeekDay::Monday).unwrap();
        assert!(std::ptr::eq(made(), made()));
        for name in &zones {
            calendar(CalendarUnit::Month, name, WeekDay::Monday).unwrap();
        }
    }
}
