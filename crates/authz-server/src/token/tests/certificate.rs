//! Clients that prove themselves by the certificate of their connection (RFC 8705): who is let in, and above all who is not.

use bailiwick_engine::{authorization::Lasting, lifecycle};
use bailiwick_model::agent::{Authenticator, CertificateName, KeyProtection, PinnedCertificate};
use bailiwick_oauth::{certificate::Certificate, certificate_path::Authorities, key_policy::KeyPolicy};
use bailiwick_web::certificate::{CertificateRules, ClientCertificate, OverMutualTls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;

use super::{apart::CIBA, *};

const LISTENER: &str = "https://broker.test:8421";
const ID: &str = "spiffe://prod.test/reader";

type Issuer = CertifiedIssuer<'static, KeyPair>;
type Names<'a> = &'a [(&'a str, &'a str)];

/// A scene with an authority for clients and one for a trust domain.
struct Certified {
    scene: Scene,
    authority: Issuer,
    domain: Issuer,
}

fn authority() -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2040, 1, 1));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of a client with these names, valid over all years that tests run in.
fn client(names: Names<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2040, 1, 1));
    for (kind, name) in names {
        let text = || (*name).to_owned();
        match *kind {
            "cn" => params.distinguished_name.push(DnType::CommonName, text()),
            "dns" => params.subject_alt_names.push(SanType::DnsName(text().try_into().unwrap())),
            "uri" => params.subject_alt_names.push(SanType::URI(text().try_into().unwrap())),
            "email" => params.subject_alt_names.push(SanType::Rfc822Name(text().try_into().unwrap())),
            "ip" => params.subject_alt_names.push(SanType::IpAddress(name.parse().unwrap())),
            other => panic!("{other}"),
        }
    }
    params
}

fn issued(params: CertificateParams, by: &Issuer) -> CertificateDer<'static> {
    params.signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().clone()
}

fn self_signed(params: CertificateParams) -> CertificateDer<'static> {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn pinned(der: &[u8]) -> Authenticator {
    let certificate = Certificate::parse(der).unwrap();
    let (public_key, certificate) = (certificate.public_key(), Some(certificate.thumbprint()));
    Authenticator::SelfSigned(PinnedCertificate { public_key, certificate })
}

fn dns(name: &str) -> Authenticator {
    Authenticator::Certificate(CertificateName::san_dns(name).unwrap())
}

impl Certified {
    async fn new() -> Self {
        let world = World::new().await;
        let (authority, domain) = (authority(), authority());
        let trusted = |issuer: &Issuer| Authorities::parse_pem(issuer.pem().as_bytes()).unwrap();
        let rules = CertificateRules {
            listener: Some(LISTENER.parse().unwrap()),
            from_proxies: false,
            authorities: Some(trusted(&authority)),
            trust_domains: [("prod.test".parse().unwrap(), trusted(&domain))].into(),
        };
        let entrance = Entrance::new(Arc::clone(&world.broker), world.nonces(), DeclaredProxies::default()).unwrap();
        let router =
            crate::router(Arc::new(entrance.with_certificates(rules)), Fetcher::new(FetchRules::default()).unwrap());
        Self { scene: Scene { world, router }, authority, domain }
    }

    async fn add(&self, agent: &str, authenticator: Authenticator) {
        let broker = &self.scene.world.broker;
        agents::add_credential(broker, &operator(), &agent.parse().unwrap(), authenticator).await.unwrap();
    }

