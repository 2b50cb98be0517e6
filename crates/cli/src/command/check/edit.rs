//! A baseline file written anew around what a person wrote into it: comments, order and spacing stay.
//! What a case means may not enter.

use toml_edit::{DocumentMut, Item, TableLike, TomlError, Value};

/// `old`, which holds the first of the cases in `new`, with what `new` expects of them and with the cases that it has not
/// yet. All else of it stays as it stands.
///
/// # Errors
/// When either is no TOML.
pub(super) fn merged(old: &str, new: &str) -> Result<String, TomlError> {
    let (mut document, wanted) = (old.parse::<DocumentMut>()?, new.parse::<DocumentMut>()?);
    let cases = document.get_mut("case").and_then(Item::as_array_of_tables_mut);
    let (Some(cases), Some(all)) = (cases, wanted.get("case").and_then(Item::as_array_of_tables))
    else {
        // Cases in one line, as nobody writes them.
        return Ok(new.to_owned());
    };
    let held = cases.len();
    for (case, wanted) in cases.iter_mut().zip(all) {
        let Some(expect) = wanted.get("expect") else { continue };
        put(case, "expect", expect);
    }
    let mut added = wanted.clone();
    if let Some(added) = added.get_mut("case").and_then(Item::as_array_of_tables_mut) {
        (0..held).for_each(|_| drop(added.remove(0)));
    }
    let mut text = document.to_string();
    if all.len() > held {
        text = format!("{}\n\n{}", text.trim_end(), added.to_string().trim_start());
    }
    Ok(if old.contains("\r\n") { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text })
}

/// Makes `old[key]` equal to `new`.
fn put(old: &mut dyn TableLike, key: &str, new: &Item) {
    match (old.get_mut(key), new) {
        (Some(Item::Value(old)), Item::Value(new)) if !old.is_inline_table() => {
            if !is_same(old, new) {
                let decor = old.decor().clone();
                *old = new.clone();
                *old.decor_mut() = decor;
            }
        }
        (Some(item), new) if item.is_table_like() && new.is_table_like() => {
            let (Some(old), Some(new)) = (item.as_table_like_mut(), new.as_table_like()) else {
                return;
            };
            let keys = old.iter().map(|(key, _)| key.to_owned()).collect::<Vec<_>>();
            for key in keys.iter().filter(|key| !new.contains_key(key)) {
                old.remove(key);
            }
            for (key, new) in new.iter() {
                put(old, key, new);
            }
        }
        _ => {
            old.insert(key, loose(new.clone()));
        }
    }
}

fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.value() == b.value(),
        (Value::Integer(a), Value::Integer(b)) => a.value() == b.value(),
        (Value::Float(a), Value::Float(b)) => a.value() == b.value(),
        _ => false,
    }
}

/// Without the place it had in its own file: it then stands after what comes before it.
fn loose(mut item: Item) -> Item {
    if let Item::Table(table) = &mut item {
        table.set_position(None);
        for (_, item) in table.iter_mut() {
            *item = loose(std::mem::take(item));
        }
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "[[case]]\nname = \"a\"\n\n[case.set]\nfast = 7\n\n[case.expect]\nengine = \"2\"\n\n\
                       [case.expect.metrics]\nbars = 9\n\n[[case]]\nname = \"b\"\n";

    fn is(old: &str, wanted: &str) {
        assert_eq!(merged(old, NEW).unwrap(), wanted);
        assert_eq!(merged(wanted, NEW).unwrap(), wanted, "once is enough");
    }

    #[test]
    fn expectations_and_cases_come_in_where_they_belong() {
        let case = "# mine\n[[case]]\nname   = 'a' # so\n\n[case.set]\nfast = 7\n";
        let expect = "\n[case.expect]\nengine = \"2\"\n\n[case.expect.metrics]\nbars = 9\n";
        let more = "\n[[case]]\nname = \"b\"\n";
        is(case, &format!("{case}{expect}{more}"));
        let both = format!("{case}{more}");
        is(&both, &format!("{case}{expect}{more}"));
        let gone =
            "\n[case.expect]\nengine = \"1\" # old\n\n[case.expect.metrics]\nfees = 1\nbars = 8\n";
        let now = "\n[case.expect]\nengine = \"2\" # old\n\n[case.expect.metrics]\nbars = 9\n";
        is(&format!("{case}{gone}{more}"), &format!("{case}{now}{more}"));
        let inline = "expect = { engine = \"2\", metrics = { bars = 8 } }\n";
        let head = "[[case]]\nname = \"a\"\n";
        is(&format!("{head}{inline}{more}"), &format!("{head}{}{more}", inline.replace('8', "9")));
    }

    #[test]
    fn lines_end_as_they_did() {
        let text = merged("[[case]]\r\nname = \"a\"\r\n", NEW).unwrap();
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    }

    #[test]
    fn cases_in_one_line_are_written_as_any_others() {
        is("case = [{ name = \"a\" }]\n", NEW);
    }
}
