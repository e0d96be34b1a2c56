//! A line as a book, or a sentence about why it is none.

use super::Format;
use super::lines::MAX_LINE;
use crate::domain::import::parse_dollars;
use crate::domain::{BookId, ImportLine, Invalid, NewBook, Stock, Title, Topic};
use csv_core::ReadRecordResult;
use serde::Deserialize;

/// Columns of a file; more of them are no catalog.
const MAX_COLUMNS: usize = 64;

/// Reads the lines of one input.
pub enum LineParser {
    Csv(Box<Csv>),
    JsonLines,
}

impl LineParser {
    /// For an input whose first line is `first`. With CSV that line is the header, and no book.
    pub fn new(format: Option<Format>, first: &[u8]) -> Result<Self, Invalid> {
        let looks_like_json = first.trim_ascii_start().starts_with(b"{");
        match format.unwrap_or(if looks_like_json { Format::JsonLines } else { Format::Csv }) {
            Format::Csv => Ok(Self::Csv(Box::new(Csv::new(first)?))),
            Format::JsonLines => Ok(Self::JsonLines),
        }
    }

    pub fn parse(&mut self, line: &[u8]) -> Result<ImportLine, Invalid> {
        match self {
            Self::Csv(csv) => csv.parse(line),
            Self::JsonLines => parse_json(line),
        }
    }
}

/// Lines whose fields stand in the order of the header's names. A field that is in quotes may hold commas and
/// doubled quotes, but no line break, which no title and no topic has.
pub struct Csv {
    splitter: Splitter,
    columns: Columns,
}

/// Where each field stands.
struct Columns {
    count: usize,
    id: Option<usize>,
    title: usize,
    topic: usize,
    stock: usize,
    price: usize,
}

impl Csv {
    fn new(header: &[u8]) -> Result<Self, Invalid> {
        let mut splitter = Splitter::new();
        let header = header.strip_prefix("\u{feff}".as_bytes()).unwrap_or(header);
        let count = splitter.split(header)?;
        let place = |names: [&str; 2]| {
            (0..count).find(|&n| {
                let name = splitter.field(n).unwrap_or_default().trim();
                names.iter().any(|known| known.eq_ignore_ascii_case(name))
            })
        };
        let required =
            |names: [&str; 2]| place(names).ok_or_else(|| Invalid(format!("there is no \"{}\"", names[0])));
        let columns = Columns {
            count,
            id: place(["id", "id"]),
            title: required(["title", "bookTitle"])?,
            topic: required(["topic", "bookTopic"])?,
            stock: required(["stock", "numberOfItems"])?,
            price: required(["price", "bookCost"])?,
        };
        Ok(Self { splitter, columns })
    }

    fn parse(&mut self, line: &[u8]) -> Result<ImportLine, Invalid> {
        let Self { splitter, columns } = self;
        let count = splitter.split(line)?;
        if count != columns.count {
            return Err(Invalid(format!("it has {count} fields, and the first line has {}", columns.count)));
        }
        let id = match columns.id.map(|id| splitter.field(id)).transpose()? {
            None | Some("") => None,
            Some(id) => Some(BookId::parse(id)?),
        };
        let stock = splitter.field(columns.stock)?;
        let stock = stock.parse().map_err(|_| Invalid::new(NO_STOCK)).and_then(Stock::new)?;
        let book = NewBook {
            title: Title::parse(splitter.field(columns.title)?)?,
            topic: Topic::parse(splitter.field(columns.topic)?)?,
            stock,
            price: parse_dollars(splitter.field(columns.price)?)?,
        };
        Ok(ImportLine { id, book })
    }
}

const NO_STOCK: &str = "a stock must be a whole number between 0 and 1000000000";

/// The fields of one line at a time, in memory of a fixed size.
struct Splitter {
    reader: csv_core::Reader,
    text: Box<[u8]>,
    ends: [usize; MAX_COLUMNS],
}

