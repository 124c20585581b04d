//! One registry: what it says of a manifest (OCI distribution specification, section "Pulling manifests").

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use tokio::sync::{Semaphore, SemaphorePermit};
use tower::{Service as _, ServiceExt as _};
use zastava_core::http_service::HttpService;
use zastava_core::image::Digest;

use super::authorization::{Authorization, Kept, TokenPlaces, Wanted, wanted};
use super::credentials::Credentials;
use super::manifest::{self, Manifest};
use super::{Unresolved, turn};
use crate::options::RegistryHost;
use crate::text::printable;

const REASON_LENGTH_MAX: usize = 200;

/// A client of one registry. It follows no redirect, and sends a login to no other host.
pub(super) struct Registry {
    /// As references name it.
    name: String,
    base: String,
    http: HttpService,
    /// A place for each manifest that may be in memory.
    bodies: Arc<Semaphore>,
    token_places: TokenPlaces,
    docker_config: Option<PathBuf>,
    kept: Kept,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Registry {
    pub(super) fn new(
        name: &str,
        options: &RegistryHost,
        http: HttpService,
        bodies: Arc<Semaphore>,
        docker_config: Option<PathBuf>,
    ) -> Self {
        // Docker Hub answers elsewhere than references say, and has its tokens from a third host.
        let (host, token_host) = match name {
            "docker.io" => ("registry-1.docker.io", Some("auth.docker.io".to_owned())),
            name => (name, None),
        };
        let token_host = options.token_host.clone().or(token_host);
        let scheme = if options.allow_insecure_http { "http" } else { "https" };
        Self {
            name: name.to_owned(),
            base: format!("{scheme}://{host}"),
            http,
            bodies,
            token_places: TokenPlaces {
                hosts: std::iter::once(host.to_owned()).chain(token_host).collect(),
                allow_http: options.allow_insecure_http,
            },
            docker_config,
            kept: Kept::default(),
        }
    }

    /// What the tag names now. A registry that does not say the digest gives the manifest, which is hashed.
    pub(super) async fn manifest(&self, repository: &str, tag: &str) -> Result<Manifest, Unresolved> {
        let answer = self.ask(&Method::HEAD, repository, tag).await?;
        let described = self.described(&answer)?;
        if let Some(digest) = described.digest {
            return Ok(Manifest { digest, is_index: described.is_index });
        }
        let _body = self.body().await?;
        let answer = self.ask(&Method::GET, repository, tag).await?;
        let (described, digest) = (self.described(&answer)?, Digest::of(answer.body()));
        if described.digest.is_some_and(|said| said != digest) {
            return Err(self.refused("answered with a manifest that has not the digest it says"));
        }
        Ok(Manifest { digest, is_index: described.is_index })
    }

    /// A place for the body of a manifest.
    pub(super) async fn body(&self) -> Result<SemaphorePermit<'_>, Unresolved> {
        turn(&self.bodies).await
    }

    /// The images of an index, one for each platform. Whoever asks has a place for its body.
    pub(super) async fn platforms(&self, repository: &str, index: Digest) -> Result<Vec<Digest>, Unresolved> {
        let answer = self.ask(&Method::GET, repository, &index.to_string()).await?;
        if Digest::of(answer.body()) != index {
            return Err(self.refused("answered with another manifest than was asked for"));
        }
        manifest::platforms(answer.body())
            .map_err(|fault| self.refused(&format!("has a wrong index: {fault}")))
    }

    fn described(&self, answer: &Response<Bytes>) -> Result<manifest::Described, Unresolved> {
        let described = manifest::described(answer.headers());
        described.map_err(|fault| self.refused(&format!("answered with no manifest of an image: {fault}")))
    }

    /// A successful answer about a manifest.
    async fn ask(
        &self,
        method: &Method,
        repository: &str,
        selector: &str,
    ) -> Result<Response<Bytes>, Unresolved> {
        let uri = format!("{}/v2/{repository}/manifests/{selector}", self.base);
        let uri: Uri = uri.parse().map_err(|_| self.refused("cannot be asked for this name"))?;
        let answer = self.send(method, &uri, self.kept.header(repository)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return self.checked(answer, repository, selector);
        }
        // Its body is not kept.
        let answer = answer.map(drop);
        let authorization = self.authorize(answer.headers(), repository).await?;
        let answer = self.send(method, &uri, Some(authorization.header.clone())).await?;
        let answer = self.checked(answer, repository, selector)?;
        self.kept.keep(repository, authorization);
        Ok(answer)
    }

