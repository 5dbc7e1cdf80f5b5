//! Days as Java's `GregorianCalendar` counts them: in the Gregorian calendar from 1582-10-15 on, in the Julian one before. Dates of Protobuf are of that calendar.

use chrono::{Datelike, NaiveDate};

/// Days from the first of January of the year 1 (Gregorian), which is day 1, to the epoch.
const EPOCH_DAY: i32 = 719_163;
/// 1582-10-15, days since the epoch.
const FIRST_GREGORIAN: i32 = -141_427;
/// The first of January of the year 0 of the Julian calendar, days since the epoch.
const JULIAN_YEAR_0: i64 = -719_530;

/// Year, month and day of a day since the epoch; none before the year 1 and after 9999.
pub(crate) fn to_date(days: i32) -> Option<(i32, u32, u32)> {
    if days >= FIRST_GREGORIAN {
        let date = NaiveDate::from_num_days_from_ce_opt(days.checked_add(EPOCH_DAY)?)?;
        return Some((date.year(), date.month(), date.day())).filter(|(year, ..)| *year <= 9999);
    }
    let since = i64::from(days) - JULIAN_YEAR_0;
    // Four years have 1461 days, the first of them 366.
    let (fours, rest) = (since.div_euclid(1461), since.rem_euclid(1461));
    let (year, day) = if rest < 366 { (0, rest) } else { ((rest - 366) / 365 + 1, (rest - 366) % 365) };
    let year = i32::try_from(fours * 4 + year).ok().filter(|year| *year >= 1)?;
    // The days of a year are those of a Gregorian one that is as long.
    let date = NaiveDate::from_yo_opt(if year % 4 == 0 { 4 } else { 1 }, u32::try_from(day).ok()? + 1)?;
    Some((year, date.month(), date.day()))
}

/// The day since the epoch; none where the calendar has no such date.
pub(crate) fn from_date(year: i32, month: u32, day: u32) -> Option<i32> {
    if year < 1 {
        return None;
    }
    if (year, month, day) >= (1582, 10, 15) {
        return NaiveDate::from_ymd_opt(year, month, day).map(|date| date.num_days_from_ce() - EPOCH_DAY);
    }
    if (year, month, day) > (1582, 10, 4) {
        return None;
    }
    let ordinal = NaiveDate::from_ymd_opt(if year % 4 == 0 { 4 } else { 1 }, month, day)?.ordinal0();
    let year = i64::from(year);
    i32::try_from(JULIAN_YEAR_0 + year * 365 + (year + 3) / 4 + i64::from(ordinal)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_and_their_dates() {
        let table = [
            (0, (1970, 1, 1)),
            (19_782, (2024, 2, 29)),
            (-141_427, (1582, 10, 15)),
            (-141_428, (1582, 10, 4)),
            // As a JVM says it of `new GregorianCalendar(UTC)`.
            (-239_322, (1314, 9, 27)),
            (-719_164, (1, 1, 1)),
            (2_932_896, (9999, 12, 31)),
        ];
        for (days, date) in table {
            assert_eq!(to_date(days), Some(date), "{days}");
            assert_eq!(from_date(date.0, date.1, date.2), Some(days), "{date:?}");
        }
        for (year, month, day) in [(1582, 10, 5), (1582, 10, 14), (2023, 2, 29), (0, 1, 1), (1, 13, 1), (5, 2, 29)] {
            assert_eq!(from_date(year, month, day), None, "{year}-{month}-{day}");
        }
        assert_eq!((to_date(-719_165), to_date(2_932_897), to_date(i32::MIN), to_date(i32::MAX)), (None, None, None, None));
    }

    proptest! {
        #[test]
        fn a_date_is_one_day(days in -719_164..2_932_897_i32) {
            let (year, month, day) = to_date(days).unwrap();
            prop_assert_eq!(from_date(year, month, day), Some(days));
        }
    }
}
