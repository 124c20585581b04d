//! A running webhook, asked as an API server asks it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, Uri, header};
use tower::Service as _;
use zastava_authority::{TransportOptions, https};
use zastava_core::http_service::HttpService;

use super::super::request::Question;
use crate::AnyError;

/// Where the chart mounts the CA bundle of the serving certificate.
const CA_PATH: &str = "/var/run/secrets/zastava-webhook/ca.crt";
/// The characters that are shown of an answer that is no AdmissionReview.
const TEXT_LENGTH_MAX: usize = 200;

/// Which webhook is asked, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct WebhookArguments {
    /// Where a running webhook takes reviews
    #[arg(
        long = "webhook",
        visible_alias = "url",
        value_name = "URL",
        default_value = "https://zastava-webhook.stellaops.svc/validate"
    )]
    pub(crate) url: Uri,
    /// PEM file of the authorities that the webhook's certificate is checked against
    /// [default: /var/run/secrets/zastava-webhook/ca.crt if it exists, otherwise the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file of a client certificate, for a webhook that asks for one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// PEM file of the client certificate's key
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

/// A connection to a webhook, opened when it is needed.
#[derive(Debug)]
pub(crate) struct Webhook {
    http: HttpService,
    url: String,
}

impl Webhook {
    pub(crate) fn new(arguments: &WebhookArguments, timeout: Duration) -> Result<Self, AnyError> {
        let WebhookArguments { url, ca, client_certificate, client_key } = arguments.clone();
        let mounted = || Some(PathBuf::from(CA_PATH)).filter(|path| Path::exists(path));
        let http = https(&TransportOptions {
            ca_bundle_path: ca.or_else(mounted),
            client_identity: client_certificate.zip(client_key),
            request_timeout: timeout,
            ..TransportOptions::default()
        })?;
        // API servers say in this way how long they wait.
        let separator = if url.query().is_some() { '&' } else { '?' };
        Ok(Self { http, url: format!("{url}{separator}timeout={}s", timeout.as_secs()) })
    }

    /// The body of the answer.
    pub(super) async fn send(&self, question: &Question) -> Result<Bytes, AnyError> {
        let request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(question.body.clone()))?;
        let answer = self.http.clone().call(request).await?;
        if !answer.status().is_success() {
            let text = String::from_utf8_lossy(answer.body());
            let text: String =
                text.trim().chars().take(TEXT_LENGTH_MAX).flat_map(char::escape_debug).collect();
            return Err(format!("it answered {}: {text}", answer.status()).into());
        }
        Ok(answer.into_body())
    }
}
