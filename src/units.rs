//! Quantities as users write them.

/// Reads a size in bytes: `4096`, `100K`, `1.5 GiB` (powers of 1024), `10MB` (powers of 1000).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is no size: write 4096, 100K, 1.5G (powers of 1024) or 10MB (powers of 1000)");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim().to_ascii_lowercase());
    let (prefix, base) = match unit.as_str() {
        "" | "b" => ("", 1.0),
        unit => match (unit.strip_suffix("ib"), unit.strip_suffix('b')) {
            (Some(prefix), _) => (prefix, 1024.0),
            (None, Some(prefix)) => (prefix, 1000.0),
            (None, None) => (unit, 1024.0f64),
        },
    };
    let power = match prefix {
        "" if base == 1.0 => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(wrong()),
    };
    // Exact where it can be.
    if let (Ok(whole), factor) = (number.parse::<u64>(), (base as u64).pow(power)) {
        return whole.checked_mul(factor).ok_or_else(wrong);
    }
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Ok((number * f64::powi(base, power as i32)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("12b", 12),
            ("1k", 1024),
            ("100K", 100 << 10),
            ("3MiB", 3 << 20),
            ("10MB", 10_000_000),
            ("1.5G", 3 << 29),
            ("2 GiB", 2 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "x", "1x", "-1", "1.2.3", "1 i", "99999999P", "1ib"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
