//! Time as policy sees it: per zone of the bundle the local date, minute of the
//! day, weekday and whether it is a holiday. Knows no clock: `now` is passed in,
//! and the time zone database is the one compiled in, so that every machine agrees.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_model::bundle::BundleFiles;
use jiff::{
    Timestamp,
    civil::Date,
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::Deserialize;
use toml::Spanned;

use crate::{
    finding::{Finding, line_of},
    strict_toml,
};

/// Where a bundle keeps its calendar.
pub(crate) const CALENDAR_FILE: &str = "policies/calendar.toml";
/// Zones of one bundle: each is a record in the context of every call.
const ZONES_MAX: usize = 32;
/// Holidays of one zone.
const HOLIDAYS_MAX: usize = 4_096;

/// The zones of a bundle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calendar {
    zones: BTreeMap<String, Zone>,
}

#[derive(Debug, Clone)]
struct Zone {
    time_zone: TimeZone,
    holidays: BTreeSet<Date>,
}

/// A moment as the clocks of one zone show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalTime {
    /// `2026-12-24`.
    pub(crate) date: String,
    /// From 0 to 1439. On a day with a change of clocks some minutes come twice, others never.
    pub(crate) minute_of_day: i64,
    /// 1 is Monday, 7 is Sunday.
    pub(crate) weekday: i64,
    /// Whether the bundle lists the date.
    pub(crate) holiday: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CalendarFile {
    #[serde(default)]
    zones: BTreeMap<Spanned<String>, ZoneFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneFile {
    timezone: Spanned<String>,
    #[serde(default)]
    holidays: Vec<Spanned<String>>,
}

impl Calendar {
    /// Reads `policies/calendar.toml`; a bundle without one has no zones.
    pub(crate) fn read(files: &BundleFiles) -> (Self, Vec<Finding>) {
        let Some(bytes) = files.file(CALENDAR_FILE) else { return (Self::default(), Vec::new()) };
        match strict_toml::parse::<CalendarFile>(CALENDAR_FILE, bytes) {
            Ok(file) => Self::check(file, &String::from_utf8_lossy(bytes)),
            Err(finding) => (Self::default(), vec![finding]),
        }
    }

    fn check(file: CalendarFile, text: &str) -> (Self, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut calendar = Self::default();
        let mut refuse = |span: std::ops::Range<usize>, message: String, help: &str| {
            let finding = Finding::error("calendar-invalid", CALENDAR_FILE, message);
            findings.push(finding.at(line_of(text, span.start)).with_help(help));
        };
        for (name, zone) in file.zones {
            if !is_zone_name(name.get_ref()) || calendar.zones.len() >= ZONES_MAX {
                let message = format!("`{}` cannot be a zone", name.get_ref());
                refuse(name.span(), message, "use lower-case letters, digits and `_`, and at most 32 zones");
                continue;
            }
            let mut holidays = BTreeSet::new();
            for holiday in zone.holidays.iter().take(HOLIDAYS_MAX + 1) {
                match holiday.get_ref().parse::<Date>() {
                    Ok(date) if date.to_string() == *holiday.get_ref() && holidays.len() < HOLIDAYS_MAX => {
                        holidays.insert(date);
                    }
                    _ => {
                        let message = format!("`{}` cannot be a holiday", holiday.get_ref());
                        refuse(holiday.span(), message, "write dates as `2026-12-25`, at most 4096 per zone");
                    }
                }
            }
            match TimeZoneDatabase::bundled().get(zone.timezone.get_ref()) {
                Ok(time_zone) => {
                    calendar.zones.insert(name.into_inner(), Zone { time_zone, holidays });
                }
                Err(_) => {
                    let message = format!("`{}` is not a time zone", zone.timezone.get_ref());
                    refuse(zone.timezone.span(), message, "write an IANA name such as `Europe/Berlin`");
                }
            }
        }
        (calendar, findings)
    }

    /// The names of the zones, which become attributes of `context.local`.
    pub(crate) fn zones(&self) -> BTreeSet<String> {
        self.zones.keys().cloned().collect()
    }

    /// The moment in every zone.
    pub(crate) fn local(&self, now: Timestamp) -> impl Iterator<Item = (&str, LocalTime)> {
        self.zones.iter().map(move |(name, zone)| (name.as_str(), zone.at(now)))
    }
}

impl Zone {
    fn at(&self, now: Timestamp) -> LocalTime {
        let local = self.time_zone.to_datetime(now);
        LocalTime {
            date: local.date().to_string(),
            minute_of_day: i64::from(local.hour()) * 60 + i64::from(local.minute()),
            weekday: i64::from(local.weekday().to_monday_one_offset()),
            holiday: self.holidays.contains(&local.date()),
        }
    }
}

/// A zone name is an attribute name that policy can write without quotes.
fn is_zone_name(name: &str) -> bool {
    name.len() <= bailiwick_model::limits::NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !["true", "false", "if", "then", "else", "in", "is", "like", "has"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(text: &str) -> (Calendar, Vec<Finding>) {
        let files = BTreeMap::from([(CALENDAR_FILE.to_owned(), text.as_bytes().to_vec())]);
        Calendar::read(&BundleFiles::new(files).unwrap())
    }

    #[track_caller]
    fn check(now: &str, date: &str, minute: i64, weekday: i64, holiday: bool) {
        let (calendar, findings) = calendar("[zones.hq]\ntimezone = \"Europe/Berlin\"\nholidays = [\"2026-12-25\"]\n");
        assert_eq!(findings, []);
        let local: Vec<_> = calendar.local(now.parse().unwrap()).collect();
        let expected = LocalTime { date: date.into(), minute_of_day: minute, weekday, holiday };
        assert_eq!(local, [("hq", expected)]);
    }

    #[test]
    fn the_wall_clock_follows_the_zone() {
        check("2026-06-30T15:59:00Z", "2026-06-30", 17 * 60 + 59, 2, false);
        check("2026-11-30T16:59:59Z", "2026-11-30", 17 * 60 + 59, 1, false);
        check("2026-12-24T22:59:59Z", "2026-12-24", 23 * 60 + 59, 4, false);
        check("2026-12-24T23:00:00Z", "2026-12-25", 0, 5, true);
        check("2026-12-25T23:00:00Z", "2026-12-26", 0, 6, false);
    }

    #[test]
    fn in_spring_an_hour_never_comes() {
        check("2026-03-29T00:59:59Z", "2026-03-29", 60 + 59, 7, false);
        check("2026-03-29T01:00:00Z", "2026-03-29", 3 * 60, 7, false);
    }

    #[test]
    fn in_autumn_an_hour_comes_twice() {
        check("2026-10-25T00:30:00Z", "2026-10-25", 2 * 60 + 30, 7, false);
        check("2026-10-25T01:30:00Z", "2026-10-25", 2 * 60 + 30, 7, false);
        check("2026-10-25T02:00:00Z", "2026-10-25", 3 * 60, 7, false);
    }

    #[test]
    fn a_wrong_calendar_says_where() {
        let (calendar, findings) = calendar(
            "[zones.hq]\ntimezone = \"Europe/Berlin\"\nholidays = [\"2026-13-01\"]\n[zones.Branch]\ntimezone = \"UTC\"\n[zones.lab]\ntimezone = \"Mars/Olympus\"\n",
        );
        let mut seen: Vec<_> = findings.iter().map(|finding| (finding.line, finding.message.as_str())).collect();
        seen.sort();
        assert_eq!(
            seen,
            [
                (Some(3), "`2026-13-01` cannot be a holiday"),
                (Some(4), "`Branch` cannot be a zone"),
                (Some(7), "`Mars/Olympus` is not a time zone"),
            ]
        );
        assert_eq!(calendar.zones().len(), 1);
    }
}
