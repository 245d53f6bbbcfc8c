//! The recovery sheet: the root secret as eight lines that a person can copy from paper. Layout: `format-spec/02-keys.md`.

use crate::{
    error::{Error, Result},
    seal::SealKey,
};
use zeroize::Zeroizing;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LINES: usize = 8;

fn check_byte(line: usize, bytes: [u8; 4]) -> u8 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"vault recovery line").update(&[line as u8]).update(&bytes);
    hasher.finalize().as_bytes()[0]
}

/// The eight lines, `1: XXXX-XXXX` and so on.
pub fn lines(root: &SealKey) -> Vec<Zeroizing<String>> {
    let (groups, _) = root.expose().as_chunks::<4>();
    let line = |(i, bytes): (usize, &[u8; 4])| {
        let number = i + 1;
        let bits = u64::from(u32::from_be_bytes(*bytes)) << 8 | u64::from(check_byte(number, *bytes));
        let mut text = Zeroizing::new(format!("{number}: "));
        for digit in 0..8 {
            if digit == 4 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[(bits >> (35 - 5 * digit)) as usize & 31]));
        }
        text
    };
    groups.iter().enumerate().map(line).collect()
}

fn digit(c: char) -> Option<u64> {
    let c = match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    ALPHABET.iter().position(|&a| char::from(a) == c).map(|at| at as u64)
}

/// Reads a sheet: lines that begin with `1:` to `8:`, in any order, other lines ignored. Names the line that is wrong or missing.
pub fn parse(sheet: &str) -> Result<SealKey> {
    let mut root = Zeroizing::new([0; 32]);
    let mut seen = [false; LINES];
    for text in sheet.lines() {
        let Some((number, rest)) = text.trim().split_once(':') else { continue };
        let Ok(number) = number.trim().parse::<usize>() else { continue };
        let Some(at) = number.checked_sub(1).filter(|&at| at < LINES) else { continue };
        let wrong =
            || Error::usage(format!("line {number} of the recovery sheet is not right: compare it letter by letter"));
        let digits = rest.chars().filter(|c| !c.is_whitespace() && *c != '-');
        let digits: Zeroizing<Vec<u64>> = Zeroizing::new(digits.map(digit).collect::<Option<_>>().ok_or_else(wrong)?);
        if digits.len() != 8 {
            return Err(wrong());
        }
        let bits = digits.iter().fold(0, |bits, digit| bits << 5 | digit);
        let bytes = ((bits >> 8) as u32).to_be_bytes();
        if bits as u8 != check_byte(number, bytes) {
            return Err(wrong());
        }
        root[at * 4..at * 4 + 4].copy_from_slice(&bytes);
        seen[at] = true;
    }
    match seen.iter().position(|seen| !seen) {
        Some(at) => Err(Error::usage(format!("line {} of the recovery sheet is missing", at + 1))),
        None => Ok(SealKey::new(*root)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> (SealKey, String) {
        let root = SealKey::new(std::array::from_fn(|i| (i as u8).wrapping_mul(37)));
        let text: Vec<String> = lines(&root).iter().map(|line| line.to_string()).collect();
        (root, text.join("\n"))
    }

    #[test]
    fn sheets_are_read_back_also_carelessly_typed() {
        let (root, text) = sheet();
        assert_eq!(parse(&text).unwrap(), root);
        let careless = text.to_lowercase().replace('-', " ").replace('0', "o").replace(": 1", ":l");
        assert_eq!(parse(&format!("vault recovery sheet\n\n{careless}\n")).unwrap(), root);
    }

    #[test]
    fn a_wrong_or_missing_line_is_named() {
        let (_, text) = sheet();
        let mut lines: Vec<&str> = text.lines().collect();
        let third = lines[2].replace(lines[2].chars().last().unwrap(), "?");
        lines[2] = &third;
        assert!(parse(&lines.join("\n")).unwrap_err().to_string().contains("line 3"));
        lines.remove(2);
        assert!(parse(&lines.join("\n")).unwrap_err().to_string().contains("line 3"));
    }

    /// It is copied by hand: a letter that is wrong, missing or too much shows in its line, and so do two lines in each other's place.
    #[test]
    fn a_slip_of_the_pen_is_noticed_in_its_line() {
        let (_, text) = sheet();
        let lines: Vec<&str> = text.lines().collect();
        let mut overlooked = 0;
        for (number, line) in (1..).zip(&lines) {
            assert!(
                line.starts_with(&format!("{number}: ")) && line.len() == 12 && line.as_bytes()[7] == b'-',
                "{line}"
            );
            let mut refused = |other: String| {
                let mut lines = lines.clone();
                lines[number - 1] = &other;
                match parse(&lines.join("\n")) {
                    Ok(_) => overlooked += 1,
                    Err(error) => assert!(error.to_string().contains(&format!("line {number} of")), "{other}: {error}"),
                }
            };
            for at in (3..12).filter(|at| *at != 7) {
                let mut bytes = line.as_bytes().to_vec();
                let place = ALPHABET.iter().position(|letter| *letter == bytes[at]).unwrap();
                bytes[at] = ALPHABET[(place + 1) % 32];
                refused(String::from_utf8(bytes).unwrap());
            }
            refused(line[..11].to_owned());
            // Zeros in front change no number.
            refused(line.replace(": ", ": 0"));
            refused(format!("{number}: {}", &lines[number % 8][3..]));
        }
        // One in 256, which is what a byte for each line is good for.
        assert!(overlooked <= 1, "{overlooked}");
        let (root, _) = sheet();
        assert_eq!(parse(&format!("0: XXXX-XXXX\n{text}\n9: XXXX-XXXX\n")).unwrap(), root);
    }
}
