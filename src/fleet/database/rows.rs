//! Counts the rows in a dump of `mariadb-dump` or `mysqldump` while it goes by: so the numbers are those of the dump, without
//! a lock and without a second look at the tables.

use std::collections::BTreeMap;

/// Longest beginning of a line that is looked at: a name has 64 characters at most.
const HEAD_MAX: usize = 400;

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The beginning of a line, which is kept until it says enough.
    Head,
    /// A line that says nothing.
    Rest,
    /// The values of an INSERT, outside of parentheses.
    Between,
    /// A row.
    Row,
    /// A text in a row, and whether the byte before was a backslash.
    Text { quote: u8, escaped: bool },
}

/// The rows of each table so far.
#[derive(Debug)]
pub(super) struct Rows {
    at: At,
    head: Vec<u8>,
    /// Inside of a routine or trigger, whose statements are none of the dump's.
    body: bool,
    depth: u32,
    table: String,
    found: u64,
    rows: BTreeMap<String, u64>,
}

impl Default for Rows {
    fn default() -> Self {
        Rows {
            at: At::Head,
            head: Vec::new(),
            body: false,
            depth: 0,
            table: String::new(),
            found: 0,
            rows: BTreeMap::new(),
        }
    }
}

impl Rows {
    /// More of the dump.
    pub fn see(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match self.at {
                At::Text { quote, escaped: false } if byte == quote => self.at = At::Row,
                At::Text { quote, escaped } => self.at = At::Text { quote, escaped: !escaped && byte == b'\\' },
                At::Row => match byte {
                    b'\'' | b'"' => self.at = At::Text { quote: byte, escaped: false },
                    b'(' => self.depth += 1,
                    b')' if self.depth > 1 => self.depth -= 1,
                    b')' => self.at = At::Between,
                    _ => {}
                },
                At::Between => match byte {
                    b'(' => (self.at, self.depth, self.found) = (At::Row, 1, self.found + 1),
                    b';' => {
                        *self.rows.entry(std::mem::take(&mut self.table)).or_default() += self.found;
                        (self.at, self.found) = (At::Rest, 0);
                    }
                    _ => {}
                },
                At::Rest if byte == b'\n' => self.at = At::Head,
                At::Rest => {}
                At::Head => self.head(byte),
            }
        }
    }

    /// The rows of each table that was made or filled.
    pub fn take(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.rows)
    }

    fn head(&mut self, byte: u8) {
        if byte == b'\n' {
            // A line by itself: of those, only the delimiter says something.
            if let Some(delimiter) = self.head.strip_prefix(b"DELIMITER ") {
                self.body = delimiter != b";";
            }
            self.head.clear();
            return;
        }
        self.head.push(byte);
        if byte == b'(' && !self.body {
            let insert = named(&self.head, b"INSERT INTO ").filter(|(_, rest)| is_values(rest));
            if let Some((table, _)) = insert {
                self.table = table;
                (self.at, self.depth, self.found) = (At::Row, 1, 1);
                self.head.clear();
                return;
            }
            if let Some((table, _)) = named(&self.head, b"CREATE TABLE ") {
                self.rows.entry(table).or_default();
            }
            // A list of columns may stand before the values.
            let columns = named(&self.head, b"INSERT INTO ").is_some();
            if !columns {
                self.at = At::Rest;
                self.head.clear();
            }
        } else if self.head.ends_with(b" VALUES") && !self.body {
            if let Some((table, _)) = named(&self.head, b"INSERT INTO ") {
                (self.table, self.found) = (table, 0);
                self.at = At::Between;
                self.head.clear();
            }
        } else if self.head.len() > HEAD_MAX && named(&self.head, b"INSERT INTO ").is_none() {
            self.at = At::Rest;
            self.head.clear();
        }
    }
}

/// True for what stands between a table's name and its first row.
fn is_values(rest: &[u8]) -> bool {
    rest.trim_ascii().strip_suffix(b"(").is_some_and(|rest| rest.trim_ascii().ends_with(b"VALUES"))
}

/// The name after `verb`, and what follows it.
fn named<'a>(head: &'a [u8], verb: &[u8]) -> Option<(String, &'a [u8])> {
    let mut rest = head.strip_prefix(verb)?.strip_prefix(b"`")?;
    let mut name = Vec::new();
    loop {
        rest = match rest {
            [b'`', b'`', more @ ..] => {
                name.push(b'`');
                more
            }
            [b'`', more @ ..] => return Some((String::from_utf8_lossy(&name).into_owned(), more)),
            [byte, more @ ..] => {
                name.push(*byte);
                more
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
-- MariaDB dump
CREATE TABLE `a``b` (
  `id` int COMMENT 'INSERT INTO `x` VALUES (1)'
);
INSERT INTO `a``b` VALUES
(1,'it''s ), (2) \\' (',NULL),
(2,_binary 'x\\\\',0xFF),
(3,'INSERT INTO `c` VALUES (1);\\n',f(1,(2)));
INSERT INTO `c` VALUES (1,'a'),(2,'b');
INSERT INTO `c` (`x`, `y`) VALUES (3,'a'),(4,\"b)\");
CREATE TABLE `empty` (
  `id` int
);
DELIMITER ;;
CREATE TRIGGER t BEGIN
INSERT INTO `c` VALUES (5);
END ;;
DELIMITER ;
INSERT INTO `c` VALUES (6);
-- Dump completed
";

    #[test]
    fn rows_are_counted_however_the_dump_arrives() {
        for step in [1, 2, 3, 7, 64, DUMP.len()] {
            let mut rows = Rows::default();
            DUMP.as_bytes().chunks(step).for_each(|part| rows.see(part));
            let found: Vec<_> = rows.take().into_iter().collect();
            assert_eq!(found, [("a`b".into(), 3), ("c".into(), 5), ("empty".into(), 0)], "{step}");
        }
    }
}
