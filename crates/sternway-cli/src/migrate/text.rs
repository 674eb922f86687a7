//! Texts as Go writes them, because scripts read them.

use std::time::Duration;

/// A duration as Go prints one: `399.043µs`, `2.1ms`, `2m12.155787369s`.
pub fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(nanos, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", fraction(nanos, 1_000_000)),
        _ => {
            let seconds = fraction(nanos % 60_000_000_000, 1_000_000_000);
            let minutes = nanos / 60_000_000_000;
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// `value` in units of so many, without trailing zeros.
fn fraction(value: u128, unit: u128) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number without a sign as `strconv.ParseUint` reads it, which a tracking table can hold.
/// golang-migrate lets greater ones wrap around to negative ones: `goto 18446744073709551615` takes
/// everything back.
pub fn version(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let number: u64 = plain.then(|| text.parse().ok())??;
    (number <= i64::MAX.unsigned_abs()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_look_as_in_go() {
        for (nanos, expected) in [
            (0, "0s"),
            (123, "123ns"),
            (399_043, "399.043µs"),
            (2_100_000, "2.1ms"),
            (1_000_000_000, "1s"),
            (2_005_881_948, "2.005881948s"),
            (132_155_787_369, "2m12.155787369s"),
            (3_600_000_000_000, "1h0m0s"),
            (60_000_000_000, "1m0s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), expected);
        }
    }

    #[test]
    fn a_version_is_a_plain_number_that_a_tracking_table_can_hold() {
        assert_eq!(version("007"), Some(7));
        assert_eq!(version("9223372036854775807"), Some(9_223_372_036_854_775_807));
        for text in
            ["9223372036854775808", "18446744073709551615", "", "-1", "+1", "x", "1_0", "0x1"]
        {
            assert_eq!(version(text), None, "{text}");
        }
    }
}
