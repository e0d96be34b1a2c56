//! Digests: how two copies of the same rows are compared without sending the rows.

use super::Invalid;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A SHA-256 sum; 64 lower-case hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Sum(pub [u8; 32]);

impl fmt::Display for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256Sum {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut sum = [0; 32];
        match hex::decode_to_slice(text, &mut sum) {
            Ok(()) => Ok(Self(sum)),
            Err(_) => Err(Invalid::new("a SHA-256 sum has 64 hexadecimal digits")),
        }
    }
}

impl TryFrom<String> for Sha256Sum {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Sha256Sum> for String {
    fn from(sum: Sha256Sum) -> String {
        sum.to_string()
    }
}

/// A table whose rows all nodes have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// With the highest number that a book ever had, which belongs to the last range.
    Books,
    Orders,
    Answers,
    Imports,
    EditAnswers,
}

impl Table {
    /// The order in which a verification walks through them.
    pub const ALL: [Table; 5] =
        [Table::Books, Table::Orders, Table::Answers, Table::Imports, Table::EditAnswers];

    pub const fn name(self) -> &'static str {
        match self {
            Table::Books => "books",
            Table::Orders => "orders",
            Table::Answers => "answers",
            Table::Imports => "imports",
            Table::EditAnswers => "edit_answers",
        }
    }
}

/// What the rows of one table from behind the key `after` up to the key `last` add up to, in the state
/// before the record that carries this. The ranges of one verification leave no key out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeDigest {
    pub table: Table,
    /// `None`: from the beginning of the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// `None`: to the end of the table, whatever is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    pub rows: u64,
    pub sha256: Sha256Sum,
}

/// For people: which rows are meant.
impl fmt::Display for RangeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = |key: &Option<String>, end: &'static str| key.clone().unwrap_or_else(|| end.into());
        let (after, last) = (key(&self.after, "the beginning"), key(&self.last, "the end"));
        write!(f, "{} rows of {} behind {after} up to {last}", self.rows, self.table.name())
    }
}
