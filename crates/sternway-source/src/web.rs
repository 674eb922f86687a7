//! Requests to a service that hosts repositories.
//!
//! Credentials go to the service and nowhere else. An answer counts when it says success and has
//! arrived in full. Addresses are shown without credentials and queries, which may hold tokens.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use jiff::Timestamp;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, retry};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::files::{FilesError, LONGEST, choose_cryptography};

/// How long a connection may take, how long an answer may pause, and how long it may take in all.
const CONNECTING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(30);
const ANSWERING: Duration = Duration::from_secs(300);

/// How often a request is repeated that failed for a reason that may pass.
const RETRIES: u32 = 2;

/// How long to wait before the first repetition, at least; four times as long before the next.
const PATIENCE: Duration = Duration::from_millis(150);

/// How many seconds a service may ask for patience.
const YEAR: i64 = 366 * 24 * 3600;

/// How much of what a service says about a failure is shown.
const MESSAGE: usize = 200;

/// Who asks.
pub(crate) enum Identity {
    /// Anybody.
    Anonymous,
    /// Whoever holds the token.
    Bearer(String),
    /// A user with a password or a token.
    Basic(String, String),
    /// Whoever holds the token, in the words of GitLab.
    PrivateToken(String),
}

/// A service.
pub(crate) struct Web {
    client: Client,
    base: Url,
    identity: Identity,
}

/// A complete and successful answer.
pub(crate) struct Answer {
    /// What answered, as it may be shown.
    pub url: String,
    /// What answered, where it was led elsewhere too.
    #[cfg_attr(not(feature = "git"), expect(dead_code, reason = "folders stay where they are"))]
    pub place: Url,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// A file, as GitHub and GitLab put it into JSON.
#[derive(Deserialize)]
struct Encoded {
    content: String,
    encoding: String,
    size: u64,
}

impl Web {
    /// The service at `base`. `verify` says whether its certificate has to be good.
    pub fn new(base: Url, identity: Identity, verify: bool) -> Result<Self, FilesError> {
        choose_cryptography();
        let redirect = match identity {
            // The client takes back the usual headers when it is led elsewhere, but not this one.
            Identity::PrivateToken(_) => Policy::custom(stay),
            _ => Policy::default(),
        };
        let client = Client::builder()
            .user_agent(concat!("sternway/", env!("CARGO_PKG_VERSION")))
            .tls_danger_accept_invalid_certs(!verify)
            .connect_timeout(CONNECTING)
            .read_timeout(PAUSE)
            .timeout(answering())
            .redirect(redirect)
            .referer(false)
            .retry(retry::never())
            .build()
            .map_err(|cause| unanswered(&base, cause))?;
        Ok(Self { client, base, identity })
    }

    /// Whether requests are made in nobody's name.
    pub fn is_anonymous(&self) -> bool {
        matches!(self.identity, Identity::Anonymous)
    }

    /// An address of the service; each part is escaped.
    pub fn url<'p>(&self, parts: impl IntoIterator<Item = &'p str>) -> Url {
        let mut url = self.base.clone();
        // Fails for addresses without a path, such as `mailto:`, which cannot be asked anyway.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    /// Asks for what is at `url`.
    pub async fn get(&self, url: Url) -> Result<Answer, FilesError> {
        let request = self.client.get(url.clone());
        self.send(request.header(header::ACCEPT, "application/json"), url, LONGEST).await
    }

    /// Asks for what is at `url`, in the words of git.
    #[cfg(feature = "git")]
    pub async fn git(
        &self,
        url: Url,
        body: Option<Vec<u8>>,
        longest: usize,
    ) -> Result<Answer, FilesError> {
        let request = match body {
            None => self.client.get(url.clone()),
            Some(body) => self
                .client
                .post(url.clone())
                .header(header::CONTENT_TYPE, "application/x-git-upload-pack-request")
                .header(header::ACCEPT, "application/x-git-upload-pack-result")
                .body(body),
        };
        self.send(request.header("git-protocol", "version=2"), url, longest).await
    }

    async fn send(
        &self,
        mut request: RequestBuilder,
        url: Url,
        longest: usize,
    ) -> Result<Answer, FilesError> {
        if url.origin() == self.base.origin() {
            request = match &self.identity {
                Identity::Anonymous => request,
                Identity::Bearer(token) => request.bearer_auth(token),
                Identity::Basic(user, password) => request.basic_auth(user, Some(password)),
                Identity::PrivateToken(token) => {
                    let mut value = HeaderValue::from_str(token).map_err(|cause| {
                        FilesError::Unanswered { url: shown(&url), source: cause.into() }
                    })?;
                    value.set_sensitive(true);
                    request.header("PRIVATE-TOKEN", value)
                }
            };
        }
        let mut response = sent(request, &url).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            let body = read(&mut response, &url, LONGEST).await.unwrap_or_default();
            if let Some(until) = limited(status, &headers) {
                return Err(FilesError::Limited { url: shown(&url), until });
            }
            let (url, code, status) = (shown(&url), status.as_u16(), status.to_string());
            return Err(FilesError::Status { url, code, status, message: message(&body) });
        }
        let place = response.url().clone();
        let body = read(&mut response, &url, longest).await?;
        Ok(Answer { url: shown(&url), place, headers, body })
    }
}

