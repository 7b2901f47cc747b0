//! The `pkcs11:` URI of a key (RFC 7512), in which no PIN has a place. What is not understood is refused, since leaving it out
//! would mean more keys.

use std::path::PathBuf;

/// How such a URI begins.
pub(crate) const SCHEME: &str = "pkcs11:";
/// Bytes of a URI at most.
const URI_BYTES_MAX: usize = 1_024;

/// Which key, by which library, opened by which PIN.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeyUri {
    pub(super) token: Option<String>,
    pub(super) manufacturer: Option<String>,
    pub(super) model: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) object: Option<String>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) module: Option<PathBuf>,
    pub(super) pin: Option<PinSource>,
}

/// Where the PIN is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PinSource {
    /// In a file that its owner alone can read.
    File(PathBuf),
    /// In a variable of the environment; not of RFC 7512, which leaves the form open.
    Variable(String),
}

impl KeyUri {
    /// Reads one. What is wrong is said without a word of the URI.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > URI_BYTES_MAX {
            return Err("it has more than 1024 bytes");
        }
        let rest = text.strip_prefix(SCHEME).ok_or("it does not begin with `pkcs11:`")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        for attribute in path.split(';').filter(|one| !one.is_empty()) {
            uri.path_attribute(attribute)?;
        }
        for attribute in query.split('&').filter(|one| !one.is_empty()) {
            uri.query_attribute(attribute)?;
        }
        if uri.token.is_none() && uri.serial.is_none() {
            return Err("it names no token: `token=`, or `serial=`");
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err("it names no key: `object=`, or `id=`");
        }
        Ok(uri)
    }

    fn path_attribute(&mut self, attribute: &str) -> Result<(), &'static str> {
        let (name, value) = decoded(attribute)?;
        match name {
            "token" => once(&mut self.token, text(value)?),
            "manufacturer" => once(&mut self.manufacturer, text(value)?),
            "model" => once(&mut self.model, text(value)?),
            "serial" => once(&mut self.serial, text(value)?),
            "object" => once(&mut self.object, text(value)?),
            "id" => once(&mut self.id, value),
            "type" if value == b"private" => Ok(()),
            "type" => Err("its `type` is not `private`"),
            // Wherever it stands.
            "pin-value" => Err(NO_PIN),
            _ => Err(
                "it has an attribute that is not known: use `token`, `serial`, `manufacturer`, `model`, `object`, `id`",
            ),
        }
    }

    fn query_attribute(&mut self, attribute: &str) -> Result<(), &'static str> {
        let (name, value) = decoded(attribute)?;
        match name {
            "module-path" => once(&mut self.module, PathBuf::from(text(value)?)),
            "pin-source" => once(&mut self.pin, pin_source(&text(value)?)?),
            "pin-value" => Err(NO_PIN),
            _ => Err("it has a query that is not known: use `module-path` and `pin-source`"),
        }
    }
}

const NO_PIN: &str =
    "it holds a PIN, which other programs of this machine can read; change the PIN, and use `pin-source`";

fn pin_source(text: &str) -> Result<PinSource, &'static str> {
    if let Some(name) = text.strip_prefix("env:") {
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return if plain {
            Ok(PinSource::Variable(name.to_owned()))
        } else {
            Err("its `pin-source` names no variable")
        };
    }
    let path = PathBuf::from(text.strip_prefix("file:").unwrap_or(text));
    match path.is_absolute() {
        true => Ok(PinSource::File(path)),
        false => Err("its `pin-source` is neither `file:/absolute/path` nor `env:NAME`"),
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("an attribute stands twice"),
    }
}

fn text(bytes: Vec<u8>) -> Result<String, &'static str> {
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty()).ok_or("a value is empty, or not UTF-8")
}

/// A name and its value without percent signs (RFC 3986 §2.1).
fn decoded(attribute: &str) -> Result<(&str, Vec<u8>), &'static str> {
    let (name, value) = attribute.split_once('=').ok_or("an attribute has no value")?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = digit().zip(digit()).ok_or("a percent sign without two hex digits follows no rule")?;
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| "a byte has 256 values")?);
    }
    Ok((name, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_whole() {
        let text = "pkcs11:token=My%20token;object=bot;id=%01%ff;type=private;serial=1;manufacturer=M;model=X\
                    ?module-path=/usr/lib/p11.so&pin-source=file:/run/pin";
        let expected = KeyUri {
            token: Some("My token".into()),
            manufacturer: Some("M".into()),
            model: Some("X".into()),
            serial: Some("1".into()),
            object: Some("bot".into()),
            id: Some(vec![1, 255]),
            module: Some("/usr/lib/p11.so".into()),
            pin: Some(PinSource::File("/run/pin".into())),
        };
        assert_eq!(KeyUri::parse(text), Ok(expected));
        for (source, expected) in [
            ("/run/pin", PinSource::File("/run/pin".into())),
            ("file:%2Frun%2Fpin", PinSource::File("/run/pin".into())),
            ("env:HSM_PIN", PinSource::Variable("HSM_PIN".into())),
        ] {
            let parsed = KeyUri::parse(&format!("pkcs11:token=t;object=o?pin-source={source}")).unwrap();
            assert_eq!(parsed.pin, Some(expected));
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_without_repeating_it() {
        for bad in [
            "bot.pem",
            "pkcs11:",
            "pkcs11:token=t",
            "pkcs11:object=o",
            "pkcs11:token=t;object=",
            "pkcs11:token=t;object=o;token=u",
            "pkcs11:token=t;object=o;type=cert",
            "pkcs11:token=t;object=o;slot-id=0",
            "pkcs11:token=t;object=%4",
            "pkcs11:token=t;object=%4g",
            "pkcs11:token=t;object=%ff",
            "pkcs11:token=t;object",
            "pkcs11:token=t;object=o?module-name=p11",
            "pkcs11:token=t;object=o?pin-value=123456",
            "pkcs11:token=t;object=o;pin-value=123456",
            "pkcs11:token=t;object=o?pin-source=|askpass",
            "pkcs11:token=t;object=o?pin-source=pin.txt",
            "pkcs11:token=t;object=o?pin-source=env:",
            "pkcs11:token=t;object=o?pin-source=env:A%3DB",
            &format!("pkcs11:token={};object=o", "t".repeat(URI_BYTES_MAX)),
        ] {
            let why = KeyUri::parse(bad).unwrap_err();
            assert!(!why.contains("123456"), "{bad}: {why}");
        }
    }
}
