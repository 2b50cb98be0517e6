//! Grammar of expressions: words in, a tree with places out; Python's precedence.
//! No meaning may enter: names and types are looked at afterwards.

use std::ops::Range;

use winnow::Parser;
use winnow::combinator::{Infix, Prefix, expression, fail};
use winnow::error::ParserError;
use winnow::stream::{Stateful, Stream, TokenSlice};
use winnow::token::any;

use super::error::Fault;
use super::lex::{self, Token, Word};

/// Most bytes of an expression.
pub(crate) const MAX_SOURCE: usize = 4_096;
/// Most levels of nesting (parentheses, signs, calls, operators of a chain), so that no stack overflows.
pub(crate) const MAX_DEPTH: usize = 64;

/// A piece of the tree; `span` covers its parentheses too.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    depth: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Number(f64),
    Bool(bool),
    Name(String),
    Call { name: String, name_span: Range<usize>, args: Vec<Node> },
    Unary(Unary, Box<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unary {
    Neg,
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    Add,
    Sub,
    Mul,
    Div,
}

impl Unary {
    /// How tightly it binds; more is tighter.
    pub(super) fn power(self) -> i64 {
        match self {
            Self::Not => 30,
            Self::Neg => 70,
        }
    }

    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Not => "not ",
            Self::Neg => "-",
        }
    }
}

impl Binary {
    /// How tightly it binds; more is tighter.
    pub(super) fn power(self) -> i64 {
        match self {
            Self::Or => 10,
            Self::And => 20,
            Self::Add | Self::Sub => 50,
            Self::Mul | Self::Div => 60,
            _ => 40,
        }
    }

    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
        }
    }

    pub(super) fn compares(self) -> bool {
        self.power() == 40
    }
}

#[derive(Debug)]
struct State<'s> {
    source: &'s str,
    /// Open parentheses and calls.
    nesting: usize,
    /// Starts of the unary signs whose operand is being read.
    signs: Vec<usize>,
}

type Input<'s> = Stateful<TokenSlice<'s, Token>, State<'s>>;

/// How a parser stops: to try something else, or for good.
#[derive(Debug)]
enum Stop {
    Back,
    Fault(Box<Fault>),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(Box::new(fault))
    }
}

impl<'s> ParserError<Input<'s>> for Stop {
    type Inner = Self;

    fn from_input(_: &Input<'s>) -> Self {
        Self::Back
    }

    fn is_backtrack(&self) -> bool {
        matches!(self, Self::Back)
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

/// Parses the whole of `source`.
pub(super) fn parse(source: &str) -> Result<Node, Fault> {
    if source.len() > MAX_SOURCE {
        let given = source.len();
        let message =
            format!("an expression of {given} bytes is longer than the limit of {MAX_SOURCE}");
        return Err(Fault::new(&(0..0), message));
    }
    let tokens = lex::words(source)?;
    let state = State { source, nesting: 0, signs: Vec::new() };
    let mut input = Stateful { input: TokenSlice::new(&tokens), state };
    let node = node(&mut input).and_then(|node| {
        expect(&mut input, Word::End, "an operator or the end")?;
        Ok(node)
    });
    node.map_err(|stop| match stop {
        Stop::Fault(fault) => *fault,
        Stop::Back => Fault::new(&(source.len()..source.len()), "this is not an expression"),
    })
}

fn node(input: &mut Input<'_>) -> Result<Node, Stop> {
    expression(operand).prefix(prefix).infix(infix).parse_next(input)
}

fn operand(input: &mut Input<'_>) -> Result<Node, Stop> {
    let token = next(input)?;
    let span = token.span.clone();
    match token.word {
        Word::Number(value) => leaf(span, Kind::Number(value)),
        Word::True => leaf(span, Kind::Bool(true)),
        Word::False => leaf(span, Kind::Bool(false)),
        Word::Name if peek(input) == Some(Word::Open) => call(input, span),
        Word::Name => {
            let name = input.state.source[span.clone()].to_owned();
            leaf(span, Kind::Name(name))
        }
        Word::Open => {
            enter(input, &span)?;
            let mut inner = node(input)?;
            let end = expect(input, Word::Close, "an operator or `)`")?;
            input.state.nesting -= 1;
            inner.span = span.start..end;
            Ok(inner)
        }
        _ => fail.parse_next(input),
    }
}

fn call(input: &mut Input<'_>, name_span: Range<usize>) -> Result<Node, Stop> {
    let name = input.state.source[name_span.clone()].to_owned();
    next(input)?;
    enter(input, &name_span)?;
    let mut args = Vec::new();
    if peek(input) != Some(Word::Close) {
        args.push(node(input)?);
        while peek(input) == Some(Word::Comma) {
            next(input)?;
            args.push(node(input)?);
        }
    }
    let end = expect(input, Word::Close, "an operator, `,` or `)`")?;
    input.state.nesting -= 1;
    let deepest = args.iter().map(|arg| arg.depth).max().unwrap_or(0);
    let span = name_span.start..end;
    grow(deepest, span, Kind::Call { name, name_span, args })
}

/// The unary sign in front; tried only where an operand must begin, so anything else is an error here.
fn prefix<'s>(input: &mut Input<'s>) -> Result<Prefix<Input<'s>, Node, Stop>, Stop> {
    let found = current(input);
    let unary = match found.word {
        Word::Minus => Unary::Neg,
        Word::Not => Unary::Not,
        _ => return Err(missing(input, &found, "a value").into()),
    };
    next(input)?;
    enter(input, &found.span)?;
    input.state.signs.push(found.span.start);
    Ok(match unary {
        Unary::Neg => Prefix(Unary::Neg.power(), |i, x| signed(i, Unary::Neg, x)),
        Unary::Not => Prefix(Unary::Not.power(), |i, x| signed(i, Unary::Not, x)),
    })
}