impl Splitter {
    fn new() -> Self {
        Self { reader: csv_core::Reader::new(), text: vec![0; MAX_LINE].into(), ends: [0; MAX_COLUMNS] }
    }

    /// How many fields the line has.
    fn split(&mut self, line: &[u8]) -> Result<usize, Invalid> {
        self.reader.reset();
        let Self { reader, text, ends } = self;
        let (mut written, mut count) = (0, 0);
        // The line as it is, and then an end for one that has none.
        for input in [line, b"\n"] {
            let (result, read, wrote, ended) =
                reader.read_record(input, &mut text[written..], &mut ends[count..]);
            (written, count) = (written + wrote, count + ended);
            match result {
                ReadRecordResult::Record if !input[read..].trim_ascii().is_empty() => {
                    return Err(Invalid::new("it has a line break within"));
                }
                ReadRecordResult::Record => return Ok(count),
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => return Err(Invalid::new("it is too long")),
                ReadRecordResult::OutputEndsFull => {
                    return Err(Invalid(format!("it has more than {MAX_COLUMNS} fields")));
                }
                ReadRecordResult::End => return Err(Invalid::new("it is empty")),
            }
        }
        Err(Invalid::new("a quote is not closed"))
    }

    fn field(&self, n: usize) -> Result<&str, Invalid> {
        let begin = if n == 0 { 0 } else { self.ends[n - 1] };
        std::str::from_utf8(&self.text[begin..self.ends[n]]).map_err(|_| Invalid::new("it is not UTF-8"))
    }
}

#[derive(Deserialize)]
struct JsonLine {
    #[serde(default)]
    id: Option<i64>,
    #[serde(alias = "bookTitle")]
    title: String,
    #[serde(alias = "bookTopic")]
    topic: String,
    #[serde(alias = "numberOfItems")]
    stock: i64,
    #[serde(alias = "bookCost")]
    price: serde_json::Number,
}