    /// The answer, if it is about the manifest. What the author of a reference can cause refuses it.
    fn checked(
        &self,
        answer: Response<Bytes>,
        repository: &str,
        selector: &str,
    ) -> Result<Response<Bytes>, Unresolved> {
        let status = answer.status();
        match status {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND => Err(self.refused(&format!("has no {selector} of {repository}"))),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(self.refused(&format!("does not let the webhook read {repository}")))
            }
            _ if status.is_redirection() => {
                Err(self.refused("redirects to another address, which is not followed"))
            }
            _ if is_silence(status) => Err(self.unable(&format!("answered {}", status.as_u16()))),
            _ => Err(self.refused(&format!("answered {}", status.as_u16()))),
        }
    }

    /// What the registry asks to be shown.
    async fn authorize(&self, refusal: &HeaderMap, repository: &str) -> Result<Authorization, Unresolved> {
        let credentials = self.credentials().await?;
        let login = credentials.of(&self.name);
        let wanted = wanted(refusal, repository, login, &self.token_places);
        let uri = match wanted.map_err(|reason| self.refused(&format!("cannot be asked: {reason}")))? {
            Wanted::Login(authorization) => return Ok(authorization),
            Wanted::Token(uri) => uri,
        };
        let login = login.and_then(Authorization::login).map(|login| login.header);
        let answer = self.send(&Method::GET, &uri, login).await?;
        match answer.status() {
            StatusCode::OK => Authorization::token(answer.body())
                .ok_or_else(|| self.refused("has its tokens issued by a service that answers without one")),
            status if is_silence(status) => {
                Err(self
                    .unable(&format!("has its tokens issued by a service that answered {}", status.as_u16())))
            }
            status => Err(self.refused(&format!("issues no token for {repository}: {}", status.as_u16()))),
        }
    }

    async fn credentials(&self) -> Result<Credentials, Unresolved> {
        let Some(path) = self.docker_config.clone() else { return Ok(Credentials::default()) };
        let read = tokio::task::spawn_blocking(move || Credentials::read(&path)).await;
        let error = match read {
            Ok(Ok(credentials)) => return Ok(credentials),
            Ok(Err(error)) => error,
            Err(_) => return Err(self.unable("cannot be asked: its credentials were not read")),
        };
        tracing::warn!(scope = super::SCOPE, error = &error as &dyn std::error::Error, "no credentials");
        Err(self.unable("cannot be asked: its credentials cannot be read"))
    }

    async fn send(
        &self,
        method: &Method,
        uri: &Uri,
        authorization: Option<HeaderValue>,
    ) -> Result<Response<Bytes>, Unresolved> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        request.headers_mut().insert(header::ACCEPT, manifest::ACCEPT);
        if let Some(authorization) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization);
        }
        let exchange = async { self.http.clone().ready().await?.call(request).await };
        exchange.await.map_err(|error| {
            tracing::warn!(
                scope = super::SCOPE,
                registry = self.name,
                error = &*error as &dyn std::error::Error,
                "no answer of a registry"
            );
            match error.downcast_ref() {
                // Whoever can push can push a manifest of any length.
                Some(zastava_authority::Error::TooLong { .. }) => {
                    self.refused("answered with a manifest that is too long")
                }
                _ => Unresolved::Silent(printable(&error.to_string(), REASON_LENGTH_MAX)),
            }
        })
    }

    fn refused(&self, what: &str) -> Unresolved {
        Unresolved::Refused(printable(&format!("the registry {} {what}", self.name), REASON_LENGTH_MAX))
    }

    fn unable(&self, what: &str) -> Unresolved {
        Unresolved::Unable(printable(&format!("the registry {} {what}", self.name), REASON_LENGTH_MAX))
    }
}

/// Whether the status says nothing of what was asked.
fn is_silence(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}