    /// A request over the listener for certificates by whoever shows `chain`.
    fn over(&self, path: &str, chain: &[CertificateDer<'static>]) -> http::request::Builder {
        let message =
            Request::post(path).header("content-type", "application/x-www-form-urlencoded").extension(OverMutualTls);
        match chain {
            [] => message,
            chain => message.extension(ClientCertificate::new(chain.to_vec()).unwrap()),
        }
    }

    async fn ask(&self, agent: &str, chain: &[CertificateDer<'static>]) -> Answer {
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", agent.to_owned()),
            ("resource", RESOURCE.to_owned()),
        ];
        self.scene.send(self.over("/oauth/token", chain), &form).await
    }

    #[track_caller]
    fn let_in(answer: &Answer, certificate: &CertificateDer<'_>) {
        assert_eq!(answer.status, 200, "{:?}", answer.json);
        assert_eq!(answer.json["token_type"], "Bearer", "the connection proves, not the scheme (RFC 8705 §3)");
        let claims = part(answer.json["access_token"].as_str().unwrap(), 1);
        assert_eq!(
            claims["cnf"],
            json!({ "x5t#S256": Certificate::parse(certificate).unwrap().thumbprint().to_string() })
        );
    }
}

#[tokio::test]
async fn each_way_to_know_a_certificate_lets_its_agent_in() {
    let certified = Certified::new().await;
    let own = self_signed(client(&[]));
    let named = |name: Result<CertificateName, _>| Authenticator::Certificate(name.unwrap());
    let ways = [
        (
            issued(client(&[("cn", "reader")]), &certified.authority),
            named("CN=reader".parse().map(CertificateName::SubjectDn)),
        ),
        (issued(client(&[("dns", "reader.test")]), &certified.authority), dns("reader.test")),
        (issued(client(&[("uri", "urn:reader")]), &certified.authority), named(CertificateName::san_uri("urn:reader"))),
        (issued(client(&[("email", "r@b.test")]), &certified.authority), named(CertificateName::san_email("r@b.test"))),
        (issued(client(&[("ip", "10.0.0.7")]), &certified.authority), named(CertificateName::san_ip("10.0.0.7"))),
        (own.clone(), pinned(&own)),
        (issued(client(&[("uri", ID)]), &certified.domain), Authenticator::Spiffe(ID.parse().unwrap())),
    ];
    for (certificate, authenticator) in ways {
        refused(&certified.ask("reader", std::slice::from_ref(&certificate)).await, 401, "invalid_client");
        let id = authenticator.id().to_string();
        certified.add("reader", authenticator).await;
        Certified::let_in(&certified.ask("reader", std::slice::from_ref(&certificate)).await, &certificate);
        // Each by itself: none of the earlier ones is left.
        let broker = &certified.scene.world.broker;
        agents::remove_credential(broker, &operator(), &"reader".parse().unwrap(), &id).await.unwrap();
    }
    let issued = certified.scene.world.events("token_issued").await;
    assert_eq!(issued.len(), 7);
}

#[tokio::test]
async fn no_other_certificate_does() {
    let certified = Certified::new().await;
    let own = self_signed(client(&[("cn", "pinned")]));
    for authenticator in [dns("reader.test"), pinned(&own), Authenticator::Spiffe(ID.parse().unwrap())] {
        certified.add("reader", authenticator).await;
    }
    certified.add("scripted", dns("writer.test")).await;
    let Certified { authority: by, domain, .. } = &certified;
    let reader = || client(&[("dns", "reader.test")]);
    let over = |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2019, 1, 1), rcgen::date_time_ymd(2020, 1, 1));
    };
    let expired = |mut params: CertificateParams| {
        over(&mut params);
        params
    };
    let early = |mut params: CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2039, 1, 1);
        params
    };
    let for_servers = |mut params: CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params
    };
    let stranger = authority();
    // Issued by a client with its own key: not one that issues anything.
    let mallory = CertifiedIssuer::signed_by(client(&[]), KeyPair::generate().unwrap(), by).unwrap();
    let of_key = KeyPair::generate().unwrap();
    let pinned_then = expired(client(&[])).self_signed(&of_key).unwrap().der().clone();
    certified.add("reader", pinned(&pinned_then)).await;
    let wrong: Vec<(&str, Vec<CertificateDer<'static>>)> = vec![
        ("none", vec![]),
        ("another agent's name", vec![issued(client(&[("dns", "writer.test")]), by)]),
        ("a part of the name", vec![issued(client(&[("dns", "a.reader.test")]), by)]),
        ("a pattern", vec![issued(client(&[("dns", "*.test")]), by)]),
        ("the name as the subject", vec![issued(client(&[("cn", "reader.test")]), by)]),
        ("self-signed with the name", vec![self_signed(reader())]),
        ("an authority that is not trusted", vec![issued(reader(), &stranger)]),
        ("that authority brought along", vec![issued(reader(), &stranger), stranger.der().clone()]),
        ("the trust domain's authority", vec![issued(reader(), domain)]),
        ("issued by a client", vec![issued(reader(), &mallory), mallory.der().clone()]),
        ("expired", vec![issued(expired(reader()), by)]),
        ("not yet valid", vec![issued(early(reader()), by)]),
        ("of a server", vec![issued(for_servers(reader()), by)]),
        ("pinned, of another key", vec![self_signed(client(&[("cn", "pinned")]))]),
        ("pinned and expired", vec![pinned_then]),
        ("an SVID of the authority for names", vec![issued(client(&[("uri", ID)]), by)]),
        ("an SVID of nobody", vec![self_signed(client(&[("uri", ID)]))]),
        ("an SVID with two ids", vec![issued(client(&[("uri", ID), ("uri", "spiffe://prod.test/writer")]), domain)]),
        ("another's SVID", vec![issued(client(&[("uri", "spiffe://prod.test/writer")]), domain)]),
        ("an SVID of an unknown domain", vec![issued(client(&[("uri", "spiffe://dev.test/reader")]), domain)]),
        ("an expired SVID", vec![issued(expired(client(&[("uri", ID)])), domain)]),
    ];
    for (number, (what, chain)) in wrong.into_iter().enumerate() {
        // One who fails again and again has to wait, which is not what is looked at here.
        certified.scene.world.clock.advance(60);
        let answer = certified.ask("reader", &chain).await;
        assert_eq!((answer.status, answer.json["error"].as_str()), (401, Some("invalid_client")), "{number}: {what}");
    }
    assert_eq!(certified.scene.world.events("token_issued").await.len(), 0);
    Certified::let_in(&certified.ask("reader", std::slice::from_ref(&own)).await, &own);
}

