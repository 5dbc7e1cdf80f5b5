//! A `java.util.Date` as `Values.dateFormatFor` prints it: by what the instant is, not by its schema.
//!
//! | instant | text |
//! |---|---|
//! | before 1970-01-02 | `01:00:00.000Z`: a time of day |
//! | midnight | `2019-08-23`: a date |
//! | any other | `2019-08-23T14:34:54.346Z` |

const DAY_MS: i64 = 86_400_000;

/// Appends the text of an instant, in ms since the epoch, UTC.
pub fn push(ms: i64, out: &mut Vec<u8>) {
    let time = ms.rem_euclid(DAY_MS);
    if ms >= DAY_MS {
        push_date(ms.div_euclid(DAY_MS), out);
        if time == 0 {
            return;
        }
        out.push(b'T');
    }
    for (value, digits, after) in [(time / 3_600_000, 2, b':'), (time / 60_000 % 60, 2, b':'), (time / 1000 % 60, 2, b'.'), (time % 1000, 3, b'Z')] {
        push_padded(value, digits, out);
        out.push(after);
    }
}

/// A day after the epoch as year, month and day.
fn push_date(day: i64, out: &mut Vec<u8>) {
    // Years begin in March, so that a leap day is the last of one; eras of 400 years are equal.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    for (value, digits, before) in [(year, 4, None), (month, 2, Some(b'-')), (day, 2, Some(b'-'))] {
        out.extend(before);
        push_padded(value, digits, out);
    }
}

fn push_padded(value: i64, digits: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(value);
    out.extend(std::iter::repeat_n(b'0', digits.saturating_sub(text.len())));
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(ms: i64) -> String {
        let mut out = Vec::new();
        push(ms, &mut out);
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn the_instant_says_what_it_is() {
        for (ms, expected) in [
            (0, "00:00:00.000Z"),
            (3_600_000, "01:00:00.000Z"),
            (-1, "23:59:59.999Z"),
            (DAY_MS, "1970-01-02"),
            (1_566_518_400_000, "2019-08-23"),
            (1_566_570_894_346, "2019-08-23T14:34:54.346Z"),
            (951_782_400_000, "2000-02-29"),
            (253_402_300_800_000, "10000-01-01"),
            (i64::MAX, "292278994-08-17T07:12:55.807Z"),
        ] {
            assert_eq!(printed(ms), expected, "{ms}");
        }
    }

    proptest! {
        #[test]
        fn dates_are_those_of_the_calendar(day in 1_i64..3_000_000) {
            let date = chrono::DateTime::from_timestamp_millis(day * DAY_MS).expect("a date").date_naive();
            prop_assert_eq!(printed(day * DAY_MS), date.to_string().trim_start_matches('+').to_owned());
        }
    }
}
