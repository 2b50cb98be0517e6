//! The words of an expression: numbers, names and signs, each with its place.
//! No grammar and no meaning of a name may enter.

use std::ops::Range;

use winnow::ascii::digit1;
use winnow::combinator::{alt, opt};
use winnow::error::ContextError;
use winnow::stream::{LocatingSlice, Location};
use winnow::token::{any, one_of, take_while};
use winnow::{Parser, Result};

use super::error::Fault;

/// A word and the bytes it stands at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) span: Range<usize>,
    pub(super) word: Word,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Word {
    Number(f64),
    /// An identifier; its text is the source at the token's span.
    Name,
    And,
    Or,
    Not,
    True,
    False,
    Open,
    Close,
    Comma,
    Plus,
    Minus,
    Star,
    Slash,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    End,
    /// A character that begins no word.
    Unknown,
}

/// The words that no parameter may be named after.
pub(super) const KEYWORDS: [&str; 5] = ["and", "or", "not", "true", "false"];

type Input<'s> = LocatingSlice<&'s str>;

/// Splits `source` into words, with [`Word::End`] behind the last.
pub(super) fn words(source: &str) -> Result<Vec<Token>, Fault> {
    let mut input = LocatingSlice::new(source);
    let mut tokens = Vec::new();
    loop {
        skip_blanks(&mut input);
        let start = input.current_token_start();
        if start == source.len() {
            tokens.push(Token { span: start..start, word: Word::End });
            return Ok(tokens);
        }
        let word = word.parse_next(&mut input).unwrap_or(Word::Unknown);
        let span = start..input.current_token_start();
        match word {
            Word::Unknown => return Err(unknown(source, start)),
            Word::Number(value) if !value.is_finite() => {
                return Err(Fault::new(&span, "this number is too large"));
            }
            word => tokens.push(Token { span, word }),
        }
    }
}

fn skip_blanks(input: &mut Input<'_>) {
    let blanks: Result<&str, ContextError> = take_while(0.., char::is_whitespace).parse_next(input);
    debug_assert!(blanks.is_ok(), "nothing is a blank run too");
}

fn word(input: &mut Input<'_>) -> Result<Word, ContextError> {
    alt((number, name, sign)).parse_next(input)
}

fn number(input: &mut Input<'_>) -> Result<Word, ContextError> {
    let whole = (digit1, opt(('.', opt(digit1)))).void();
    let fraction = ('.', digit1).void();
    let exponent = opt((one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1));
    (alt((whole, fraction)), exponent)
        .take()
        .map(|text: &str| Word::Number(text.parse().unwrap_or(f64::INFINITY)))
        .parse_next(input)
}

fn name(input: &mut Input<'_>) -> Result<Word, ContextError> {
    let first = one_of(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = take_while(0.., |c: char| c.is_ascii_alphanumeric() || c == '_');
    (first, rest)
        .take()
        .map(|text: &str| match text {
            "and" => Word::And,
            "or" => Word::Or,
            "not" => Word::Not,
            "true" => Word::True,
            "false" => Word::False,
            _ => Word::Name,
        })
        .parse_next(input)
}

fn sign(input: &mut Input<'_>) -> Result<Word, ContextError> {
    let double = alt((
        "<=".value(Word::LessEqual),
        ">=".value(Word::GreaterEqual),
        "==".value(Word::Equal),
        "!=".value(Word::NotEqual),
    ));
    let single = any.map(|c| match c {
        '(' => Word::Open,
        ')' => Word::Close,
        ',' => Word::Comma,
        '+' => Word::Plus,
        '-' => Word::Minus,
        '*' => Word::Star,
        '/' => Word::Slash,
        '<' => Word::Less,
        '>' => Word::Greater,
        _ => Word::Unknown,
    });
    alt((double, single)).parse_next(input)
}

fn unknown(source: &str, start: usize) -> Fault {
    let c = source[start..].chars().next().unwrap_or(' ');
    let span = start..start + c.len_utf8();
    let fault = Fault::new(&span, format!("`{}` means nothing here", c.escape_debug()));
    match c {
        '=' => fault.hint("to compare, write `==`"),
        '!' => fault.hint("write `not`, or `!=` for unequal"),
        '&' => fault.hint("write `and`"),
        '|' => fault.hint("write `or`"),
        '[' | ']' => fault.hint("for an earlier bar write `shift(close, 1)`"),
        '%' => fault.hint("write a fraction, `0.02` for 2 per cent"),
        _ => fault,
    }
}
