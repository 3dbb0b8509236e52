//! Reads TOML key by key and keeps every fault with its place, so that one look at a file names
//! all that is wrong with it. Keys that nobody asked for are faults too.

use super::problem::Problem;
use model::Millis;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Faults found so far, shared by all sections of one file.
pub type Problems = RefCell<Vec<Problem>>;

/// A value and where it stands in the file.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Bytes of the source.
    pub span: Range<usize>,
}

/// One table of the file, while it is read.
pub struct Section<'d> {
    name: String,
    table: &'d DeTable<'d>,
    span: Range<usize>,
    known: RefCell<BTreeSet<&'static str>>,
    problems: &'d Problems,
}

impl<'d> Section<'d> {
    /// The whole file. `span` marks where a missing key is reported.
    pub fn root(table: &'d DeTable<'d>, span: Range<usize>, problems: &'d Problems) -> Self {
        Self::at(String::new(), table, span, problems)
    }

    fn at(name: String, table: &'d DeTable<'d>, span: Range<usize>, problems: &'d Problems) -> Self {
        Self { name, table, span, known: RefCell::default(), problems }
    }

    /// Where the table begins.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The key with the names of the tables round it.
    pub fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Notes a fault.
    pub fn problem(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Notes a fault of a value that was read.
    pub fn fault(
        &self,
        span: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problem(Problem::new(span, title, label, remedy));
    }

    fn get(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.borrow_mut().insert(key);
        self.table.get(key)
    }

    /// True if the key is there, of whatever type.
    pub fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    fn missing(&self, key: &'static str, example: &str) {
        let title = format!("`{}` is missing", self.full(key));
        self.fault(self.span(), title, "expected in this table", format!("add `{key} = {example}`"));
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let title = format!("`{}` is {} instead of {wanted}", self.full(key), a(value.get_ref().type_str()));
        self.fault(value.span(), title, "wrong type", format!("write {wanted} here"));
    }

    /// A text, if it is there.
    pub fn text_opt(&self, key: &'static str) -> Option<Located<String>> {
        let value = self.get(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a text in quotes");
            return None;
        };
        Some(Located { value: text.to_owned(), span: value.span() })
    }

    /// A text that must be there; `example` is shown if it is not.
    pub fn text(&self, key: &'static str, example: &str) -> Option<Located<String>> {
        if !self.has(key) {
            self.missing(key, example);
        }
        self.text_opt(key)
    }

    /// A text turned into something by `parse`; its error is the fault's text.
    fn parsed<T, E: std::fmt::Display>(
        &self,
        key: &'static str,
        text: Option<Located<String>>,
        remedy: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Located<T>> {
        let text = text?;
        match parse(&text.value) {
            Ok(value) => Some(Located { value, span: text.span }),
            Err(error) => {
                let title = format!("`{}` = {:?} can't be used", self.full(key), text.value);
                self.fault(text.span, title, error.to_string(), remedy);
                None
            }
        }
    }

    /// A name of a site or stack that must be there.
    pub fn name<T: std::str::FromStr>(&self, key: &'static str, example: &str) -> Option<Located<T>>
    where
        T::Err: std::fmt::Display,
    {
        let remedy = format!("write a name such as {example}");
        self.parsed(key, self.text(key, example), &remedy, str::parse)
    }

    /// As [`Self::name`], but it may be absent.
    pub fn name_opt<T: std::str::FromStr>(&self, key: &'static str, example: &str) -> Option<Located<T>>
    where
        T::Err: std::fmt::Display,
    {
        let remedy = format!("write a name such as {example}");
        self.parsed(key, self.text_opt(key), &remedy, str::parse)
    }

    /// A path that must be there. Whether it can be used is checked by who knows what for.
    pub fn path(&self, key: &'static str, example: &str) -> Option<Located<PathBuf>> {
        self.text(key, example).map(|t| Located { value: PathBuf::from(t.value), span: t.span })
    }

    /// A path, if it is there.
    pub fn path_opt(&self, key: &'static str) -> Option<Located<PathBuf>> {
        self.text_opt(key).map(|t| Located { value: PathBuf::from(t.value), span: t.span })
    }

    /// `IP:port` to listen on that must be there.
    pub fn listen(&self, key: &'static str) -> Option<Located<SocketAddr>> {
        self.parsed(key, self.text(key, "\"10.0.1.1:7400\""), LISTEN_REMEDY, listen_address)
    }

    /// As [`Self::listen`], but it may be absent.
    pub fn listen_opt(&self, key: &'static str) -> Option<Located<SocketAddr>> {
        self.parsed(key, self.text_opt(key), LISTEN_REMEDY, listen_address)
    }

    /// `host:port` of somebody else that must be there.
    pub fn address(&self, key: &'static str) -> Option<Located<String>> {
        self.parsed(key, self.text(key, "\"10.0.1.1:7400\""), ADDRESS_REMEDY, host_and_port)
    }

    /// As [`Self::address`], but it may be absent.
    pub fn address_opt(&self, key: &'static str) -> Option<Located<String>> {
        self.parsed(key, self.text_opt(key), ADDRESS_REMEDY, host_and_port)
    }

    /// A duration such as "700ms", if it is there.
    pub fn duration_opt(&self, key: &'static str) -> Option<Located<Millis>> {
        let value = self.get(key)?;
        if let Some(number) = value.get_ref().as_integer() {
            let title = format!("`{}` = {} has no unit", self.full(key), number.as_str());
            let remedy = format!("write \"{0}s\" or \"{0}ms\", in quotes", number.as_str());
            self.fault(value.span(), title, "a bare number", remedy);
            return None;
        }
        self.parsed(key, self.text_opt(key), DURATION_REMEDY, millis)
    }

    /// A number that is not negative, if it is there.
    pub fn number_opt(&self, key: &'static str) -> Option<Located<u64>> {
        let value = self.get(key)?;
        let parsed =
            value.get_ref().as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        if parsed.is_none() {
            self.wrong_type(key, value, "a whole number that is not negative");
        }
        parsed.map(|number| Located { value: number, span: value.span() })
    }

    /// True or false, if it is there.
    pub fn flag_opt(&self, key: &'static str) -> Option<Located<bool>> {
        let value = self.get(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(key, value, "true or false");
        }
        flag.map(|flag| Located { value: flag, span: value.span() })
    }

    /// A list of texts; absent is empty.
    pub fn texts(&self, key: &'static str) -> Vec<Located<String>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of texts in brackets");
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => texts.push(Located { value: text.to_owned(), span: item.span() }),
                None => self.wrong_type(key, item, "a text in quotes"),
            }
        }
        texts
    }

    /// Where the value of a key stands, or the table itself.
    pub fn span_of(&self, key: &'static str) -> Range<usize> {
        self.get(key).map_or_else(|| self.span(), Spanned::span)
    }

    /// A table inside this one, if it is there.
    pub fn table_opt(&self, key: &'static str) -> Option<Self> {
        let value = self.get(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, value, "a table");
            return None;
        };
        Some(Self::at(self.full(key), table, value.span(), self.problems))
    }

    /// A table inside this one that must be there.
    pub fn table(&self, key: &'static str, contents: &str) -> Option<Self> {
        if !self.has(key) {
            let title = format!("the table [{}] is missing", self.full(key));
            self.fault(
                self.span(),
                title,
                "expected in this file",
                format!("add [{}] with {contents}", self.full(key)),
            );
        }
        self.table_opt(key)
    }

    /// The tables of a list such as `[[member]]`; absent is empty.
    pub fn tables(&self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, value, "a list of tables");
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_table() {
                Some(table) => sections.push(Self::at(self.full(key), table, item.span(), self.problems)),
                None => self.wrong_type(key, item, "a table"),
            }
        }
        sections
    }

    /// All texts of a table whose keys are names of the user's choice.
    pub fn entries(&self) -> Vec<(Located<String>, Located<String>)> {
        let mut entries = Vec::new();
        for (key, value) in self.table.iter() {
            let name = Located { value: key.get_ref().to_string(), span: key.span() };
            match value.get_ref().as_str() {
                Some(text) => entries.push((name, Located { value: text.to_owned(), span: value.span() })),
                None => self.wrong_type(&name.value, value, "a text in quotes"),
            }
        }
        entries
    }

    /// Ends the reading: what was not asked for is an unknown key.
    pub fn finish(self) {
        let known = self.known.borrow();
        for key in self.table.keys().filter(|key| !known.contains(key.get_ref().as_ref())) {
            let text = key.get_ref();
            let list = known.iter().copied().collect::<Vec<_>>().join(", ");
            let remedy = match nearest(text, &known) {
                Some(near) => format!("did you mean `{near}`? Known here: {list}"),
                None => format!("remove it. Known here: {list}"),
            };
            self.fault(
                key.span(),
                format!("unknown key `{}`", self.full(text)),
                "not a key of this table",
                remedy,
            );
        }
    }
}

