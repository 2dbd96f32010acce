//! Windows of a step.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, ZoneText, one_of};

/// Windows: `tumbling`, `hopping` with `advance`, `cumulating` with `step`, `calendar`, `sliding`, or `session`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("oneOf" = one_of(&["tumbling", "hopping", "cumulating", "calendar", "sliding", "session"])))]
#[schemars(extend("dependentRequired" = {
    "hopping": ["advance"], "advance": ["hopping"], "cumulating": ["step"], "step": ["cumulating"], "panes": ["hopping"],
    "time-zone": ["calendar"], "week-starts": ["calendar"]
}))]
pub struct Window {
    /// Side by side, this long.
    pub tumbling: Option<DurationText>,
    /// Overlapping, this long.
    pub hopping: Option<DurationText>,
    /// Distance between the starts of hopping windows.
    pub advance: Option<DurationText>,
    /// Hopping windows are put together from panes, so that a record is folded once however many windows hold it; a function
    /// needs `merger`. Default: `true` for a `count` that is in more than 16 windows, else `false`.
    pub panes: Option<bool>,
    /// One after the other from the same start, each longer by a `step`; the last is this long.
    pub cumulating: Option<DurationText>,
    /// By how much each cumulating window is longer than the one before; the longest is a multiple of it.
    pub step: Option<DurationText>,
    /// Side by side, a day, a week or a month of a time zone each.
    pub calendar: Option<CalendarUnit>,
    /// The time zone of `calendar` windows, by its name in the IANA database, such as `Europe/Berlin`. Default `UTC`.
    pub time_zone: Option<ZoneText>,
    /// The day with which weeks begin. Default `monday`.
    pub week_starts: Option<WeekDay>,
    /// One that ends with each record and one that begins behind it; the largest distance of two records in one.
    pub sliding: Option<DurationText>,
    /// As long as no record of the key is further than this from the next.
    pub session: Option<DurationText>,
    /// How long after its end, of a session after its gap, a window still takes records. Default `0ms`.
    pub grace: Option<DurationText>,
}

/// What a calendar window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "`day`, `week` or `month`")]
pub enum CalendarUnit {
    /// From midnight to midnight: 23 or 25 hours where clocks change.
    Day,
    /// Seven days.
    Week,
    /// From the first of a month to the first of the next.
    Month,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(title = "a day of the week: `monday` to `sunday`")]
#[allow(missing_docs)] // their names say it
pub enum WeekDay {
    #[default]
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}