#[tokio::test]
async fn nobody_learns_whom_there_is() {
    let certified = Certified::new().await;
    let stranger = [self_signed(client(&[("dns", "reader.test")]))];
    let [known, unknown] = [certified.ask("reader", &stranger).await, certified.ask("nobody", &stranger).await];
    assert_eq!((known.status, &known.json), (unknown.status, &unknown.json));
    let [known, unknown] = [certified.ask("reader", &[]).await, certified.ask("nobody", &[]).await];
    assert_eq!((known.status, &known.json), (unknown.status, &unknown.json));
    assert!(known.json["error_description"].as_str().unwrap().contains("mtls_endpoint_aliases"), "{:?}", known.json);
}

#[tokio::test]
async fn an_agent_that_may_not_act_gets_nothing_by_its_certificate() {
    let certified = Certified::new().await;
    let own = [self_signed(client(&[]))];
    certified.add("reader", pinned(&own[0])).await;
    let broker = &certified.scene.world.broker;
    let reader = "reader".parse().unwrap();
    agents::suspend(broker, &operator(), &reader, "odd").await.unwrap();
    refused(&certified.ask("reader", &own).await, 401, "invalid_client");
    agents::resume(broker, &operator(), &reader, "fine").await.unwrap();
    Certified::let_in(&certified.ask("reader", &own).await, &own[0]);
    agents::retire(broker, &operator(), &reader, "gone").await.unwrap();
    refused(&certified.ask("reader", &own).await, 401, "invalid_client");
}

#[tokio::test]
async fn two_agents_are_never_known_by_one_certificate() {
    let certified = Certified::new().await;
    let own = self_signed(client(&[]));
    let (broker, writer) = (&certified.scene.world.broker, "scripted".parse().unwrap());
    for authenticator in [pinned(&own), dns("reader.test"), Authenticator::Spiffe(ID.parse().unwrap())] {
        certified.add("reader", authenticator.clone()).await;
        let of_key = match authenticator.clone() {
            // The same key under another pin is the same certificate to whoever shows it.
            Authenticator::SelfSigned(one) => Authenticator::SelfSigned(PinnedCertificate { certificate: None, ..one }),
            other => other,
        };
        let again = agents::add_credential(broker, &operator(), &writer, of_key).await;
        assert!(matches!(again, Err(bailiwick_engine::refusal::Refusal::Conflict(_))), "{again:?}");
    }
    refused(&certified.ask("scripted", &[own]).await, 401, "invalid_client");
    agents::retire(broker, &operator(), &"reader".parse().unwrap(), "gone").await.unwrap();
    agents::add_credential(broker, &operator(), &writer, dns("reader.test")).await.unwrap();
}

