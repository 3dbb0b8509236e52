//! Servers and clients over loopback: who gets in, who does not, and what a change of
//! certificates does to those who are in.

use crate::{
    certs::{Authority, CA_CERT, CA_DAYS, LEAF_DAYS},
    client::{ChannelTiming, Expected, channel, reason, within},
    identity::Role,
    server::{require, require_site, serve, with_standard},
    tls::{Identity, TlsFiles},
    v1::{self, operator_client::OperatorClient, operator_server},
};
use model::{Millis, SiteId};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsFailure, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{Code, Request, Response, Status, service::Routes, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// No test waits longer for anything.
const LIMIT: Duration = Duration::from_secs(10);

/// A group's CA, and the files of those whom it named.
struct Group {
    dir: TempDir,
    authority: Authority,
}

impl Group {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::create(dir.path(), name, CA_DAYS, false).expect("a CA");
        Self { dir, authority }
    }

    fn ca(&self) -> std::path::PathBuf {
        self.dir.path().join(CA_CERT)
    }

    fn files(&self, role: Role, name: &str) -> TlsFiles {
        let at = |end: &str| self.dir.path().join(format!("{role}-{name}.{end}"));
        let files = TlsFiles { ca: self.ca(), cert: at("pem"), key: at("key") };
        let pair = self.authority.issue(role, name, &[], LEAF_DAYS).expect("a certificate");
        pair.write(&files.cert, &files.key, true).expect("written");
        files
    }

    fn identity(&self, role: Role, name: &str) -> Identity {
        Identity::load(&self.files(role, name)).expect("issued just now")
    }
}

/// Asks for a role only, as the witness's service does.
struct Desk;

fn answer<T>(request: &Request<T>) -> Result<Response<v1::OperatorResponse>, Status> {
    let peer = require(request, &[Role::Operator, Role::Actor])?;
    if peer.role == Role::Actor {
        require_site(request, Role::Actor, &SiteId::new("dc1").expect("a name"))?;
    }
    Ok(Response::new(v1::OperatorResponse { index: 1, text: peer.to_string() }))
}

#[tonic::async_trait]
impl operator_server::Operator for Desk {
    async fn adopt(&self, r: Request<v1::AdoptRequest>) -> Result<Response<v1::OperatorResponse>, Status> {
        answer(&r)
    }
    async fn set_mode(
        &self,
        r: Request<v1::SetModeRequest>,
    ) -> Result<Response<v1::OperatorResponse>, Status> {
        answer(&r)
    }
    async fn attest(&self, r: Request<v1::AttestRequest>) -> Result<Response<v1::OperatorResponse>, Status> {
        answer(&r)
    }
    async fn stop_and_elect(
        &self,
        r: Request<v1::StopAndElectRequest>,
    ) -> Result<Response<v1::OperatorResponse>, Status> {
        answer(&r)
    }
}

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Running {
    async fn start(identity: &Identity, address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let routes = Routes::new(operator_server::OperatorServer::new(Desk));
        let (routes, _reporter) = with_standard(routes);
        let (stop, stopped) = oneshot::channel::<()>();
        let identity = identity.clone();
        let ended = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            serve(listener, identity, routes, shutdown).await.expect("a clean end");
        });
        Self { address, stop, ended }
    }

    fn channel(&self, identity: &Identity, role: Role, name: Option<&str>) -> Channel {
        let expected = Expected { role, name: name.map(str::to_owned) };
        channel(&self.address.to_string(), identity, expected, ChannelTiming::default())
    }

    /// A channel that expects what all tests here start: the witness of dc1.
    fn to_witness(&self, identity: &Identity) -> Channel {
        self.channel(identity, Role::Witness, Some("dc1"))
    }

    async fn stop(self) {
        self.stop.send(()).expect("it runs");
        timeout(LIMIT, self.ended).await.expect("in time").expect("no panic");
    }
}

async fn health(channel: &Channel) -> Result<(), Status> {
    let call = async { HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await };
    within(Millis(5_000), call).await.map(|answer| assert_eq!(answer.get_ref().status, 1, "it serves"))
}

async fn adopt(channel: &Channel) -> Result<String, Status> {
    let call = async { OperatorClient::new(channel.clone()).adopt(v1::AdoptRequest::default()).await };
    within(Millis(5_000), call).await.map(|answer| answer.into_inner().text)
}

/// A call that must fail for want of a connection, and why.
async fn unavailable(channel: &Channel) -> String {
    let status = health(channel).await.expect_err("nobody is let in");
    assert_ne!(status.code(), Code::DeadlineExceeded, "{}", reason(&status));
    reason(&status)
}

