//! Years, months and days as `java.util.GregorianCalendar` counts them: by the Julian calendar before 1582-10-15.

const DAY_MS: i64 = 86_400_000;

/// 1582-10-15, as days since the epoch: the first day of the Gregorian calendar.
const CUTOVER_DAY: i64 = -141_427;

/// A day of the calendar, with the time in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Civil {
    /// 0 is 1 BC.
    pub(super) year: i64,
    month: i64,
    day: i64,
    ms: i64,
}

impl Civil {
    pub(super) fn of(ms: i64) -> Self {
        let (year, month, day) = gregorian_date(ms.div_euclid(DAY_MS));
        Self { year, month, day, ms: ms.rem_euclid(DAY_MS) }
    }

    /// The same day so many years before; 29 February becomes 28 where there is none.
    pub(super) fn years_before(self, years: i64) -> Self {
        let year = self.year - years;
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let day = if self.month == 2 && !is_leap { self.day.min(28) } else { self.day };
        Self { year, day, ..self }
    }

    pub(super) fn to_ms(self) -> i64 {
        gregorian_day(self.year, self.month - 1, self.day).wrapping_mul(DAY_MS).wrapping_add(self.ms)
    }
}

/// Days since the epoch of a date whose month (from 0) and day may be beyond their year and month.
pub(super) fn lenient_day(year: i64, month: i64, day: i64) -> i64 {
    let gregorian = gregorian_day(year, month, day);
    // The year as it was said decides, except in that of the cutover.
    match year {
        1583.. => gregorian,
        1582 if gregorian >= CUTOVER_DAY => gregorian,
        _ => julian_day(year, month, day),
    }
}

/// Days since the epoch by rules of 400 years.
fn gregorian_day(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = (year.saturating_add(month.div_euclid(12)), month.rem_euclid(12));
    let of_march = since_march(year, month);
    let era = of_march.div_euclid(400);
    let in_era = of_march.rem_euclid(400);
    let days = in_era * 365 + in_era / 4 - in_era / 100 + day_of_march_year(month);
    era.wrapping_mul(146_097).wrapping_add(days).wrapping_add(day).wrapping_sub(1).wrapping_sub(719_468)
}

/// The same by rules of 4 years.
fn julian_day(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = (year.saturating_add(month.div_euclid(12)), month.rem_euclid(12));
    let of_march = since_march(year, month);
    let days = of_march.rem_euclid(4) * 365 + day_of_march_year(month);
    of_march.div_euclid(4).wrapping_mul(1461).wrapping_add(days).wrapping_add(day).wrapping_sub(1).wrapping_sub(719_470)
}

/// The year when years begin in March; `month` is from 0.
fn since_march(year: i64, month: i64) -> i64 {
    if month < 2 { year.saturating_sub(1) } else { year }
}

/// Days from 1 March to the first of a month.
fn day_of_march_year(month: i64) -> i64 {
    let from_march = (month + 10) % 12;
    (153 * from_march + 2) / 5
}

fn gregorian_date(day: i64) -> (i64, i64, i64) {
    let shifted = day.saturating_add(719_468);
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};

    use super::*;

    #[test]
    fn days_of_the_gregorian_calendar() {
        for year in [1583, 1600, 1900, 1970, 2000, 2024, 9999] {
            for (month, day) in [(1, 1), (2, 28), (3, 1), (12, 31)] {
                let date = NaiveDate::from_ymd_opt(year, month, day).expect("a date");
                let days = i64::from(date.to_epoch_days());
                assert_eq!(lenient_day(i64::from(year), i64::from(date.month0()), i64::from(day)), days, "{date}");
                assert_eq!(Civil::of(days * DAY_MS + 7).to_ms(), days * DAY_MS + 7);
            }
        }
    }

    #[test]
    fn days_of_the_julian_calendar() {
        for (year, month, day, expected) in [(1582, 10, 15, CUTOVER_DAY), (1582, 10, 4, CUTOVER_DAY - 1), (1, 1, 1, -719_164), (0, 1, 1, -719_530)] {
            let found = lenient_day(year, month - 1, day);
            let neighbours = (lenient_day(year, month - 1, day - 1), lenient_day(year, month - 1, day + 1));
            assert_eq!(found, expected, "{year}-{month}-{day}");
            if year != 1582 {
                assert_eq!(neighbours, (found - 1, found + 1), "{year}-{month}-{day}");
            }
        }
        assert_eq!(lenient_day(1500, 2, 1) - lenient_day(1500, 1, 29), 1, "a leap day that only this calendar has");
    }

    #[test]
    fn months_and_days_roll_over() {
        assert_eq!(lenient_day(2019, 12, 45), lenient_day(2020, 1, 14));
        assert_eq!(lenient_day(2020, -1, 1), lenient_day(2019, 11, 1));
        assert_eq!(lenient_day(2020, 2, 0), lenient_day(2020, 1, 29));
        // A field is read as 32 bits: nothing overflows.
        for value in [i64::from(i32::MAX), i64::from(i32::MIN)] {
            assert!(lenient_day(value, 0, 1).signum() == value.signum() && lenient_day(1970, value, 1).signum() == value.signum());
            assert_eq!(lenient_day(1970, 0, value), value - 1);
        }
    }
}