/// Who signs with a key may have its token bound to the certificate of the connection; a proof binds it to the proof's key.
#[tokio::test]
async fn what_is_proved_is_what_a_token_is_bound_to() {
    let certified = Certified::new().await;
    let own = [self_signed(client(&[]))];
    let form = certified.scene.form("reader");
    let answer = certified.scene.send(certified.over("/oauth/token", &own), &form).await;
    Certified::let_in(&answer, &own[0]);
    let listener = format!("{LISTENER}/oauth/token");
    let proof = certified.scene.world.proof("reader", "POST", &listener, None);
    let message = certified.over("/oauth/token", &own).header("dpop", proof);
    let answer = certified.scene.send(message, &certified.scene.form("reader")).await;
    assert_eq!((answer.status, answer.json["token_type"].as_str()), (200, Some("DPoP")), "{:?}", answer.json);
    let claims = part(answer.json["access_token"].as_str().unwrap(), 1);
    assert_eq!(claims["cnf"], json!({ "jkt": certified.scene.world.key("reader").public().thumbprint.to_string() }));
    // The proof names the listener that it was sent to, and no other.
    let message = certified.over("/oauth/token", &own).header("dpop", certified.scene.proof("reader"));
    refused(&certified.scene.send(message, &certified.scene.form("reader")).await, 400, "invalid_dpop_proof");
    // An expired certificate binds nothing.
    let mut params = client(&[]);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let message = certified.over("/oauth/token", &[self_signed(params)]);
    refused(&certified.scene.send(message, &certified.scene.form("reader")).await, 400, "invalid_dpop_proof");
}

#[tokio::test]
async fn the_other_endpoints_take_certificates_too() {
    let certified = Certified::new().await;
    let own = [self_signed(client(&[]))];
    certified.add("reader", pinned(&own[0])).await;
    let token = certified.ask("reader", &own).await.json["access_token"].as_str().unwrap().to_owned();
    let named = [("client_id", "reader".to_owned()), ("token", token.clone())];
    let answer = certified.scene.send(certified.over("/oauth/introspect", &own), &named).await;
    refused(&answer, 400, "unauthorized_client");
    let stranger = [self_signed(client(&[]))];
    let answer = certified.scene.send(certified.over("/oauth/revoke", &stranger), &named).await;
    refused(&answer, 401, "invalid_client");
    for _ in 0..2 {
        let answer = certified.scene.send(certified.over("/oauth/revoke", &own), &named).await;
        assert_eq!(answer.status, 200, "no assertion is used up, so the same may be asked again: {:?}", answer.json);
    }
    assert!(certified.scene.world.broker.live().revoked.size() == 1);
}

