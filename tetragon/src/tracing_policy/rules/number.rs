//! Numbers and addresses as the agent, a Go program, reads them.

use std::net::IpAddr;

use crate::tracing_policy::release::Release::{self, V1_5};

/// How a number is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Format {
    /// 2 to 36. 0 means that a prefix (0x, 0o, 0b or 0) selects the base.
    pub base: u32,
    pub bits: u32,
    pub is_signed: bool,
}

/// A decimal number with 32 bits and no sign.
pub const U32: Format = Format { base: 10, bits: 32, is_signed: false };

/// A whole number as `strconv.ParseInt` and `strconv.ParseUint` read it. With base 0, underscores
/// between digits are allowed.
#[must_use]
pub fn parse(text: &str, Format { base, bits, is_signed }: Format) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' if is_signed => (-1, &text[1..]),
        b'+' if is_signed => (1, &text[1..]),
        _ => (1, text),
    };
    let (base, digits) =
        if base == 0 { without_prefix(digits)? } else { (base, digits.to_owned()) };
    if !digits.starts_with(|first: char| first.is_digit(base)) {
        return None;
    }
    let number = sign * i128::from_str_radix(&digits, base).ok()?;
    let range = if is_signed { -(1 << (bits - 1))..(1 << (bits - 1)) } else { 0..(1 << bits) };
    range.contains(&number).then_some(number)
}

/// The base that a prefix means, and the digits after it.
fn without_prefix(text: &str) -> Option<(u32, String)> {
    let lower = text.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // An underscore may stand between digits, and between the prefix and the first digit.
    let is_misplaced =
        digits.ends_with('_') || digits.contains("__") || (base == 10 && digits.starts_with('_'));
    (!is_misplaced).then(|| (base, digits.replace('_', "")))
}

/// Whether `strconv.ParseBool` accepts the text.
#[must_use]
pub fn is_go_bool(text: &str) -> bool {
    ["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"]
        .contains(&text)
}

/// Whether the agent accepts the text as an IP address, with or without the length of a prefix.
/// From v1.5 on, an address without a prefix may have a zone. Before v1.5, an IPv4 address in IPv6
/// form has a prefix of at most 32 bits.
#[must_use]
pub fn is_address(text: &str, release: Release) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        let (address, zone) =
            text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
        let allows_zone = release >= V1_5 && address.contains(':') && zone != Some("");
        return address.parse::<IpAddr>().is_ok() && (zone.is_none() || allows_zone);
    };
    let max_length = match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) if release < V1_5 && address.to_ipv4_mapped().is_some() => 32,
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    parse(length, U32).is_some_and(|length| length <= max_length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, base, bits, is_signed, wanted) in [
            ("0x10", 0, 32, true, Some(16)),
            ("-0x10", 0, 32, true, Some(-16)),
            ("010", 0, 32, true, Some(8)),
            ("08", 0, 32, true, None),
            ("1_000", 0, 32, true, Some(1000)),
            ("0b101", 0, 64, false, Some(5)),
            ("2147483648", 0, 32, true, None),
            ("4294967295", 0, 32, false, Some(4_294_967_295)),
            ("18446744073709551615", 10, 64, false, Some(18_446_744_073_709_551_615)),
            ("-1", 10, 64, false, None),
            ("+1", 10, 64, true, Some(1)),
            ("--1", 10, 64, true, None),
            ("0x10", 16, 64, true, None),
            ("", 0, 64, true, None),
            (" 1", 10, 64, true, None),
            ("é", 0, 64, true, None),
        ] {
            assert_eq!(parse(text, Format { base, bits, is_signed }), wanted, "{text} {base}");
        }
    }

    #[test]
    fn addresses_and_prefixes_are_checked() {
        for (text, wanted) in [
            ("127.0.0.1", true),
            ("10.0.0.0/8", true),
            ("10.0.0.0/33", false),
            ("::1/128", true),
            ("fe80::1", true),
            ("10.0.0", false),
            ("10.0.0.0/", false),
            ("localhost", false),
        ] {
            assert_eq!(is_address(text, Release::Main), wanted, "{text}");
        }
    }
}
