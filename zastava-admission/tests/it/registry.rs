//! A real registry on a directory of its own, and the images in it.

pub(crate) mod proxy;
pub(crate) mod server;
pub(crate) mod tokens;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use tempfile::TempDir;
use tower::{Service as _, ServiceExt as _};
use zastava_authority::{TransportOptions, https};
use zastava_core::image::Digest;
use zastava_oci::{ImageBuilder, Layout, Platform};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// `anna:pull-secret`, as an entry of htpasswd and in base64.
const HTPASSWD: &str = "anna:$2b$05$abcdefghijklmnopqrstuuiuhH7Ikupt0NZBlrLOsxuBkm7D98a7C\n";
pub(crate) const LOGIN: &str = "YW5uYTpwdWxsLXNlY3JldA==";

/// How a registry is protected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Protection {
    /// By nothing: plain HTTP.
    None,
    /// TLS and a login.
    Basic,
    /// TLS and tokens, which this port issues.
    Tokens(u16),
}

/// A directory with a certificate for this machine and its private authority, and what registries store.
pub(crate) struct Store {
    directory: TempDir,
    authority: (rcgen::Certificate, rcgen::Issuer<'static, rcgen::KeyPair>),
}

impl Store {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = parameters.self_signed(&key).unwrap();
        let store = Self { directory, authority: (ca, rcgen::Issuer::new(parameters, key)) };
        std::fs::write(store.ca(), store.authority.0.pem()).unwrap();
        let leaf_key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &store.authority.1).unwrap();
        std::fs::write(store.path("tls.crt"), leaf.pem()).unwrap();
        std::fs::write(store.path("tls.key"), leaf_key.serialize_pem()).unwrap();
        std::fs::write(store.path("htpasswd"), HTPASSWD).unwrap();
        store
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// A `config.json` with a login for this registry.
    pub(crate) fn docker_config(&self, registry: &str) -> PathBuf {
        let path = self.path("config.json");
        std::fs::write(&path, format!(r#"{{"auths": {{"{registry}": {{"auth": "{LOGIN}"}}}}}}"#)).unwrap();
        path
    }
}

/// A running `docker-registry`. It stops when it is dropped.
pub(crate) struct Registry {
    process: Child,
    /// Host and port, as references name it.
    pub(crate) host: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    /// Starts one, unless the machine has none.
    pub(crate) async fn start(store: &Store, protection: Protection) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = store.path(&format!("registry-{port}.yml"));
        std::fs::write(&path, configuration(store, protection, port)).unwrap();
        let log = std::fs::File::create(store.path(&format!("registry-{port}.log"))).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let Ok(process) = process else {
            let _ = writeln!(std::io::stderr(), "SKIP: docker-registry is missing; no registry is asked");
            return None;
        };
        let mut registry = Self { process, host: format!("localhost:{port}") };
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert_eq!(registry.process.try_wait().unwrap(), None, "the registry ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Some(registry)
    }

    /// Stores an image for each platform under one tag; for one platform it is no index.
    pub(crate) async fn push(&self, repository: &str, tag: &str, text: &str, platforms: &[&str]) -> Pushed {
        let images = platforms.iter().map(|platform| {
            ImageBuilder::new(format!("{}/{repository}:{tag}", self.host))
                .platform(platform.parse::<Platform>().unwrap())
                .program("/bin/demo", format!("#!{text} {platform}").into_bytes())
        });
        let layout = Layout::build(images).unwrap();
        let directory = tempfile::tempdir().unwrap();
        layout.write_directory(directory.path().join("layout")).unwrap();
        let mut documents = Vec::new();
        for entry in std::fs::read_dir(directory.path().join("layout/blobs/sha256")).unwrap() {
            let content = std::fs::read(entry.unwrap().path()).unwrap();
            match document_type(&content) {
                Some(kind) => documents.push((kind, content)),
                None => self.push_blob(repository, content).await,
            }
        }
        // Images before the index that names them.
        documents.sort_by_key(|(kind, _)| *kind == INDEX);
        for (kind, content) in documents {
            let digest = Digest::of(&content);
            let name = if digest == layout.digest() { tag.to_owned() } else { digest.to_string() };
            let target = format!("/v2/{repository}/manifests/{name}");
            let answer = self.send(Method::PUT, &target, kind, content).await;
            assert_eq!(answer.status(), StatusCode::CREATED, "{:?}", answer.body());
        }
        let images = layout.platforms().iter().map(|image| image.manifest).collect();
        Pushed { digest: layout.digest(), images }
    }

    async fn push_blob(&self, repository: &str, content: Vec<u8>) {
        let begun =
            self.send(Method::POST, &format!("/v2/{repository}/blobs/uploads/"), "", Vec::new()).await;
        let target = begun.headers()[header::LOCATION].to_str().unwrap().to_owned();
        let target = target.split_once(&self.host).map_or(target.as_str(), |(_, path)| path);
        let target = format!("{target}&digest={}", Digest::of(&content));
        let answer = self.send(Method::PUT, &target, "application/octet-stream", content).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{:?}", answer.body());
    }

    async fn send(&self, method: Method, target: &str, kind: &str, content: Vec<u8>) -> Response<Bytes> {
        let mut http = https(&TransportOptions { allow_http: true, ..TransportOptions::default() }).unwrap();
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{target}", self.host))
            .header(header::CONTENT_TYPE, kind)
            .body(Bytes::from(content))
            .unwrap();
        http.ready().await.unwrap().call(request).await.unwrap()
    }
}

/// What a registry has stored: what the tag names, and the image for each platform.
pub(crate) struct Pushed {
    pub(crate) digest: Digest,
    pub(crate) images: Vec<Digest>,
}

fn document_type(content: &[u8]) -> Option<&'static str> {
    let document: serde_json::Value = serde_json::from_slice(content).ok()?;
    [INDEX, MANIFEST].into_iter().find(|kind| document["mediaType"] == *kind)
}

fn configuration(store: &Store, protection: Protection, port: u16) -> String {
    let path = |name| path_text(&store.path(name));
    let tls = match protection {
        Protection::None => String::new(),
        _ => format!(", tls: {{certificate: {}, key: {}}}", path("tls.crt"), path("tls.key")),
    };
    let auth = match protection {
        Protection::None => String::new(),
        Protection::Basic => format!("auth: {{htpasswd: {{realm: demo, path: {}}}}}\n", path("htpasswd")),
        Protection::Tokens(issuer) => format!(
            "auth: {{token: {{realm: 'https://localhost:{issuer}/token', service: demo, issuer: demo-issuer, \
             rootcertbundle: {}}}}}\n",
            path("issuer.crt")
        ),
    };
    format!(
        "version: 0.1\nlog: {{accesslog: {{disabled: true}}, level: warn}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}}}\n\
         http: {{addr: '127.0.0.1:{port}', secret: demo{tls}}}\n{auth}",
        path("images"),
    )
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}