#[tokio::test]
async fn members_get_in_and_are_known_by_name() {
    let group = Group::new("ess");
    let server = Running::start(&group.identity(Role::Witness, "dc1"), "127.0.0.1:0").await;
    // Somebody who connects and says nothing holds nobody up.
    let _silent = TcpStream::connect(server.address).await.expect("connected");
    let alice = server.to_witness(&group.identity(Role::Operator, "alice"));
    health(&alice).await.expect("alice is of the group");
    assert_eq!(adopt(&alice).await.expect("allowed"), "spiffe://tripoint/ess/operator/alice");
    let own = server.channel(&group.identity(Role::Actor, "dc1"), Role::Witness, None);
    assert_eq!(adopt(&own).await.expect("allowed"), "spiffe://tripoint/ess/actor/dc1");
    drop((alice, own));
    server.stop().await;
}

#[tokio::test]
async fn reflection_lists_the_services() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let group = Group::new("ess");
    let server = Running::start(&group.identity(Role::Witness, "dc1"), "127.0.0.1:0").await;
    let channel = server.to_witness(&group.identity(Role::Viewer, "bob"));
    let ask = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut client = ServerReflectionClient::new(channel);
    let call = client.server_reflection_info(tokio_stream::iter([ask]));
    let mut answers = timeout(LIMIT, call).await.expect("in time").expect("let in").into_inner();
    let answer = answers.message().await.expect("answered").expect("one");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["tripoint.v1.Operator", "tripoint.v1.Gate", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|n| n == name), "{names:?}");
    }
    drop(answers);
    server.stop().await;
}

#[tokio::test]
async fn a_role_or_site_that_may_not_call_is_denied() {
    let group = Group::new("ess");
    let server = Running::start(&group.identity(Role::Witness, "dc1"), "127.0.0.1:0").await;
    for (role, name) in [(Role::Viewer, "bob"), (Role::Gate, "dc1"), (Role::Actor, "dc2")] {
        let channel = server.to_witness(&group.identity(role, name));
        health(&channel).await.expect("it is of the group");
        let status = adopt(&channel).await.expect_err("it may not");
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains(&format!("/{role}/{name} may not")), "{}", status.message());
    }
    server.stop().await;
}

#[tokio::test]
async fn the_client_refuses_another_peer_than_expected() {
    let (group, other) = (Group::new("ess"), Group::new("ess"));
    let server = Running::start(&group.identity(Role::Witness, "dc1"), "127.0.0.1:0").await;
    let actor = group.identity(Role::Actor, "dc2");
    let why = unavailable(&server.channel(&actor, Role::Witness, Some("dc2"))).await;
    assert!(why.contains("witness/dc1; dc2 was expected"), "{why}");
    let why = unavailable(&server.channel(&actor, Role::Actor, None)).await;
    assert!(why.contains("witness/dc1; role actor was expected"), "{why}");
    // Equal names, another CA.
    let why = unavailable(&server.to_witness(&other.identity(Role::Actor, "dc2"))).await;
    assert!(why.contains("UnknownIssuer"), "{why}");
    server.stop().await;
}

/// An identity of `from` that trusts `trusts` as well.
fn trusting(from: &Group, role: Role, name: &str, trusts: &Group) -> Identity {
    let mut files = from.files(role, name);
    let both = [from.ca(), trusts.ca()].map(|file| fs::read_to_string(file).expect("a CA")).concat();
    files.ca = from.dir.path().join("both.pem");
    fs::write(&files.ca, both).expect("written");
    Identity::load(&files).expect("its own CA is in it")
}

#[tokio::test]
async fn the_server_refuses_a_rogue_ca_and_another_group() {
    let (group, rogue, guests) = (Group::new("ess"), Group::new("ess"), Group::new("guests"));
    let server = Running::start(&group.identity(Role::Witness, "dc1"), "127.0.0.1:0").await;
    let client = trusting(&rogue, Role::Operator, "mallory", &group);
    unavailable(&server.to_witness(&client)).await;
    let failure = raw(server.address, Some(&rogue.files(Role::Operator, "mallory"))).await;
    let failure = failure.expect_err("its CA is another");
    assert!(failure.contains("UnknownCA"), "{failure}");
    server.stop().await;

    // A server that trusts the CA of both still lets only its own group in.
    let server = Running::start(&trusting(&group, Role::Witness, "dc1", &guests), "127.0.0.1:0").await;
    health(&server.to_witness(&group.identity(Role::Viewer, "bob"))).await.expect("its own");
    let guest = guests.files(Role::Viewer, "bob");
    let failure = raw(server.address, Some(&guest)).await.expect_err("it is of another group");
    assert!(failure.contains("alert"), "{failure}");
    server.stop().await;
}

