//! Three calls of S3, with time limits, their answers told apart: what is there, bring it, take it.

use std::error::Error;
use std::future::Future;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use tokio::runtime::{self, Runtime};
use tokio::time::{sleep, timeout};

use crate::aws::{chain, configured_region, http_client};
use crate::digest::Digest;
use crate::process;

use super::Location;
use super::patience::Patience;

/// Where the digest of an object's bytes stands, as S3's `x-amz-meta-sha256`.
const SHA256: &str = "sha256";

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("no answer ({0})")]
    Unreachable(String),
    #[error("no AWS credentials are to be had ({0})")]
    NoCredentials(String),
    #[error("it is too slow")]
    Slow,
    #[error("the bucket is in {}: say so with AWS_REGION", .0.as_deref().unwrap_or("another region"))]
    OtherRegion(Option<String>),
    #[error("{message} ({code}, HTTP {status})")]
    Refused { status: u16, code: String, message: String },
    #[error("interrupted")]
    Interrupted,
    #[error("this machine: {0}")]
    Here(#[from] io::Error),
}

/// What was brought.
pub(super) struct Brought {
    /// What the sender said the bytes' digest is; none if it said nothing that is one.
    pub promised: Option<Digest>,
    /// What it is.
    pub found: Digest,
    pub size: u64,
}

/// Whether an object that stands there may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// Whoever came first stays: a key has one content.
    New,
    /// What stands there is damaged.
    Replace,
}

/// A bucket that is spoken to from several threads at once.
pub(super) struct Bucket {
    runtime: Runtime,
    client: Client,
    location: Location,
    patience: Patience,
}

impl Bucket {
    /// Reads the AWS configuration; makes no call.
    pub fn open(location: Location, patience: Patience) -> io::Result<Self> {
        let runtime = runtime()?;
        let config = runtime.block_on(async {
            // Other servers than AWS's do not care for the region's name, but the signature needs one.
            let region = configured_region(None).await.map_or_else(|| "us-east-1".to_owned(), |(name, _)| name);
            let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http_client());
            loader.region(Region::new(region)).load().await
        });
        let elsewhere = std::env::var_os("AWS_ENDPOINT_URL_S3").is_some_and(|value| !value.is_empty());
        let client = client(&config, patience, elsewhere);
        Ok(Self { runtime, client, location, patience })
    }

    /// Over a given configuration.
    pub fn over(config: &SdkConfig, location: Location, patience: Patience) -> io::Result<Self> {
        let config = config.to_builder().http_client(http_client()).build();
        Ok(Self { runtime: runtime()?, client: client(&config, patience, false), location, patience })
    }

    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Whether there is such an object.
    pub fn holds(&self, name: &str) -> Result<bool, Trouble> {
        let call = self.client.head_object().bucket(self.location.bucket()).key(self.location.object(name)).send();
        match self.wait(call, self.patience.whole(0)) {
            Ok(_) => Ok(true),
            Err(Trouble::Refused { status: 404, .. }) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// Writes an object into the new file `into`; none if there is none. `begun` hears when bytes begin to come.
    pub fn get(&self, name: &str, into: &Path, begun: &dyn Fn()) -> Result<Option<Brought>, Trouble> {
        match self.get_once(name, into, begun) {
            // The SDK repeats calls, but not a body that broke off.
            Err(Trouble::Unreachable(_)) if self.patience.attempts > 1 => self.get_once(name, into, begun),
            other => other,
        }
    }

    fn get_once(&self, name: &str, into: &Path, begun: &dyn Fn()) -> Result<Option<Brought>, Trouble> {
        let call = self.client.get_object().bucket(self.location.bucket()).key(self.location.object(name)).send();
        let answer = match self.wait(call, self.patience.whole(0)) {
            Ok(answer) => answer,
            Err(Trouble::Refused { status: 404, code, .. }) if code == "NoSuchKey" => return Ok(None),
            Err(trouble) => return Err(trouble),
        };
        begun();
        let promised = answer.metadata().and_then(|all| all.get(SHA256)).and_then(|text| text.parse().ok());
        let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
        let limit = self.patience.whole(length.unwrap_or_default());
        let size = self.bounded(copy(answer.body, into), limit)?;
        if length.is_some_and(|length| length != size) {
            return Err(Trouble::Unreachable("the answer broke off".to_owned()));
        }
        Ok(Some(Brought { promised, found: Digest::of_file(into)?, size }))
    }

    /// Sends a file; it appears whole, with its digest, or not at all. False if another was there first.
    pub fn put(&self, name: &str, file: &Path, sha256: Digest, put: Put) -> Result<bool, Trouble> {
        let size = fs_err::metadata(file)?.len();
        let send = |condition: Option<&str>| {
            let body =
                self.runtime.block_on(ByteStream::from_path(file)).map_err(|error| Trouble::Here(error.into()))?;
            let call = self
                .client
                .put_object()
                .bucket(self.location.bucket())
                .key(self.location.object(name))
                .metadata(SHA256, sha256.to_string())
                .checksum_sha256(sha256.base64())
                .content_type("application/gzip")
                .set_if_none_match(condition.map(str::to_owned))
                .body(body)
                .send();
            self.wait(call, self.patience.whole(size))
        };
        let condition = match put {
            Put::New => Some("*"),
            Put::Replace => None,
        };
        match send(condition) {
            Ok(_) => Ok(true),
            // Another came first, or is at it this very moment.
            Err(Trouble::Refused { status: 409 | 412, .. }) if put == Put::New => Ok(false),
            // A server that knows no conditions: the last one wins, and both have made the same thing.
            Err(Trouble::Refused { status: 501, .. }) if put == Put::New => send(None).map(|_| true),
            Err(trouble) => Err(trouble),
        }
    }

    fn wait<T, E>(
        &self,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        limit: Duration,
    ) -> Result<T, Trouble>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let region = self.client.config().region().map(Region::as_ref);
        self.bounded(async { call.await.map_err(|error| trouble(error, region)) }, limit)
    }

    /// Waits so long and no longer, and not after Ctrl-C.
    fn bounded<T>(&self, work: impl Future<Output = Result<T, Trouble>>, limit: Duration) -> Result<T, Trouble> {
        let interruption = async {
            while !process::interrupted() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                answer = timeout(limit, work) => answer.unwrap_or(Err(Trouble::Slow)),
                () = interruption => Err(Trouble::Interrupted),
            }
        })
    }
}

fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

/// `elsewhere`: another server than AWS's answers, whatever the configuration says.
fn client(config: &SdkConfig, patience: Patience, elsewhere: bool) -> Client {
    let limits = TimeoutConfig::builder().connect_timeout(patience.connect).read_timeout(patience.answer).build();
    let retries = RetryConfig::standard()
        .with_max_attempts(patience.attempts)
        .with_initial_backoff(patience.first_wait)
        .with_max_backoff(patience.first_wait * 8);
    let elsewhere = elsewhere || config.endpoint_url().is_some();
    let config = Builder::from(config)
        .retry_config(retries)
        .timeout_config(limits)
        // Bucket names in host names need DNS of their own, which servers other than AWS's seldom have.
        .force_path_style(elsewhere)
        // Many such servers do not know the SDK's newer checksums; each call here brings its own sha256.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Client::from_conf(config)
}

async fn copy(mut body: ByteStream, into: &Path) -> Result<u64, Trouble> {
    // Written as it comes, in this thread: a piece is small, and nobody else waits for it.
    let mut file = fs_err::File::create(into)?;
    let mut size = 0;
    while let Some(piece) = body.try_next().await.map_err(|error| Trouble::Unreachable(chain(&error)))? {
        file.write_all(&piece)?;
        size += piece.len() as u64;
    }
    Ok(size)
}

/// `ours`: the region that the call was signed for.
fn trouble<E>(error: SdkError<E, HttpResponse>, ours: Option<&str>) -> Trouble
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match &error {
        SdkError::ServiceError(context) => {
            let status = context.raw().status().as_u16();
            let code = context.err().code().unwrap_or("no code");
            let region = context.raw().headers().get("x-amz-bucket-region");
            // S3 redirects, or refuses what was signed for another region; what answers HEAD has no body and so no code.
            let elsewhere = status == 301
                || code == "AuthorizationHeaderMalformed"
                || matches!(status, 400 | 403) && region.is_some_and(|region| Some(region) != ours);
            if elsewhere {
                return Trouble::OtherRegion(region.map(str::to_owned));
            }
            let message = context.err().message().unwrap_or("refused").to_owned();
            Trouble::Refused { status, code: code.to_owned(), message }
        }
        SdkError::TimeoutError(_) => Trouble::Slow,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Trouble::Slow,
        _ => match no_credentials(&error) {
            Some(reason) => Trouble::NoCredentials(reason),
            None => Trouble::Unreachable(chain(&error)),
        },
    }
}

/// The reason in one line, if that is what is wrong; the SDK goes on to list each source that it asked.
fn no_credentials(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = error;
    while !cause.is::<CredentialsError>() {
        cause = cause.source()?;
    }
    let text = chain(cause);
    Some(text.lines().next().unwrap_or_default().trim_end_matches(" Attempted:").trim_end_matches('.').to_owned())
}
