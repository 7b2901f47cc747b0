//! Finds numbers that would not survive being parsed: policy must not judge
//! one value while the upstream, with another parser, sees the next. Works on
//! text that already is valid JSON.

use super::Fault;

/// Refuses a text with a number beyond `i64`, `u64` and what an `f64` gives back digit for digit.
pub(super) fn check(json: &str) -> Result<(), Fault> {
    match numbers(json).find(|number| !is_exact(number)) {
        None => Ok(()),
        Some(number) => {
            let shown: String = number.chars().take(40).collect();
            Err(Fault::Ambiguous(format!("number `{shown}` loses digits when parsed\nhint: send it as a string")))
        }
    }
}

/// The number tokens of a JSON text.
fn numbers(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            let token = rest.get(start..)?;
            if let Some(inside) = token.strip_prefix('"') {
                rest = inside.get(string_end(inside)..)?;
            } else {
                let end = token.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
                let (number, after) = token.split_at(end.unwrap_or(token.len()));
                rest = after;
                return Some(number);
            }
        }
    })
}

/// Where a string ends, behind its closing quote.
fn string_end(inside: &str) -> usize {
    let mut escaped = false;
    for (position, byte) in inside.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return position + 1,
            _ => {}
        }
    }
    inside.len()
}

fn is_exact(number: &str) -> bool {
    let integer = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if integer {
        return number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
    }
    number.parse::<f64>().is_ok_and(|value| {
        // Where two shortest spellings lie equally near, printers differ: each of them is as good as the other.
        let spellings = [format!("{value:e}"), serde_json::Value::from(value).to_string()];
        value.is_finite() && spellings.iter().any(|spelling| decimal(number) == decimal(spelling))
    })
}

/// Sign, digits without zeros at either end, and the power of ten of the last digit.
fn decimal(number: &str) -> Option<(bool, String, i64)> {
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_end_matches('0');
    let dropped = digits.len() - significant.len();
    let last = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(i64::try_from(dropped).ok()?)?;
    let significant = significant.trim_start_matches('0');
    let last = if significant.is_empty() { 0 } else { last };
    Some((negative, significant.to_owned(), last))
}
