//! What a configuration may and may not say.

use super::*;

fn check(text: &str, expected: Result<(), &str>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bailiwick.toml");
    std::fs::write(&file, text).unwrap();
    match (Config::read(&file, None), expected) {
        (Ok(_), Ok(())) => {}
        (Err(error), Err(part)) => assert!(error.message.contains(part), "{} lacks {part}", error.message),
        (Ok(_), Err(part)) => panic!("accepted, expected a refusal with {part}: {text}"),
        (Err(error), Ok(())) => panic!("refused: {error}"),
    }
}

#[test]
fn an_empty_file_is_a_broker_on_loopback() {
    check("", Ok(()));
}

#[test]
fn unknown_keys_are_errors_with_their_place() {
    check("publik_url = \"https://a\"", Err("publik_url"));
    check("[listen]\nadress = \"127.0.0.1:1\"", Err("adress"));
}

#[test]
fn nothing_listens_beyond_loopback_in_the_clear() {
    check("[listen]\naddress = \"0.0.0.0:8420\"", Err("neither TLS nor a declared proxy"));
    check("[listen]\naddress = \"0.0.0.0:8420\"\ntrusted_proxies = [\"10.0.0.0/8\"]", Err("needs its `public_url`"));
    check(
        "public_url = \"http://broker.example\"\n[listen]\naddress = \"0.0.0.0:8420\"\ntrusted_proxies = [\"10.0.0.0/8\"]",
        Err("plain HTTP"),
    );
    check(
        "public_url = \"https://broker.example\"\n[listen]\naddress = \"0.0.0.0:8420\"\ntrusted_proxies = [\"10.0.0.0/8\"]",
        Ok(()),
    );
    check(
        "public_url = \"https://broker.example\"\n[listen]\naddress = \"[::]:8420\"\ntls = { certificate = \"c\", key = \"k\" }",
        Ok(()),
    );
}

#[test]
fn an_issuer_is_compared_byte_for_byte_so_it_has_one_spelling() {
    for bad in ["https://a/", "https://a/path", "https://a?x", "https://u:p@a", "ftp://a", "a"] {
        check(&format!("public_url = \"{bad}\""), Err(bad));
    }
}

#[test]
fn nothing_inside_is_fetched_from_unless_it_is_named() {
    let parse = |text: &str| Config::parse(text, Path::new("bailiwick.toml"), None);
    assert!(parse("").unwrap().fetch_allowed.is_empty());
    let config = parse("[fetch]\nallow = [\"10.1.0.0/16\"]\nroots = \"ca.pem\"").unwrap();
    assert_eq!(config.fetch_allowed, ["10.1.0.0/16".parse().unwrap()]);
    assert_eq!(config.fetch_roots.unwrap(), Path::new("./ca.pem"));
    check("[fetch]\nallow = [\"everything\"]", Err("allow"));
}

#[test]
fn zones_hold_both_spellings_of_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bailiwick.toml");
    std::fs::write(&file, "[[network.zones]]\nname = \"office\"\nranges = [\"10.1.0.0/16\"]").unwrap();
    let config = Config::read(&file, None).unwrap();
    for (address, zone) in [("10.1.2.3", "office"), ("::ffff:10.1.2.3", "office"), ("10.2.0.1", "unknown")] {
        assert_eq!(config.zone_of(address.parse().ok()), zone);
    }
    assert_eq!(config.zone_of(None), "unknown");
}

#[test]
fn agents_have_some_algorithm_and_none_that_is_not_ours() {
    check("[keys]\nagent_algorithms = [\"ES256\", \"PS256\"]", Ok(()));
    check("[keys]\nagent_algorithms = []", Err("no agent could authenticate"));
    for bad in ["HS256", "none", "es256"] {
        check(&format!("[keys]\nagent_algorithms = [\"{bad}\"]"), Err(bad));
    }
}

#[test]
fn certificates_are_asked_for_where_somebody_trusts_them() {
    let mtls = "[listen.mtls]\naddress = \"127.0.0.1:8421\"\ncertificate = \"c\"\nkey = \"k\"\n";
    check(mtls, Ok(()));
    check(&format!("{mtls}url = \"https://agents.broker.example\""), Ok(()));
    check(&format!("{mtls}url = \"http://broker.example\""), Err("https://"));
    check(&format!("{mtls}client_ca = \"x\""), Err("client_ca"));
    check("[client_certificates]\nauthorities = [\"ca.pem\"]", Err("nobody asks"));
    check("[client_certificates]\nfrom_proxies = true", Err("none is declared"));
    let proxied = "[listen]\ntrusted_proxies = [\"10.0.0.0/8\"]\n[client_certificates]\nfrom_proxies = true\n";
    check(&format!("{proxied}authorities = [\"ca.pem\"]"), Ok(()));
    let domain = "[[client_certificates.spiffe]]\ntrust_domain = \"prod.example\"\nbundle = \"b.pem\"\n";
    check(&format!("{mtls}{domain}"), Ok(()));
    check(&format!("{mtls}{domain}{domain}"), Err("two bundles"));
    check(&format!("{mtls}{}", domain.replace("prod.example", "spiffe://prod")), Err("trust domain"));
}

#[test]
fn authorities_that_cannot_be_read_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bailiwick.toml");
    let mtls = "[listen.mtls]\naddress = \"127.0.0.1:8421\"\ncertificate = \"c\"\nkey = \"k\"\n";
    std::fs::write(&file, format!("{mtls}[client_certificates]\nauthorities = [\"ca.pem\"]")).unwrap();
    let config = Config::read(&file, None).unwrap();
    let at = Some(SocketAddr::from(([127, 0, 0, 1], 4711)));
    let rules = || config.certificate_rules("https://broker.example", at);
    assert!(rules().unwrap_err().message.contains("cannot be read"));
    std::fs::write(folder.path().join("ca.pem"), "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
        .unwrap();
    assert!(rules().is_err(), "half a certificate trusts nobody");
    std::fs::write(&file, mtls).unwrap();
    let rules = Config::read(&file, None).unwrap().certificate_rules("https://broker.example", at).unwrap();
    assert_eq!(rules.listener_origin().as_deref(), Some("https://broker.example:4711"));
    assert!(rules.authorities.is_none());
}