#[tokio::test]
async fn nobody_gets_in_without_a_certificate_or_in_plaintext() {
    let group = Group::new("ess");
    let server = Running::start(&group.identity(Role::Witness, "dc1"), "127.0.0.1:0").await;
    let failure = raw(server.address, None).await.expect_err("there is no certificate");
    assert!(failure.contains("CertificateRequired"), "{failure}");
    let plain = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address))
        .expect("an address")
        .connect_lazy();
    unavailable(&plain).await;
    health(&server.to_witness(&group.identity(Role::Viewer, "bob"))).await.expect("others get in");
    server.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_loads_but_is_refused() {
    let group = Group::new("ess");
    let server = Running::start(&group.identity(Role::Witness, "dc1"), "127.0.0.1:0").await;
    let files = group.files(Role::Actor, "dc2");
    let pair = group.authority.issue_expired(Role::Actor, "dc2").expect("a certificate");
    pair.write(&files.cert, &files.key, true).expect("written");
    let expired = Identity::load(&files).expect("an expired one loads");
    assert!(expired.expired());
    unavailable(&server.to_witness(&expired)).await;
    let failure = raw(server.address, Some(&files)).await.expect_err("it has expired");
    assert!(failure.contains("CertificateExpired"), "{failure}");
    server.stop().await;
}

#[tokio::test]
async fn a_new_certificate_and_a_new_ca_are_taken_while_it_runs() {
    let (group, next) = (Group::new("ess"), Group::new("ess"));
    let files = group.files(Role::Witness, "dc1");
    let identity = Identity::load(&files).expect("issued just now");
    let server = Running::start(&identity, "127.0.0.1:0").await;
    let bob = group.files(Role::Viewer, "bob");
    let old = server.to_witness(&Identity::load(&bob).expect("issued just now"));
    health(&old).await.expect("it is of the group");
    let first = raw(server.address, Some(&bob)).await.expect("let in");

    // The file changes; nobody is told.
    group
        .authority
        .issue(Role::Witness, "dc1", &[], 30)
        .expect("a certificate")
        .write(&files.cert, &files.key, true)
        .expect("replaced");
    wait_for(async || raw(server.address, Some(&bob)).await.expect("let in") != first).await;
    health(&old).await.expect("what is open stays open");

    // Half a pair is not taken: the old one stays in force.
    let foreign = next.authority.issue(Role::Witness, "dc1", &[], 30).expect("a certificate");
    fs::write(&files.cert, &foreign.cert).expect("written");
    assert!(identity.reload().is_err());
    raw(server.address, Some(&bob)).await.expect("still let in");

    // The CA changes as well.
    fs::copy(next.ca(), &files.ca).expect("replaced");
    foreign.write(&files.cert, &files.key, true).expect("replaced");
    identity.reload().expect("all of one CA");
    let new = server.to_witness(&next.identity(Role::Viewer, "bob"));
    health(&new).await.expect("it is of the new CA");
    raw(server.address, Some(&bob)).await.expect_err("the old CA is not trusted any more");
    server.stop().await;
}

#[tokio::test]
async fn a_channel_finds_a_server_that_came_back_and_a_stop_is_bounded() {
    let group = Group::new("ess");
    let identity = group.identity(Role::Witness, "dc1");
    let server = Running::start(&identity, "127.0.0.1:0").await;
    let channel = server.to_witness(&group.identity(Role::Viewer, "bob"));
    // An endless call does not keep the server from ending.
    let mut watch = HealthClient::new(channel.clone())
        .watch(HealthCheckRequest::default())
        .await
        .expect("let in")
        .into_inner();
    assert_eq!(watch.message().await.expect("answered").expect("a status").status, 1);
    let address = server.address.to_string();
    server.stop().await;
    timeout(LIMIT, watch.message()).await.expect("in time").expect_err("it was cut");
    unavailable(&channel).await;

    let server = Running::start(&identity, &address).await;
    wait_for(async || health(&channel).await.is_ok()).await;
    server.stop().await;
}

/// Until it is so, with pauses, and not for ever.
async fn wait_for(mut is_so: impl AsyncFnMut() -> bool) {
    let all = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, all).await.expect("it came about in time");
}

/// A TLS client that believes anybody. Returns the server's certificate once the server has let
/// it in (its first HTTP/2 frame came), or what the server said instead.
async fn raw(address: SocketAddr, files: Option<&TlsFiles>) -> Result<Vec<u8>, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring has it")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match files {
        None => config.with_no_client_auth(),
        Some(files) => config.with_client_auth_cert(pem(&files.cert), key(&files.key)).expect("a pair"),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    let name = ServerName::from(address.ip());
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let mut stream: TlsStream<TcpStream> = connecting.await.map_err(|e| e.to_string())?;
    let shown = stream.get_ref().1.peer_certificates().expect("servers show one")[0].to_vec();
    let mut byte = [0];
    let first = timeout(LIMIT, stream.read_exact(&mut byte)).await.expect("in time");
    first.map(|_| shown).map_err(|e| e.to_string())
}

fn pem(file: &Path) -> Vec<CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::pem_file_iter(file).expect("a file").map(|c| c.expect("a certificate")).collect()
}

fn key(file: &Path) -> rustls::pki_types::PrivateKeyDer<'static> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::PrivateKeyDer::from_pem_file(file).expect("a key")
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsFailure> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFailure> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFailure> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
