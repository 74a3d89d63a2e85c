//! One table of a TOML file, taken apart key by key.
//!
//! Reading never stops: a key with a wrong type is reported and reads as [`Given::Bad`], what is
//! left over at the end is an unknown key. On the way it is noted which stretches of the file may
//! be shown in a problem: every key, and every value of a known key that is no secret.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::given::{FieldReader, Given, REFERENCE_HELP, ValueWanted, integer, kind};
use super::near;
use super::source::{At, Place};
use super::values::{Mistake, Reference};
use crate::model::secret::Secret;

/// One table that is being read.
#[derive(Debug)]
pub(super) struct Fields<'r, 'n, 'i> {
    reader: &'r mut FieldReader<'n>,
    table: DeTable<'i>,
    /// As a problem calls it: `[http]`, `channel`.
    title: String,
    /// Where a missing key is reported.
    anchor: Place,
    known: Vec<&'static str>,
}

impl<'r, 'n, 'i> Fields<'r, 'n, 'i> {
    /// Reads a whole table; whatever `read` does not ask for is reported as unknown.
    pub(super) fn read<T>(
        reader: &'r mut FieldReader<'n>,
        title: String,
        anchor: Place,
        table: DeTable<'i>,
        read: impl FnOnce(&mut Fields<'_, 'n, 'i>) -> T,
    ) -> T {
        for key in table.keys() {
            let place = reader.place(key.span());
            reader.show(place);
        }
        let mut fields = Fields { reader, table, title, anchor, known: Vec::new() };
        let value = read(&mut fields);
        fields.refuse_the_rest();
        value
    }

    /// Where the table is.
    pub(super) fn anchor(&self) -> Place {
        self.anchor
    }

    /// From here on, missing keys are reported at this place.
    pub(super) fn anchor_at(&mut self, given: &Given<String>) {
        if let Some(at) = given.good() {
            self.anchor = at.place;
            self.title = format!("{} \"{}\"", self.title, at.value.escape_debug());
        }
    }

    /// True when some key that was not asked for is nearly this one.
    pub(super) fn has_misspelt(&self, key: &str) -> bool {
        self.table.keys().any(|name| near::nearest(name.get_ref(), &[key]).is_some())
    }

    /// A string.
    pub(super) fn text(&mut self, key: &'static str) -> Given<String> {
        self.shown(key, FieldReader::show).then(|at| self.string(key, at))
    }

    /// A string that is a URL, whose query is not shown.
    pub(super) fn url(&mut self, key: &'static str) -> Given<String> {
        self.shown(key, FieldReader::show_url).then(|at| self.string(key, at))
    }

    /// A string that stands for a value.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: fn(&str) -> Result<T, Mistake>,
    ) -> Given<T> {
        self.text(key).then(|at| self.accept(&at, parse(&at.value)))
    }

