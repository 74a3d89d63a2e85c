//! Bytes from outside, at the readers themselves: some thousands for each target of `tests/fuzz`,
//! made from its seeds. `tests/fuzz/run` plays a million of each, guided by coverage.

use std::fs;

use proptest::prelude::*;
use proptest::sample::Index;

use super::{cases, properties};

/// One change of a text.
#[derive(Clone, Debug)]
enum Edit {
    /// Another byte.
    Byte(Index, u8),
    /// A piece is taken out.
    Cut(Index, Index),
    /// A piece of it comes once more, elsewhere.
    Twice(Index, Index, Index),
    /// One of these words.
    Word(Index, &'static str),
}

#[test]
fn a_page_loses_no_row_shows_no_token_and_panics_at_nothing() {
    play("page", CASES);
}

#[test]
fn an_answer_accepts_nothing_that_does_not_say_so_and_what_it_repeats_is_short_and_plain() {
    play("answer", CASES);
}

#[test]
fn a_config_is_used_or_has_problems_and_shows_no_secret() {
    play("config", CONFIGS);
}

#[test]
fn what_is_read_of_a_request_and_written_reads_the_same() {
    play("requests", CASES);
}

#[test]
fn what_is_read_of_the_store_and_written_reads_the_same() {
    play("stored", CASES);
}

#[test]
fn a_reply_of_the_oauth_server_gives_a_token_that_can_be_sent_and_quotes_no_secret() {
    play("tokens", CASES);
}

/// So many of them, or a quarter: see `cases`.
fn play(target: &str, count: u32) {
    let property = properties::ALL.into_iter().find(|(name, _)| *name == target).unwrap().1;
    let folder = format!("{}/tests/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    seeds.iter().for_each(|seed| property(seed));
    let edited = (prop::sample::select(seeds), prop::collection::vec(edits(), 1..6));
    cases(count)
        .run(&edited, |(mut text, edits)| {
            edits.iter().for_each(|edit| edit.apply(&mut text));
            property(&text);
            Ok(())
        })
        .unwrap();
}

fn edits() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        any::<(Index, Index)>().prop_map(|(from, to)| Edit::Cut(from, to)),
        any::<(Index, Index, Index)>().prop_map(|(from, to, at)| Edit::Twice(from, to, at)),
        (any::<Index>(), prop::sample::select(WORDS)).prop_map(|(at, word)| Edit::Word(at, word)),
    ]
}

impl Edit {
    fn apply(&self, text: &mut Vec<u8>) {
        let piece = |from: &Index, to: &Index, length: usize| {
            let (from, to) = (from.index(length), to.index(length));
            from.min(to)..(from.max(to) + 1).min(from.min(to) + PIECE_MAX)
        };
        if text.is_empty() {
            return;
        }
        match self {
            Edit::Byte(at, byte) => {
                let at = at.index(text.len());
                text[at] = *byte;
            }
            Edit::Cut(from, to) => drop(text.drain(piece(from, to, text.len()))),
            Edit::Twice(from, to, at) => {
                let (at, piece) =
                    (at.index(text.len()), text[piece(from, to, text.len())].to_vec());
                text.splice(at..at, piece);
            }
            Edit::Word(at, word) => {
                let at = at.index(text.len());
                text.splice(at..at, word.bytes());
            }
        }
    }
}

const WORDS: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    "-1",
    "1e999",
    "9223372036854775808",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "=",
    "\n",
    "'''",
    "\u{202e}",
    "\\u0000",
    "\\ud800",
    "\"code\":\"SUCCESS\",",
    "\"status\":\"success\",",
    "\"watch\":",
    "\"channel_id\":\"1\",",
    "[[channels]]\n",
];
const CASES: u32 = 8192;
/// A config is long.
const CONFIGS: u32 = 2048;
const PIECE_MAX: usize = 200;