/// Sends a request, and sends it again where the failure may pass: only requests that change nothing are made.
async fn sent(request: RequestBuilder, url: &Url) -> Result<Response, FilesError> {
    let mut pause = PATIENCE;
    for _ in 0..RETRIES {
        let Some(again) = request.try_clone() else { break };
        match again.send().await {
            Ok(response) if !may_pass(response.status()) => return Ok(response),
            Err(cause) if !(cause.is_connect() || cause.is_request() && !cause.is_timeout()) => {
                return Err(unanswered(url, cause));
            }
            _ => {}
        }
        // Not all who were refused at one moment come again at one moment.
        let jitter = RandomState::new().build_hasher().finish() % 1000;
        tokio::time::sleep(pause.mul_f64(1.0 + jitter as f64 / 1000.0)).await;
        pause *= 4;
    }
    request.send().await.map_err(|cause| unanswered(url, cause))
}

fn may_pass(status: StatusCode) -> bool {
    let passing =
        [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
    passing.contains(&status)
}

/// How long an answer may take in all: `STERNWAY_HTTP_TIMEOUT` in seconds, where it is a number.
pub(crate) fn answering() -> Duration {
    let said = std::env::var("STERNWAY_HTTP_TIMEOUT").ok().and_then(|it| it.parse().ok());
    said.map_or(ANSWERING, Duration::from_secs)
}

/// The body of a response, which may say less about its length than is so.
async fn read(response: &mut Response, url: &Url, longest: usize) -> Result<Vec<u8>, FilesError> {
    let mut body = Vec::new();
    while let Some(more) = response.chunk().await.map_err(|cause| unanswered(url, cause))? {
        if body.len() + more.len() > longest {
            let what = format!("more than {} MB", longest >> 20);
            return Err(FilesError::Unexpected { url: shown(url), what });
        }
        body.extend(more);
    }
    Ok(body)
}

impl Answer {
    /// What the body holds.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, FilesError> {
        // The error of the parser may repeat what it met, and is left out.
        serde_json::from_slice(&self.body).map_err(|_| {
            self.unexpected(
                "something else than JSON \
            of the form expected",
            )
        })
    }

    /// The content of a file in the form that GitHub and GitLab share.
    pub fn base64(&self) -> Result<Vec<u8>, FilesError> {
        let file: Encoded = self.json()?;
        let text: String = file.content.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let bytes = (file.encoding == "base64").then(|| STANDARD.decode(text));
        let Some(Ok(bytes)) = bytes else { return Err(self.unexpected("a body not in base64")) };
        if bytes.len() as u64 != file.size {
            return Err(self.unexpected("a body of another size than it says"));
        }
        Ok(bytes)
    }

    /// The error for an answer that is not what was asked for.
    pub fn unexpected(&self, what: &str) -> FilesError {
        FilesError::Unexpected { url: self.url.clone(), what: what.to_owned() }
    }
}

/// The base URL in the value of a variable, or else the usual one.
pub(crate) fn base(
    variable: &'static str,
    value: Option<&str>,
    usual: &str,
) -> Result<Url, FilesError> {
    let url = Url::parse(value.unwrap_or(usual));
    match url {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ if value.is_none() => Err(FilesError::NoHost),
        _ => Err(FilesError::BaseUrl { variable }),
    }
}

/// When a service asks again, if this is its word that somebody has asked too often: GitHub says when in
/// seconds since 1970, all others in seconds from now (RFC 9110 section 10.2.3).
fn limited(status: StatusCode, headers: &HeaderMap) -> Option<Option<String>> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<i64>().ok();
    let used_up = number("x-ratelimit-remaining") == Some(0);
    let after = number("retry-after").filter(|seconds| (0..=YEAR).contains(seconds));
    if status != StatusCode::TOO_MANY_REQUESTS
        && !(status == StatusCode::FORBIDDEN && (used_up || after.is_some()))
    {
        return None;
    }
    let after =
        after.and_then(|it| Timestamp::now().checked_add(jiff::SignedDuration::from_secs(it)).ok());
    let until = after.or_else(|| Timestamp::from_second(number("x-ratelimit-reset")?).ok());
    Some(until.map(|it| it.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()))
}

/// The address without credentials, query and fragment.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

fn unanswered(url: &Url, cause: reqwest::Error) -> FilesError {
    FilesError::Unanswered { url: shown(url), source: cause.without_url().into() }
}

/// Follows a redirection that stays with the service, up to the usual number.
fn stay(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let first = attempt.previous().first().map(Url::origin);
    if attempt.previous().len() > 10 || first.is_none_or(|first| first != attempt.url().origin()) {
        attempt.stop()
    } else {
        attempt.follow()
    }
}

/// What a service says about a failure, if it says it in JSON: as `message`, as `error`, or as
/// `message` in `error`.
fn message(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let said = [body.pointer("/message"), body.pointer("/error/message"), body.pointer("/error")];
    let text = said.into_iter().flatten().find_map(Value::as_str)?;
    Some(text.chars().filter(|c| !c.is_control()).take(MESSAGE).collect())
}