    /// A string that stands for a time span; a bare number gets a help of its own.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        parse: fn(&str) -> Result<std::time::Duration, Mistake>,
    ) -> Given<std::time::Duration> {
        self.shown(key, FieldReader::show).then(|at| match &at.value {
            DeValue::String(text) => self.accept(&at, parse(text)),
            DeValue::Integer(_) | DeValue::Float(_) => {
                self.bad(at.place, format!("\"{key}\" has no unit"), ValueWanted::Life.words().1)
            }
            DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                self.wrong_type(key, &at, ValueWanted::Life)
            }
        })
    }

    /// A whole number within bounds.
    pub(super) fn whole(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Given<i64> {
        self.shown(key, FieldReader::show).then(|at| {
            let DeValue::Integer(_) = &at.value else {
                return self.wrong_type(key, &at, ValueWanted::Whole);
            };
            match integer(&at.value).filter(|number| range.contains(number)) {
                Some(number) => Given::Is(at.with(number)),
                None => {
                    let message = format!("\"{key}\" is out of range");
                    self.bad(
                        at.place,
                        message,
                        format!("from {} to {}", range.start(), range.end()),
                    )
                }
            }
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Given<bool> {
        self.shown(key, FieldReader::show).then(|at| match at.value.as_bool() {
            Some(flag) => Given::Is(at.with(flag)),
            None => self.wrong_type(key, &at, ValueWanted::Flag),
        })
    }

    /// A string of digits or a whole number.
    pub(super) fn id(&mut self, key: &'static str) -> Given<String> {
        self.shown(key, FieldReader::show).then(|at| match &at.value {
            DeValue::String(text) => Given::Is(at.with(text.clone().into_owned())),
            DeValue::Integer(number) if number.radix() == 10 => {
                Given::Is(at.with(number.as_str().to_owned()))
            }
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => self.wrong_type(key, &at, ValueWanted::Id),
        })
    }

    /// A list of strings.
    pub(super) fn texts(&mut self, key: &'static str) -> Given<Vec<At<String>>> {
        self.list(key, FieldReader::show)
    }

    /// A list of URLs, whose queries are not shown.
    pub(super) fn urls(&mut self, key: &'static str) -> Given<Vec<At<String>>> {
        self.list(key, FieldReader::show_url)
    }

    /// A list of strings that no problem shows.
    fn hidden_texts(&mut self, key: &'static str) -> Given<Vec<At<String>>> {
        self.list(key, |_, _| {})
    }

    fn list(
        &mut self,
        key: &'static str,
        show: fn(&mut FieldReader<'n>, Place),
    ) -> Given<Vec<At<String>>> {
        self.shown(key, |_, _| {}).then(|at| {
            let DeValue::Array(items) = at.value else {
                show(self.reader, at.place);
                return self.wrong_type(key, &at, ValueWanted::Texts);
            };
            let mut texts = Vec::with_capacity(items.len());
            for item in items {
                let item = self.located(item);
                show(self.reader, item.place);
                match self.string(key, item) {
                    Given::Is(text) => texts.push(text),
                    Given::Bad | Given::Absent => {}
                }
            }
            Given::Is(At { value: texts, place: at.place })
        })
    }

    /// A list of strings and tables.
    pub(super) fn entries<T>(
        &mut self,
        key: &'static str,
        title: &str,
        text: fn(String) -> T,
        table: fn(&mut Fields<'_, 'n, 'i>) -> T,
    ) -> Given<Vec<At<T>>> {
        self.shown(key, |_, _| {}).then(|at| {
            let DeValue::Array(items) = at.value else {
                self.reader.show(at.place);
                return self.wrong_type(key, &at, ValueWanted::Entries);
            };
            let mut entries = Vec::with_capacity(items.len());
            for item in items {
                let At { value, place } = self.located(item);
                match value {
                    DeValue::String(value) => {
                        self.reader.show(place);
                        entries.push(At { value: text(value.into_owned()), place });
                    }
                    DeValue::Table(value) => {
                        let title = title.to_owned();
                        let value = Fields::read(self.reader, title, place, value, table);
                        entries.push(At { value, place });
                    }
                    DeValue::Integer(_)
                    | DeValue::Float(_)
                    | DeValue::Boolean(_)
                    | DeValue::Datetime(_)
                    | DeValue::Array(_) => {
                        self.reader.show(place);
                        self.wrong_type::<()>(key, &At { value, place }, ValueWanted::Entries);
                    }
                }
            }
            Given::Is(At { value: entries, place: at.place })
        })
    }

    /// A secret: a string, or a table that says where it is.
    pub(super) fn secret(&mut self, key: &'static str) -> Given<Reference> {
        self.shown(key, |_, _| {}).then(|at| match at.value {
            DeValue::String(text) if text.trim().is_empty() => {
                self.bad(at.place, format!("\"{key}\" is empty"), REFERENCE_HELP)
            }
            DeValue::String(text) => Given::Is(At {
                value: Reference::Plain(Secret::new(text.into_owned())),
                place: at.place,
            }),
            DeValue::Table(table) => self.reference(key, table, at.place),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_) => self.wrong_type(key, &at, ValueWanted::Secret),
        })
    }

    /// A table, `[key]`.
    pub(super) fn table<T: Default>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Fields<'_, 'n, 'i>) -> T,
    ) -> At<T> {
        let title = if self.title.is_empty() {
            format!("[{key}]")
        } else {
            format!("{key} of {}", self.title)
        };
        match self.take(key) {
            Given::Is(At { value: DeValue::Table(table), place }) => {
                At { value: Fields::read(self.reader, title, place, table, read), place }
            }
            Given::Is(at) => {
                self.wrong_type::<()>(key, &at, ValueWanted::Table);
                At::default()
            }
            Given::Bad | Given::Absent => At::default(),
        }
    }

    /// Tables under names of the operator's choosing, `[key.NAME]`.
    pub(super) fn named<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Fields<'_, 'n, 'i>) -> T,
    ) -> Vec<(At<String>, T)> {
        let mut named = Vec::new();
        let table = match self.take(key) {
            Given::Is(At { value: DeValue::Table(table), .. }) => table,
            Given::Is(at) => {
                self.wrong_type::<()>(key, &at, ValueWanted::Table);
                return named;
            }
            Given::Bad | Given::Absent => return named,
        };
        for (name, value) in table {
            let place = self.reader.place(name.span());
            let name = At { value: name.into_inner().into_owned(), place };
            let value = self.located(value);
            self.reader.show(place);
            let title = format!("account \"{}\"", name.value.escape_debug());
            let DeValue::Table(table) = value.value else {
                self.wrong_type::<()>(
                    &name.value.escape_debug().to_string(),
                    &value,
                    ValueWanted::Table,
                );
                continue;
            };
            let value = Fields::read(self.reader, title, place, table, &mut read);
            named.push((name, value));
        }
        named
    }

    /// A list of tables, `[[key]]`.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        title: &str,
        mut read: impl FnMut(&mut Fields<'_, 'n, 'i>) -> T,
    ) -> Given<Vec<At<T>>> {
        self.take(key).then(|at| {
            let DeValue::Array(items) = at.value else {
                return self.wrong_type(key, &at, ValueWanted::Tables);
            };
            let mut values = Vec::with_capacity(items.len());
            for item in items {
                let At { value, place } = self.located(item);
                let DeValue::Table(table) = value else {
                    self.wrong_type::<()>(key, &At { value, place }, ValueWanted::Tables);
                    continue;
                };
                let value = Fields::read(self.reader, title.to_owned(), place, table, &mut read);
                values.push(At { value, place });
            }
            Given::Is(At { value: values, place: at.place })
        })
    }

    /// Reports a key that must be there and is not.
    pub(super) fn require<T>(&mut self, key: &'static str, given: &Given<T>, help: &str) {
        if given.is_absent() {
            self.reader.notes.problem(
                self.anchor,
                format!("{} has no \"{key}\"", self.title),
                help,
            );
        }
    }

    /// Takes a key that has its place elsewhere, and says where.
    pub(super) fn misplaced(&mut self, key: &'static str, help: &str) {
        if let Some((name, _)) = self.table.remove_entry(key) {
            let place = self.reader.place(name.span());
            self.reader.notes.problem(
                place,
                format!("\"{key}\" does not belong in an included file"),
                help,
            );
        }
    }

    fn shown(
        &mut self,
        key: &'static str,
        show: impl FnOnce(&mut FieldReader<'n>, Place),
    ) -> Given<DeValue<'i>> {
        let given = self.take(key);
        if let (Some(at), false) =
            (given.good(), matches!(given.value(), Some(DeValue::Table(_) | DeValue::Array(_))))
        {
            show(self.reader, at.place);
        }
        given
    }

    fn take(&mut self, key: &'static str) -> Given<DeValue<'i>> {
        self.known.push(key);
        match self.table.remove(key) {
            Some(value) => Given::Is(self.located(value)),
            None => Given::Absent,
        }
    }

    fn located(&self, value: Spanned<DeValue<'i>>) -> At<DeValue<'i>> {
        let place = self.reader.place(value.span());
        At { value: value.into_inner(), place }
    }

    fn string(&mut self, key: &str, at: At<DeValue<'i>>) -> Given<String> {
        let DeValue::String(text) = at.value else {
            return self.wrong_type(key, &at, ValueWanted::Text);
        };
        Given::Is(At { value: text.into_owned(), place: at.place })
    }

    fn reference(&mut self, key: &str, table: DeTable<'i>, place: Place) -> Given<Reference> {
        let title = format!("\"{key}\"");
        let ways = ["env", "file", "credential", "command"];
        let any_unknown = table.keys().any(|key| !ways.contains(&key.get_ref().as_ref()));
        let (env, file, credential, command) =
            Fields::read(self.reader, title, place, table, |fields| {
                let [env, file, credential] =
                    ["env", "file", "credential"].map(|key| fields.text(key));
                (env, file, credential, fields.hidden_texts("command"))
            });
        let any_bad = [&env, &file, &credential].into_iter().any(|given| *given == Given::Bad);
        let any_bad = any_bad || command == Given::Bad;
        let reference = match (env.value(), file.value(), credential.value(), command.value()) {
            (Some(name), None, None, None) => Reference::Env(name.clone()),
            (None, Some(path), None, None) => Reference::File(path.clone()),
            (None, None, Some(name), None) => Reference::Credential(name.clone()),
            (None, None, None, Some(words)) => {
                Reference::Command(words.iter().map(|word| word.value.clone()).collect())
            }
            _ if any_bad || any_unknown => return Given::Bad,
            _ => {
                return self.bad(
                    place,
                    format!("\"{key}\" does not say where one secret is"),
                    REFERENCE_HELP,
                );
            }
        };
        if reference.is_empty() {
            return self.bad(place, format!("\"{key}\" refers to an empty name"), REFERENCE_HELP);
        }
        Given::Is(At { value: reference, place })
    }

    fn accept<T, U>(&mut self, at: &At<T>, parsed: Result<U, Mistake>) -> Given<U> {
        match parsed {
            Ok(value) => Given::Is(at.with(value)),
            Err(Mistake { message, help }) => self.bad(at.place, message, help),
        }
    }

    fn wrong_type<T>(&mut self, key: &str, at: &At<DeValue<'i>>, wanted: ValueWanted) -> Given<T> {
        let found = kind(&at.value);
        let (wanted, help) = wanted.words();
        self.bad(at.place, format!("\"{key}\" must be {wanted}, not {found}"), help)
    }

    fn bad<T>(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Given<T> {
        self.reader.notes.problem(place, message, help);
        Given::Bad
    }

    fn refuse_the_rest(self) {
        let Fields { reader, table, title, known, .. } = self;
        for (key, _) in table {
            let place = reader.place(key.span());
            let name: DeString<'_> = key.into_inner();
            let of = if title.is_empty() { String::new() } else { format!(" in {title}") };
            let message = format!("unknown key \"{}\"{of}", name.escape_debug());
            reader.notes.problem(place, message, near::suggestion(&name, &known));
        }
    }
}
