//! The grammar of queries, by recursive descent; each error is one that Zoho documents.
//!
//! ```text
//! query    = select names from name where criteria [order by keys] [limit n [offset n] | limit n, n]
//! criteria = part {(and | or) part}
//! part     = "(" criteria ")" | name comparison
//! ```
//!
//! More than two criteria stand in brackets by pairs (Kaizen #171). A knob lets them stand in a
//! row, where `and` binds before `or`.

use serde_json::json;

use super::super::super::reply::bare;
use super::super::knobs::Brackets;
use super::cell::Literal;
use super::criteria::{Comparison, Criteria, Test};
use super::tokens::{CoqlToken, tokens};
use super::{CONVERTED, CoqlQuery, SortKey, exceeded};
use crate::model::exchange::Response;

/// The query that a text is.
pub(super) fn query(text: &str, brackets: Brackets) -> Result<CoqlQuery, Response> {
    let tokens = tokens(text).map_err(|rest| near(&rest))?;
    let mut parser = Parser { tokens: &tokens, brackets, tests: 0, depth: 0 };
    let query = parser.query()?;
    match parser.tokens.first() {
        None => Ok(query),
        Some(token) if token.is_word("group") || token.is_word("having") => Err(unsupported()),
        Some(token) => Err(near(token.text())),
    }
}

struct Parser<'a> {
    /// The tokens that are left.
    tokens: &'a [CoqlToken],
    brackets: Brackets,
    tests: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn query(&mut self) -> Result<CoqlQuery, Response> {
        self.expect("select")?;
        let columns = self.names()?;
        if !self.takes("from") {
            return Err(self.missing("from"));
        }
        let module = self.name()?;
        if !self.takes("where") {
            return Err(self.missing("where"));
        }
        let criteria = self.criteria()?;
        let order = if self.takes("order") { self.order()? } else { Vec::new() };
        let (limit, offset) = if self.takes("limit") { self.limit()? } else { (LIMIT_DEFAULT, 0) };
        Ok(CoqlQuery { columns, module, criteria, order, limit, offset })
    }

    fn names(&mut self) -> Result<Vec<String>, Response> {
        let mut names = vec![self.name()?];
        while self.takes_sign(",") {
            names.push(self.name()?);
        }
        Ok(names)
    }

    /// A field or a module; one that is a reserved word stands in quotes.
    fn name(&mut self) -> Result<String, Response> {
        let (CoqlToken::Word(name) | CoqlToken::Text(name)) = self.next()? else {
            return Err(self.failed());
        };
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_$".contains(c));
        let is_renamed = self.tokens.first().is_some_and(|token| token.is_word("as"));
        if !is_plain || is_renamed || self.tokens.first() == Some(&CoqlToken::Sign("(")) {
            return Err(unsupported());
        }
        Ok(name.clone())
    }

    fn criteria(&mut self) -> Result<Criteria, Response> {
        let mut any = Vec::new();
        let mut all = vec![self.part()?];
        let mut joined = 0;
        loop {
            if self.takes("and") {
                all.push(self.part()?);
            } else if self.takes("or") {
                any.push(of_all(std::mem::replace(&mut all, vec![self.part()?])));
            } else {
                break;
            }
            joined += 1;
            if joined > 1 && self.brackets == Brackets::Pairs {
                return Err(near("where"));
            }
        }
        any.push(of_all(all));
        Ok(if any.len() == 1 { any.remove(0) } else { Criteria::Any(any) })
    }

    fn part(&mut self) -> Result<Criteria, Response> {
        if !self.takes_sign("(") {
            return Ok(Criteria::Test(self.test()?));
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(unsupported());
        }
        let within = self.criteria()?;
        self.depth -= 1;
        self.close()?;
        Ok(within)
    }

    fn test(&mut self) -> Result<Test, Response> {
        self.tests += 1;
        if self.tests > TESTS_MAX {
            return Err(exceeded("where", TESTS_MAX));
        }
        let CoqlToken::Word(field) = self.next()? else { return Err(self.failed()) };
        let field = field.clone();
        if field.contains('.') {
            return Err(unsupported());
        }
        let operator = self.next()?.text().to_ascii_lowercase();
        let (comparison, negated) = self.comparison(&operator)?;
        let test = Test { field, comparison, negated };
        test.check(&operator)?;
        Ok(test)
    }

    fn comparison(&mut self, operator: &str) -> Result<(Comparison, bool), Response> {
        Ok(match operator {
            "=" => (Comparison::Equal(self.value()?), false),
            "!=" | "<>" => (Comparison::Equal(self.value()?), true),
            "<" => (Comparison::Less(self.value()?), false),
            ">=" => (Comparison::Less(self.value()?), true),
            ">" => (Comparison::Greater(self.value()?), false),
            "<=" => (Comparison::Greater(self.value()?), true),
            "is" => {
                let negated = self.takes("not");
                self.expect("null")?;
                (Comparison::Null, negated)
            }
            "not" => (self.worded("")?, true),
            worded => (self.worded(worded)?, false),
        })
    }

    /// `between`, `in` or `like`; the word is taken from the query when it is not given.
    fn worded(&mut self, given: &str) -> Result<Comparison, Response> {
        let word = if given.is_empty() {
            self.next()?.text().to_ascii_lowercase()
        } else {
            given.to_owned()
        };
        match word.as_str() {
            "between" => {
                let from = self.value()?;
                self.expect("and")?;
                Ok(Comparison::Between(from, self.value()?))
            }
            "in" => {
                if !self.takes_sign("(") {
                    return Err(self.failed());
                }
                let mut values = vec![self.value()?];
                while self.takes_sign(",") {
                    values.push(self.value()?);
                }
                self.close()?;
                Ok(Comparison::In(values))
            }
            "like" => Ok(Comparison::Like(self.value()?.text)),
            other => {
                let details = json!({ "operator": other });
                Err(bare(400, "SYNTAX_ERROR", "operator not supported", &details))
            }
        }
    }

    fn order(&mut self) -> Result<Vec<SortKey>, Response> {
        self.expect("by")?;
        let mut keys = Vec::new();
        loop {
            let field = self.name()?;
            let descending = self.takes("desc");
            if !descending {
                self.takes("asc");
            }
            keys.push(SortKey { field, descending });
            if !self.takes_sign(",") {
                return Ok(keys);
            }
        }
    }

    /// `limit n`, `limit n offset o` or `limit o, n`: the limit and the offset.
    fn limit(&mut self) -> Result<(usize, usize), Response> {
        let first = self.number("limit")?;
        if self.takes_sign(",") {
            return Ok((self.number("limit")?, first));
        }
        let offset = if self.takes("offset") { self.number("offset")? } else { 0 };
        Ok((first, offset))
    }

    fn number(&mut self, clause: &str) -> Result<usize, Response> {
        let text = self.next()?.text();
        text.parse().map_err(|_| {
            let message = format!("{clause} given seems to be invalid");
            bare(400, "INVALID_QUERY", &message, &json!({ clause: text }))
        })
    }

    fn value(&mut self) -> Result<Literal, Response> {
        match self.next()? {
            CoqlToken::Word(text) | CoqlToken::Text(text) => Ok(Literal::of(text)),
            CoqlToken::Sign(sign) => Err(near(sign)),
        }
    }

    fn next(&mut self) -> Result<&'a CoqlToken, Response> {
        let (first, rest) = self.tokens.split_first().ok_or_else(|| near(""))?;
        self.tokens = rest;
        Ok(first)
    }

    fn takes(&mut self, word: &str) -> bool {
        self.takes_if(|token| token.is_word(word))
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        self.takes_if(|token| matches!(token, CoqlToken::Sign(own) if *own == sign))
    }

    fn takes_if(&mut self, is_it: impl Fn(&CoqlToken) -> bool) -> bool {
        let taken = self.tokens.first().is_some_and(is_it);
        if taken {
            self.tokens = &self.tokens[1..];
        }
        taken
    }

    fn expect(&mut self, word: &str) -> Result<(), Response> {
        if self.takes(word) { Ok(()) } else { Err(self.failed()) }
    }

    fn close(&mut self) -> Result<(), Response> {
        if self.takes_sign(")") { Ok(()) } else { Err(self.failed()) }
    }

    /// The clause is missing, if the query has come to where it would stand.
    fn missing(&self, clause: &str) -> Response {
        let is_at_next = |token: &CoqlToken| token.is_word("order") || token.is_word("limit");
        match self.tokens.first() {
            Some(token) if !is_at_next(token) => near(token.text()),
            Some(_) | None => {
                bare(400, "SYNTAX_ERROR", "missing clause", &json!({ "clause": clause }))
            }
        }
    }

    fn failed(&self) -> Response {
        near(self.tokens.first().map_or("", CoqlToken::text))
    }
}

