//! One text for one tree, so that identities do not depend on blanks or needless parentheses.
//! No folding and no meaning may enter: what was written stays what is written.

use std::fmt::Write;

use super::parse::{Kind, Node};

/// Binding power in front of which nothing needs parentheses.
const LOOSEST: i64 = 0;
/// Tighter than any operator.
const TIGHTEST: i64 = 100;

/// The tree as text; parsing it gives the same tree and the same text again.
pub(super) fn canonical(node: &Node) -> String {
    let mut text = String::new();
    write_node(node, LOOSEST, &mut text);
    text
}

/// A double in the shortest form that reads back the same.
pub(super) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        "0".to_owned()
    } else if (1e-7..1e16).contains(&magnitude) {
        format!("{value}")
    } else {
        format!("{value:e}")
    }
}

/// Writes `node`, in parentheses if it binds less tightly than `power`.
fn write_node(node: &Node, power: i64, text: &mut String) {
    let own = match &node.kind {
        Kind::Unary(op, _) => op.power(),
        Kind::Binary(op, ..) => op.power(),
        _ => TIGHTEST,
    };
    let needs_parentheses = own < power;
    if needs_parentheses {
        text.push('(');
    }
    write_bare(&node.kind, own, text);
    if needs_parentheses {
        text.push(')');
    }
}

fn write_bare(kind: &Kind, own: i64, text: &mut String) {
    match kind {
        Kind::Number(value) => text.push_str(&number(*value)),
        Kind::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Kind::Name(name) => text.push_str(name),
        Kind::Call { name, args, .. } => {
            text.push_str(name);
            text.push('(');
            for (i, arg) in args.iter().enumerate() {
                text.push_str(if i == 0 { "" } else { ", " });
                write_node(arg, LOOSEST, text);
            }
            text.push(')');
        }
        Kind::Unary(op, operand) => {
            text.push_str(op.sign());
            write_node(operand, own, text);
        }
        Kind::Binary(op, a, b) => {
            // Operators lean to the left; comparisons do not chain at all.
            let left = if op.compares() { own + 1 } else { own };
            write_node(a, left, text);
            let written = write!(text, " {} ", op.sign());
            debug_assert!(written.is_ok(), "a String takes every text");
            write_node(b, own + 1, text);
        }
    }
}