const LISTEN_REMEDY: &str = "write this host's own IP address and a port, such as \"10.0.1.1:7400\"";
const ADDRESS_REMEDY: &str = "write host:port, such as \"10.0.1.1:7400\" or \"witness.dc1.example:7400\"";
const DURATION_REMEDY: &str = "write a number and a unit: \"700ms\", \"5s\", \"2m\"";

fn a(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "not IP:port".to_owned())
}

fn host_and_port(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').ok_or("no port")?;
    if host.is_empty() || host.contains(['/', ' ']) {
        return Err("no host before the port".to_owned());
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(text.to_owned()),
        _ => Err("the port is no number from 1 to 65535".to_owned()),
    }
}

/// Reads a duration as people write it; whole milliseconds alone.
pub fn millis(text: &str) -> Result<Millis, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let whole = Duration::from_millis(u64::try_from(duration.as_millis()).map_err(|_| "too long")?);
    if whole == duration {
        Ok(Millis(whole.as_millis() as u64))
    } else {
        Err("finer than a millisecond".to_owned())
    }
}

/// The known key that a mistyped one is most like, if one is near enough.
fn nearest(text: &str, known: &BTreeSet<&'static str>) -> Option<&'static str> {
    let (distance, near) = known.iter().map(|key| (edit_distance(text, key), *key)).min()?;
    (distance <= 1 + near.len() / 4).then_some(near)
}

/// Levenshtein's distance: single characters added, removed or changed.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let changed = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