impl Test {
    /// A field of a known type is compared with values of that type alone, and by what it allows.
    fn check(&self, operator: &str) -> Result<(), Response> {
        let is_time = matches!(self.field.as_str(), "Created_Time" | "Modified_Time");
        let is_id = self.field == "id";
        let allowed = match &self.comparison {
            Comparison::Equal(_) => true,
            Comparison::Like(_) => !is_time && !is_id && self.field != CONVERTED,
            Comparison::Less(_)
            | Comparison::Greater(_)
            | Comparison::Between(..)
            | Comparison::In(_)
            | Comparison::Null => self.field != CONVERTED,
        };
        if !allowed {
            return Err(self.invalid(operator, "invalid operator found"));
        }
        let fits =
            |value: &&Literal| (!is_time || value.time.is_some()) && (!is_id || value.id.is_some());
        match self.comparison.values().iter().find(|value| !fits(value)) {
            Some(_) => Err(self.invalid(operator, "invalid value found")),
            None => Ok(()),
        }
    }

    fn invalid(&self, operator: &str, reason: &str) -> Response {
        let details = json!({ "reason": reason, "column_name": self.field, "operator": operator });
        bare(400, "INVALID_QUERY", "Invalid query formed", &details)
    }
}

impl Comparison {
    fn values(&self) -> Vec<&Literal> {
        match self {
            Comparison::Equal(value) | Comparison::Less(value) | Comparison::Greater(value) => {
                vec![value]
            }
            Comparison::Between(from, to) => vec![from, to],
            Comparison::In(values) => values.iter().collect(),
            Comparison::Like(_) | Comparison::Null => Vec::new(),
        }
    }
}

fn of_all(mut parts: Vec<Criteria>) -> Criteria {
    if parts.len() == 1 { parts.remove(0) } else { Criteria::All(parts) }
}

fn near(text: &str) -> Response {
    let message = "error occured while parsing the query";
    bare(400, "SYNTAX_ERROR", message, &json!({ "near": text }))
}

fn unsupported() -> Response {
    bare(400, "SYNTAX_ERROR", "given coql query not supported", &json!({}))
}

/// Rows of a query without a LIMIT.
const LIMIT_DEFAULT: usize = 200;
/// Criteria in one query.
const TESTS_MAX: usize = 25;
/// Brackets within brackets: more than pairs of so many criteria need.
const DEPTH_MAX: usize = 50;