#[test]
fn a_provider_is_written_down_whole_or_not_at_all() {
    let entry = "[[sign_in.oidc]]\nname = \"okta\"\nissuer = \"https://idp.example\"\nclient_id = \"b\"\n";
    check(
        &format!(
            "{entry}acr = {{ \"urn:okta:2fa\" = \"mfa\" }}\namr = {{ mfa = \"mfa\" }}\ngroups = {{ claim = \"groups\", map = {{ a = \"sales\" }} }}\nlink = \"email\""
        ),
        Ok(()),
    );
    check(&format!("{entry}client_secret = \"sign_in/okta\""), Ok(()));
    for (more, expected) in [
        ("client_secret = \"files/token\"", "none for signing in"),
        ("client_secret = \"sign_in/okta\"\nassertion_audience = \"a\"", "both a secret"),
        ("client_secret_file = \"keys/okta\"", "client_secret_file"),
        ("algorithms = []", "no algorithm"),
        ("algorithms = [\"none\"]", "none"),
        ("link = \"anything\"", "anything"),
        ("acr = [\"a\"]", "acr"),
        ("groups = { claim = \"groups\", map = { a = \"Bailiwick:administrators\" } }", "reserved"),
        ("groups = { claim = \"groups\", map = { a = \" \" } }", "without a name"),
    ] {
        check(&format!("{entry}{more}"), Err(expected));
    }
    for bad in ["http://idp.example", "https://u@idp.example", "https://idp.example?x", "idp"] {
        check(&entry.replace("https://idp.example", bad), Err(bad));
    }
    check(&entry.replace("okta", "Okta/.."), Err("no name for a provider"));
    check(&entry.repeat(2), Err("name or issuer of another"));
}

#[test]
fn a_root_of_attestations_is_no_authority_of_clients() {
    check("[attestation]\nroots = [\"maker.pem\"]", Ok(()));
    check("[attestation]\nroot = \"maker.pem\"", Err("root"));
    let mtls = "[listen.mtls]\naddress = \"127.0.0.1:8421\"\ncertificate = \"c\"\nkey = \"k\"\n";
    let both = "[attestation]\nroots = [\"a.pem\", \"ca.pem\"]\n";
    check(
        &format!("{mtls}[client_certificates]\nauthorities = [\"ca.pem\"]\n{both}"),
        Err("a root of attestations too"),
    );
    let domain = "[[client_certificates.spiffe]]\ntrust_domain = \"prod.example\"\nbundle = \"a.pem\"\n";
    check(&format!("{mtls}{domain}{both}"), Err("a root of attestations too"));

    // Nor under the name of another file: the keys in them are compared.
    let folder = tempfile::tempdir().unwrap();
    let authority = || {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
    };
    let (maker, ca) = (authority(), authority());
    let file = folder.path().join("bailiwick.toml");
    let bundle = domain.replace("a.pem", "copy.pem");
    let roots = "[attestation]\nroots = [\"maker.pem\"]\n";
    std::fs::write(folder.path().join("maker.pem"), &maker).unwrap();
    for trusting in ["[client_certificates]\nauthorities = [\"copy.pem\"]\n", &bundle] {
        std::fs::write(&file, format!("{mtls}{trusting}{roots}")).unwrap();
        let config = Config::read(&file, None).unwrap();
        std::fs::write(folder.path().join("copy.pem"), format!("{ca}{maker}")).unwrap();
        let refused = config.attestation_roots().unwrap_err();
        assert!(refused.message.contains("a root of attestations too"), "{refused}");
        std::fs::write(folder.path().join("copy.pem"), &ca).unwrap();
        config.attestation_roots().unwrap();
    }
}

#[test]
fn roots_that_cannot_be_read_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bailiwick.toml");
    std::fs::write(&file, "[attestation]\nroots = [\"maker.pem\"]").unwrap();
    let config = Config::read(&file, None).unwrap();
    assert!(config.attestation_roots().unwrap_err().message.contains("cannot be read"));
    std::fs::write(folder.path().join("maker.pem"), "").unwrap();
    assert!(config.attestation_roots().is_err(), "an empty file trusts nobody, and says so");
}

#[test]
fn attesters_are_believed_where_the_operator_says_so() {
    let acme = "[[attestation.attesters]]\nname = \"acme\"\nkeys = \"acme.jwks\"\n";
    let on = "[attestation]\nclient_authentication = true\n";
    check(&format!("{on}{acme}max_age_s = 3600"), Ok(()));
    for alone in [on, acme] {
        check(alone, Err("belong together"));
    }
    check(&format!("{on}{acme}{acme}"), Err("stands twice"));
    check(&format!("{on}{acme}max_age_s = 0"), Err("max_age_s"));
    check(&format!("{on}{acme}max_age_s = 86401"), Err("max_age_s"));
    check(&format!("{on}{acme}issuer = \"x\""), Err("issuer"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bailiwick.toml");
    std::fs::write(&file, format!("{on}{acme}")).unwrap();
    let config = Config::read(&file, None).unwrap();
    assert!(config.client_attesters().unwrap_err().message.contains("cannot be read"));
    std::fs::write(folder.path().join("acme.jwks"), r#"{"keys":[]}"#).unwrap();
    assert!(config.client_attesters().is_err(), "an attester without keys vouches for nobody");
}