/// A refresh token that was given on a certificate is good on a connection with it alone.
#[tokio::test]
async fn a_refresh_token_stays_with_its_certificate() {
    let certified = Certified::new().await;
    let own = [self_signed(client(&[]))];
    let other = [self_signed(client(&[]))];
    certified.add("reader", pinned(&own[0])).await;
    let scene = &certified.scene;
    let grant = granted(scene, "reader", GrantKind::AuthorizationCode).await;
    let bound = Certificate::parse(&own[0]).unwrap().thumbprint();
    let confirmation = Some(bailiwick_model::confirmation::Confirmation::Certificate(bound));
    let first = bailiwick_engine::refresh::first(&scene.world.broker, &grant, confirmation).await.unwrap();
    let form = |client: [(&'static str, String); 2]| {
        let ask = [("grant_type", "refresh_token".to_owned()), ("refresh_token", first.expose().clone())];
        [ask, client].concat()
    };
    let by_key = || {
        let mut form = form([("client_assertion_type", TYPE.to_owned()), ("client_assertion", String::new())]);
        form[3].1 = scene.world.assertion("reader");
        form
    };
    // A thief with the agent's key but without its certificate, on either listener, with a proof or without.
    refused(&scene.send(certified.over("/oauth/token", &other), &by_key()).await, 400, "invalid_grant");
    refused(&scene.ask(&by_key(), Some(scene.proof("reader"))).await, 400, "invalid_grant");
    let by_certificate = form([("client_id", "reader".to_owned()), ("resource", RESOURCE.to_owned())]);
    refused(&scene.send(certified.over("/oauth/token", &other), &by_certificate).await, 401, "invalid_client");
    let answer = scene.send(certified.over("/oauth/token", &own), &by_certificate).await;
    Certified::let_in(&answer, &own[0]);
    assert!(answer.json["refresh_token"].is_string());
}

#[tokio::test]
async fn the_metadata_names_the_ways() {
    let certified = Certified::new().await;
    let read = async |path: &str| {
        let message = Request::get(path).body(Body::empty()).unwrap();
        let answer = certified.scene.router.clone().oneshot(message).await.unwrap();
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    let server = read("/.well-known/oauth-authorization-server").await;
    assert_eq!(server["mtls_endpoint_aliases"]["token_endpoint"], format!("{LISTENER}/oauth/token"));
    let methods = ["private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth", "spiffe_x509"];
    assert_eq!(server["token_endpoint_auth_methods_supported"], json!(methods));
    let resource = read("/.well-known/oauth-protected-resource").await;
    assert_eq!(resource["tls_client_certificate_bound_access_tokens"], true);
    assert_eq!(resource["dpop_bound_access_tokens_required"], false);
}

/// Row 22: a name alone would let in whatever key an authority certifies; where hardware is demanded, the attested one counts.
#[tokio::test]
async fn where_hardware_is_demanded_a_certificate_is_of_the_attested_key() {
    let certified = Certified::new().await;
    let world = &certified.scene.world;
    let (in_device, in_file) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let of = |key: &KeyPair| {
        vec![client(&[("dns", "reader.test")]).signed_by(key, &certified.authority).unwrap().der().clone()]
    };
    let public = KeyPolicy::default().spki_pem(&in_device.public_key_pem(), None).unwrap();
    let (by, reader, attestation) = (operator(), "reader".parse().unwrap(), Some(world.maker.attests(&public)));
    agents::add_attested(&world.broker, &by, &reader, dns("reader.test"), attestation).await.unwrap();
    let let_in = async |chain: Vec<CertificateDer<'static>>| {
        Certified::let_in(&certified.ask("reader", &chain).await, &chain[0]);
    };
    let_in(of(&in_file)).await;
    lifecycle::protect(&world.broker, &by, &reader, KeyProtection::Hardware, "high risk").await.unwrap();
    let_in(of(&in_device)).await;
    let_in(of(&in_device)).await;
    refused(&certified.ask("reader", &of(&in_file)).await, 401, "invalid_client");
    // The right certificate, and a proof by a key of a file, to which the token would be bound.
    let form = [
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", "reader".to_owned()),
        ("resource", RESOURCE.to_owned()),
    ];
    let proof = world.proof("reader", "POST", &format!("{LISTENER}/oauth/token"), None);
    let bound = certified.over("/oauth/token", &of(&in_device)).header("dpop", proof);
    refused(&certified.scene.send(bound, &form).await, 400, "invalid_dpop_proof");
}

#[tokio::test]
async fn what_a_certificate_asked_a_user_for_is_for_that_certificate() {
    let mut certified = Certified::new().await;
    certified.scene.world.publish(bundle::with_delegation()).await;
    certified.scene.world.enlist("support", "support").await;
    let scene = &certified.scene;
    let [one, other] = ["one", "other"].map(|name| self_signed(client(&[("cn", name)])));
    for certificate in [&one, &other] {
        certified.add("support", pinned(certificate)).await;
    }
    let groups = ["sales".to_owned()].into();
    users::add(&scene.world.broker, &operator(), "u-ada".parse().unwrap(), "Ada", None, groups).await.unwrap();
    let form = [
        ("client_id", "support".to_owned()),
        ("scope", "openid files:read".to_owned()),
        ("login_hint", "u-ada".to_owned()),
        ("resource", RESOURCE.to_owned()),
    ];
    let asked = scene.send(certified.over("/oauth/bc-authorize", std::slice::from_ref(&one)), &form).await;
    assert_eq!(asked.status, 200, "{:?}", asked.json);
    scene.answered("u-ada", Some(Lasting::Day)).await;
    let poll = async |certificate: &CertificateDer<'static>| {
        let form = [
            ("client_id", "support".to_owned()),
            ("grant_type", CIBA.to_owned()),
            ("auth_req_id", asked.json["auth_req_id"].as_str().unwrap().to_owned()),
        ];
        scene.send(certified.over("/oauth/token", std::slice::from_ref(certificate)), &form).await
    };
    refused(&poll(&other).await, 400, "invalid_grant");
    let answer = poll(&one).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json);
    let claims = part(answer.json["access_token"].as_str().unwrap(), 1);
    assert_eq!(claims["sub"], "user:u-ada");
    assert!(claims["cnf"]["x5t#S256"].is_string(), "{claims}");
}
