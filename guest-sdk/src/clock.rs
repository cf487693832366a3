//! Time as the broker has it, so that tests can own it.

/// Milliseconds since 1970-01-01T00:00:00Z.
pub fn now_milliseconds() -> u64 {
    #[cfg(target_family = "wasm")]
    return crate::worlds::every_module::pliant::broker::clock::now_milliseconds();
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::stand_in(|host| host.now);
}

/// The time of [`now_milliseconds`] as text: `2026-11-20T23:06:35.123Z` (RFC 3339).
pub fn now_text() -> alloc::string::String {
    text(now_milliseconds())
}

/// Milliseconds since 1970-01-01T00:00:00Z as text: `2026-11-20T23:06:35.123Z` (RFC 3339).
pub fn text(milliseconds: u64) -> alloc::string::String {
    let (days, rest) = (milliseconds / 86_400_000, milliseconds % 86_400_000);
    let (year, month, day) = date(days);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1000 % 60, rest % 1000);
    alloc::format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    // Years begin in March here, so that the leap day is the last of its year; 719,468 days
    // lie between 0000-03-01 and 1970-01-01, 146,097 in an era of 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_written_as_rfc_3339() {
        for (milliseconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (1_767_225_599_001, "2025-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(text(milliseconds), expected);
        }
    }
}