fn signed(input: &mut Input<'_>, unary: Unary, operand: Node) -> Result<Node, Stop> {
    input.state.nesting -= 1;
    let start = input.state.signs.pop().unwrap_or(operand.span.start);
    grow(operand.depth, start..operand.span.end, Kind::Unary(unary, Box::new(operand)))
}

fn infix<'s>(input: &mut Input<'s>) -> Result<Infix<Input<'s>, Node, Stop>, Stop> {
    use Binary as B;
    macro_rules! left {
        ($op:expr) => {
            Infix::Left($op.power(), |_, a, b| joined($op, a, b))
        };
    }
    let token = next(input)?;
    Ok(match token.word {
        Word::Or => left!(B::Or),
        Word::And => left!(B::And),
        Word::Less => left!(B::Less),
        Word::LessEqual => left!(B::LessEqual),
        Word::Greater => left!(B::Greater),
        Word::GreaterEqual => left!(B::GreaterEqual),
        Word::Equal => left!(B::Equal),
        Word::NotEqual => left!(B::NotEqual),
        Word::Plus => left!(B::Add),
        Word::Minus => left!(B::Sub),
        Word::Star => left!(B::Mul),
        Word::Slash => left!(B::Div),
        _ => return fail.parse_next(input),
    })
}

fn joined(op: Binary, a: Node, b: Node) -> Result<Node, Stop> {
    let span = a.span.start..b.span.end;
    if let Kind::Binary(inner, _, middle) = &a.kind
        && op.compares()
        && inner.compares()
        // A parenthesis would have made the left side end behind its right operand.
        && a.span.end == middle.span.end
    {
        let fault = Fault::new(&span, "comparisons cannot be chained");
        return Err(fault.hint("write `a < b and b < c`").into());
    }
    grow(a.depth.max(b.depth), span, Kind::Binary(op, Box::new(a), Box::new(b)))
}

fn leaf(span: Range<usize>, kind: Kind) -> Result<Node, Stop> {
    Ok(Node { span, depth: 1, kind })
}

fn grow(deepest: usize, span: Range<usize>, kind: Kind) -> Result<Node, Stop> {
    let depth = deepest + 1;
    if depth > MAX_DEPTH { Err(too_deep(&span).into()) } else { Ok(Node { span, depth, kind }) }
}

fn enter(input: &mut Input<'_>, span: &Range<usize>) -> Result<(), Stop> {
    input.state.nesting += 1;
    if input.state.nesting > MAX_DEPTH { Err(too_deep(span).into()) } else { Ok(()) }
}

fn too_deep(span: &Range<usize>) -> Fault {
    Fault::new(span, format!("nested deeper than the limit of {MAX_DEPTH} levels"))
}

fn next<'s>(input: &mut Input<'s>) -> Result<&'s Token, Stop> {
    any.parse_next(input)
}

fn peek(input: &Input<'_>) -> Option<Word> {
    input.peek_token().map(|token| token.word)
}

fn current(input: &Input<'_>) -> Token {
    let end = input.state.source.len();
    input.peek_token().cloned().unwrap_or(Token { span: end..end, word: Word::End })
}

/// Takes `word` and returns where it ends.
fn expect(input: &mut Input<'_>, word: Word, wanted: &str) -> Result<usize, Stop> {
    let found = current(input);
    if found.word != word {
        return Err(missing(input, &found, wanted).into());
    }
    next(input)?;
    Ok(found.span.end)
}

fn missing(input: &Input<'_>, found: &Token, wanted: &str) -> Fault {
    let text = &input.state.source[found.span.clone()];
    let message = match found.word {
        Word::End => format!("expected {wanted}, found the end"),
        _ => format!("expected {wanted}, found `{text}`"),
    };
    Fault::new(&found.span, message)
}
