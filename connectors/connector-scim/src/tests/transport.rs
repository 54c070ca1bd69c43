//! How the service is reached: over TLS, trusting what is named, and nothing that the environment names.

use std::path::{Path, PathBuf};
use std::process::Command;

use cordon_testkit::capability;
use cordon_testkit::peer::{self, Peer};
use tempfile::TempDir;

use super::*;

/// Ends TLS before a server: address, certificate and key, and the server's address.
const TERMINATOR: &str = r#"
import socket, ssl, sys, threading
port, certificate, key, upstream = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
host, _, to = upstream.partition(":")

def copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass

def serve(plain):
    try:
        near = context.wrap_socket(plain, server_side=True)
    except OSError:
        return
    far = socket.create_connection((host, int(to)))
    threading.Thread(target=copy, args=(near, far), daemon=True).start()
    copy(far, near)
    near.close()

listener = socket.create_server(("127.0.0.1", port))
while True:
    accepted, _ = listener.accept()
    threading.Thread(target=serve, args=(accepted,), daemon=True).start()
"#;

/// Says to a child which test it is, and with which configuration.
const CONFIG: &str = "CORDON_TEST_SCIM_CONFIG";

/// A service behind TLS, under an authority of its own.
struct Behind {
    world: World,
    _terminator: Peer,
    port: u16,
    authority: PathBuf,
}

impl Behind {
    fn start() -> Option<Self> {
        let world = World::start()?;
        let (Some(python), Some(_)) = (peer::python(), peer::program("openssl")) else {
            capability::skipped("openssl");
            return None;
        };
        let folder = TempDir::new().unwrap();
        let authority = folder.path().join("ca.pem");
        certify(folder.path());
        let port = peer::free_port();
        let mut command = Command::new(python);
        command.args(["-c", TERMINATOR, &port.to_string()]);
        command.args([folder.path().join("leaf.pem"), folder.path().join("leaf.key")]);
        command.arg(world.between.address());
        let up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let terminator = Peer::start(folder, &mut command, up);
        Some(Self { world, _terminator: terminator, port, authority })
    }

    fn config(&self, more: &Json) -> Json {
        let mut config = self.world.config(more);
        config["base_url"] = format!("https://127.0.0.1:{}/v2", self.port).into();
        config["retries"] = json!(0);
        config
    }
}

/// Makes an authority and a certificate for 127.0.0.1 under it.
fn certify(folder: &Path) {
    let make = |arguments: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(arguments.split(' ')).current_dir(folder);
        let output = openssl.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30";
    make(&format!("{new} -keyout ca.key -out ca.pem -subj /CN=Authority"));
    make(&format!(
        "{new} -keyout leaf.key -out leaf.pem -subj /CN=leaf -CA ca.pem -CAkey ca.key \
         -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=IP:127.0.0.1"
    ));
}

#[tokio::test]
async fn only_the_certificates_that_are_named_are_trusted() {
    let Some(behind) = Behind::start() else { return };
    let named = behind.config(&json!({ "tls": { "ca": behind.authority } }));
    let (collected, result) = Harness::configured::<Scim>(&named).await.unwrap().sync().await;
    result.unwrap();
    all_complete(&collected);

    let unnamed = behind.config(&json!({}));
    let error = Harness::configured::<Scim>(&unnamed).await.unwrap().check().await.unwrap_err();
    assert_eq!(kind(&error), "unavailable");
    assert!(error.to_string().contains("no authority of tls.ca vouches for it"), "{error}");

    let another = behind.config(&json!({ "tls": { "ca": "/etc/hostname" } }));
    let error = Harness::configured::<Scim>(&another).await.err().unwrap();
    let Error::BadConfig { field, .. } = error else { panic!("{error}") };
    assert_eq!(field, "tls.ca");

    // What the environment names is trusted no more than that.
    let output = child(&unnamed, &[("SSL_CERT_FILE", behind.authority.to_str().unwrap())]);
    assert!(
        output.contains("said: unavailable") && output.contains("no authority of tls.ca"),
        "{output}"
    );
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_used() {
    let Some(world) = World::start() else { return };
    let nowhere = "http://127.0.0.1:1";
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let output = child(&world.config(&json!({})), &names.map(|name| (name, nowhere)));
    assert!(output.contains("said: users: 130 may be read"), "{output}");
}

/// What a check says in a process with that environment.
fn child(config: &Json, environment: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "tests::transport::a_check_in_a_process_of_its_own", "--nocapture"]);
    child.env(CONFIG, config.to_string()).envs(environment.iter().copied());
    let output = child.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn a_check_in_a_process_of_its_own() {
    let Ok(config) = std::env::var(CONFIG) else { return };
    let config: Json = serde_json::from_str(&config).unwrap();
    let said = Harness::configured::<Scim>(&config).await.unwrap().check().await;
    let said = match said {
        Ok(notes) => notes,
        Err(error) => vec![format!("{} {}", kind(&error), error.chain())],
    };
    said.iter().for_each(|said| eprintln!("said: {said}"));
}

#[test]
fn secrets_are_marked_so_that_none_can_be_written_down() {
    let schema = schemars::schema_for!(crate::config::Config);
    let schema = schema.as_value();
    assert_eq!(schema["properties"]["token"]["writeOnly"], true, "{schema}");
    assert_eq!(schema["$defs"]["Oauth"]["properties"]["client_secret"]["writeOnly"], true);
}

#[tokio::test]
async fn what_cannot_work_is_refused_by_its_field() {
    for (more, field) in [
        (json!({ "base_url": "scim.example.org" }), "base_url"),
        (json!({ "base_url": "http://scim.example.org/v2" }), "base_url"),
        (json!({ "base_url": "https://me:secret@scim.example.org" }), "base_url"),
        (json!({ "base_url": "https://scim.example.org/v2?tenant=1" }), "base_url"),
        (json!({ "base_url": "ftp://scim.example.org" }), "base_url"),
        (json!({ "page_size": 1 }), "page_size"),
        (json!({ "page_size": 0, "overlap": false }), "page_size"),
        (json!({ "include": ["groups"] }), "include"),
        (json!({ "attributes": { "departement": "x" } }), "attributes.departement"),
        (json!({ "attributes": { "title": "a b" } }), "attributes.title"),
        (json!({ "token": "a\nb" }), "token"),
        (json!({ "timeout": "0s" }), "timeout"),
        (json!({ "privileged": ["[z-"] }), "privileged"),
        (
            json!({ "oauth": { "token_url": "https://x", "client_id": "a", "client_secret": "b" } }),
            "oauth",
        ),
    ] {
        let mut config = json!({ "base_url": "https://scim.example.org/v2", "token": "t" });
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        let error = Harness::configured::<Scim>(&config).await.err();
        let Some(Error::BadConfig { field: refused, message, .. }) = error else {
            panic!("{more}: {error:?}")
        };
        assert_eq!(refused, field, "{more}: {message}");
        assert!(!message.contains("secret@"), "{message}");
    }
}