fn parse_json(line: &[u8]) -> Result<ImportLine, Invalid> {
    let line: JsonLine = serde_json::from_slice(line).map_err(|error| {
        // A line is one line: only the column says where.
        let (text, column) = (error.to_string(), error.column());
        let sentence = text.split(" at line ").next().unwrap_or_default();
        Invalid(format!("it is not the JSON of a book: {sentence} at column {column}"))
    })?;
    let book = NewBook {
        title: Title::parse(line.title)?,
        topic: Topic::parse(line.topic)?,
        stock: Stock::new(line.stock)?,
        price: parse_dollars(&line.price.to_string())?,
    };
    Ok(ImportLine { id: line.id.map(BookId::new).transpose()?, book })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn csv() -> LineParser {
        LineParser::new(None, b"id,title,topic,stock,price\n").unwrap()
    }

    fn shown(line: &ImportLine) -> String {
        serde_json::to_string(line).unwrap()
    }

    #[test]
    fn a_line_of_csv_is_a_book() {
        let mut csv = csv();
        for (line, book) in [
            ("1,The Great Adventure,fiction,10,15\n", r#"[1,"The Great Adventure","fiction",10,1500]"#),
            ("7,\"A, \"\"b\"\"\",x,0,1.5\r\n", r#"[7,"A, \"b\"","x",0,150]"#),
            (",t,é,1,0.07", r#"[null,"t","é",1,7]"#),
        ] {
            assert_eq!(shown(&csv.parse(line.as_bytes()).unwrap()), book);
        }
    }

    #[test]
    fn columns_go_by_name_and_others_are_passed_over() {
        let header = "\u{feff}Price,isbn, bookTitle ,topic,stock\r\n";
        let mut csv = LineParser::new(None, header.as_bytes()).unwrap();
        assert_eq!(shown(&csv.parse(b"9.90,x,T,u,3\n").unwrap()), r#"[null,"T","u",3,990]"#);
        for header in ["", "\n", "id,title\n", "1,The Great Adventure,fiction,10,15\n", "\"a"] {
            assert!(LineParser::new(None, header.as_bytes()).is_err(), "{header}");
        }
    }

    #[test]
    fn a_line_that_is_no_book_says_why() {
        let mut csv = csv();
        for (line, why) in [
            ("1,t,x,1\n", "it has 4 fields, and the first line has 5"),
            ("1,t,x,1,1,1\n", "it has 6 fields, and the first line has 5"),
            ("0,t,x,1,1\n", "a book id must be a whole number between 1 and 9007199254740991"),
            ("1, ,x,1,1\n", "a title must not be empty"),
            ("1,t,,1,1\n", "a topic must not be empty"),
            ("1,t,x,-1,1\n", "a stock must be a whole number between 0 and 1000000000"),
            ("1,t,x,many,1\n", "a stock must be a whole number between 0 and 1000000000"),
            ("1,t,x,1,$1\n", "a price must be a number of dollars with at most two decimals"),
            ("1,\"t,x,1,1\n", "a quote is not closed"),
            ("1,a\tb,x,1,1\n", "a title must not have control characters"),
        ] {
            assert_eq!(csv.parse(line.as_bytes()).unwrap_err().to_string(), why, "{line}");
            // What was wrong with a line is no trouble for the next one.
            assert!(csv.parse(b"1,t,x,1,1\n").is_ok());
        }
        assert_eq!(csv.parse(b"1,\xff,x,1,1\n").unwrap_err().to_string(), "it is not UTF-8");
    }

    #[test]
    fn a_line_of_json_is_a_book_in_either_spelling() {
        let mut json = LineParser::new(None, b" {").unwrap();
        for line in [
            r#"{"id":9,"title":"t","topic":"x","stock":15,"price":28.5}"#,
            r#"{"id":9,"bookTitle":"t","bookTopic":"x","numberOfItems":15,"bookCost":28.50,"isbn":[1]}"#,
        ] {
            assert_eq!(shown(&json.parse(line.as_bytes()).unwrap()), r#"[9,"t","x",15,2850]"#);
        }
        let no_price = json.parse(br#"{"title":"t","topic":"x","stock":1}"#).unwrap_err();
        assert_eq!(no_price.to_string(), "it is not the JSON of a book: missing field `price` at column 35");
        for line in ["", "[]", "{", "9", r#"{"title":"t","topic":"x","stock":1.5,"price":1}"#] {
            assert!(json.parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_line_is_a_book_or_refused(line: Vec<u8>, header in "[a-z,\" ]{0,40}") {
            let _ = csv().parse(&line);
            let _ = parse_json(&line);
            if let Ok(mut other) = LineParser::new(Some(Format::Csv), header.as_bytes()) {
                let _ = other.parse(&line);
            }
        }

        #[test]
        fn a_line_near_csv_is_a_book_or_refused(line in "[0-9]{0,3},[\"a,é]{0,9},[\"x,]{0,4},[0-9-]{0,3},[0-9.]{0,5}(\r?\n)?") {
            if let Ok(book) = csv().parse(line.as_bytes()) {
                prop_assert!(book.book.stock.get() <= 999);
            }
        }

        #[test]
        fn every_book_that_is_written_as_csv_is_read_back(
            title in "[^\\p{C}]{1,40}", topic in "[^\\p{C}]{1,20}", stock in 0..1000i64, cents in 0..100_000i64,
        ) {
            let (Ok(title), Ok(topic)) = (Title::parse(title), Topic::parse(topic)) else { return Ok(()) };
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let line = format!("5,{},{},{stock},{}.{:02}\n", quoted(title.as_str()), quoted(topic.as_str()), cents / 100, cents % 100);
            let read = csv().parse(line.as_bytes()).unwrap();
            prop_assert_eq!((read.book.title, read.book.topic), (title, topic));
            prop_assert_eq!((i64::from(read.book.stock.get()), read.book.price.get()), (stock, cents));
        }
    }
}
