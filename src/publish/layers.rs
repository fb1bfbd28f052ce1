//! The layers API of Lambda in one region: five calls, their answers checked, their errors told apart.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::Builder;
use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Architecture, LayerVersionContentInput, LayerVersionContentOutput, Runtime};
use miette::Diagnostic;
use thiserror::Error;

use crate::aws::chain;

use super::names::{Grantee, LayerName, LayerVersionArn};
use super::pace::Pace;
use super::parcel::{Content, Parcel};
use super::policy::Policy;

/// A call of the layers API; also the permission it needs, `lambda:CALL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    ListLayerVersions,
    GetLayerVersion,
    PublishLayerVersion,
    GetLayerVersionPolicy,
    AddLayerVersionPermission,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why a call brought nothing.
#[derive(Clone, Debug, Error, Diagnostic)]
pub enum CallError {
    /// Lambda answered, and not with what was asked for.
    #[error("{call}: {message} ({code}, HTTP {status})")]
    #[diagnostic(help("{}", way_out(*call, code)))]
    Refused { call: Call, status: u16, code: String, message: String },
    /// Some server answered, but not as Lambda does: another service's address, or a proxy on the way.
    #[error("{call}: HTTP {status}, and not in Lambda's words")]
    #[diagnostic(help("is --endpoint-url (or AWS_ENDPOINT_URL) the address of Lambda's API?"))]
    Foreign { call: Call, status: u16 },
    /// It may have been done all the same.
    #[error("{call}: no answer: {reason}")]
    #[diagnostic(help(
        "check the network, the region's name and AWS_ENDPOINT_URL; then run the same command again: what is published \
         is not published twice"
    ))]
    Unanswered { call: Call, reason: String },
    /// Nothing left this machine.
    #[error("{call}: not sent: {reason}")]
    #[diagnostic(help("check the AWS configuration: `aws sts get-caller-identity` shows whether it works"))]
    Unsent { call: Call, reason: String },
    #[error("{call}: the answer has no usable {what}")]
    #[diagnostic(help("is --endpoint-url (or AWS_ENDPOINT_URL) the address of Lambda's API?"))]
    Malformed { call: Call, what: &'static str },
}

impl CallError {
    /// Whether the same call may succeed later: throttled, failed inside Lambda, or lost on the way.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            CallError::Refused { status, .. } => *status == 429 || *status >= 500,
            // A success in unreadable words may be a success; a proxy's own 502 says nothing of Lambda.
            CallError::Foreign { status, .. } => *status == 429 || !(300..500).contains(status),
            CallError::Unanswered { .. } => true,
            CallError::Unsent { .. } | CallError::Malformed { .. } => false,
        }
    }

    /// Lambda's own "there is none"; a bare 404 says only that some server knows no such address.
    fn is_not_found(&self) -> bool {
        matches!(self, CallError::Refused { status: 404, code, .. } if code == "ResourceNotFoundException")
    }

    fn from_sdk<E>(call: Call, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        match &error {
            SdkError::ServiceError(refused) => {
                let status = refused.raw().status().as_u16();
                match refused.err().code() {
                    Some(code) => CallError::Refused {
                        call,
                        status,
                        code: code.to_owned(),
                        message: refused.err().message().unwrap_or("no message").to_owned(),
                    },
                    None => CallError::Foreign { call, status },
                }
            }
            SdkError::TimeoutError(_) => CallError::Unanswered { call, reason: "it took too long".to_owned() },
            SdkError::ResponseError(_) => CallError::Unanswered { call, reason: chain(&error) },
            SdkError::DispatchFailure(failure)
                if failure.is_io() || failure.is_timeout() || failure.as_other().is_some() =>
            {
                CallError::Unanswered { call, reason: chain(&error) }
            }
            _ => CallError::Unsent { call, reason: chain(&error) },
        }
    }
}

/// What a person can do about a refusal, by Lambda's code for it.
fn way_out(call: Call, code: &str) -> String {
    match code {
        "AccessDeniedException" | "AccessDenied" => format!(
            "the credentials need the permission lambda:{call}; publishing needs ListLayerVersions, GetLayerVersion, \
             PublishLayerVersion and, to share, GetLayerVersionPolicy and AddLayerVersionPermission"
        ),
        "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidSignatureException" => {
            "the region does not know these credentials: an opt-in region must be enabled for the account, and the \
             partitions of China and GovCloud have accounts of their own"
                .to_owned()
        }
        "ExpiredTokenException" | "ExpiredToken" => "the credentials have expired: sign in again".to_owned(),
        "CodeStorageExceededException" => {
            "the region's storage for functions and layers is full: delete versions nobody uses, or ask AWS for more"
                .to_owned()
        }
        "TooManyRequestsException" => "Lambda is throttling this account: run the same command again later".to_owned(),
        _ => "run the same command again when it is mended: what is published is not published twice".to_owned(),
    }
}

/// A layer version as Lambda has it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub arn: LayerVersionArn,
    pub version: u64,
    /// Base64, as reported.
    pub sha256: String,
    /// Bytes, as reported.
    pub size: u64,
}

impl Stored {
    /// Whether it is the very zip of this parcel.
    pub fn holds(&self, parcel: &Parcel) -> bool {
        self.sha256 == parcel.sha256.base64() && self.size == parcel.content.size()
    }

    fn read(
        call: Call,
        arn: Option<&str>,
        version: i64,
        content: Option<&LayerVersionContentOutput>,
    ) -> Result<Self, CallError> {
        let malformed = |what| CallError::Malformed { call, what };
        let content = content.ok_or_else(|| malformed("Content"))?;
        Ok(Self {
            arn: arn.and_then(|arn| arn.parse().ok()).ok_or_else(|| malformed("LayerVersionArn"))?,
            version: u64::try_from(version).ok().filter(|version| *version > 0).ok_or_else(|| malformed("Version"))?,
            sha256: content.code_sha256().ok_or_else(|| malformed("CodeSha256"))?.to_owned(),
            size: u64::try_from(content.code_size()).map_err(|_| malformed("CodeSize"))?,
        })
    }
}

/// The layers of one account in one region.
pub(super) struct Layers {
    client: Client,
    pace: Pace,
}

impl Layers {
    pub fn new(client: Client, pace: Pace) -> Self {
        Self { client, pace }
    }

    /// The newest version; none where the layer is unknown.
    pub async fn latest(&self, layer: &LayerName) -> Result<Option<Stored>, CallError> {
        let call = Call::ListLayerVersions;
        let listed = self.client.list_layer_versions().layer_name(layer.as_str()).send().await;
        let listed = match listed.map_err(|error| CallError::from_sdk(call, error)) {
            Ok(listed) => listed,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        // Lambda lists the newest first; the largest number of the first page holds for servers that do not, too.
        match listed.layer_versions().iter().map(|listed| listed.version()).max() {
            Some(version) => self.version(layer, version).await.map(Some),
            None => Ok(None),
        }
    }

    /// One version, read anew: the list has no digests.
    async fn version(&self, layer: &LayerName, version: i64) -> Result<Stored, CallError> {
        let call = Call::GetLayerVersion;
        let request = self.client.get_layer_version().layer_name(layer.as_str()).version_number(version);
        let got = request.send().await.map_err(|error| CallError::from_sdk(call, error))?;
        Stored::read(call, got.layer_version_arn(), got.version(), got.content())
    }

    /// Reads back what PublishLayerVersion said it made.
    pub async fn read_back(&self, layer: &LayerName, made: &Stored) -> Result<Stored, CallError> {
        let malformed = CallError::Malformed { call: Call::PublishLayerVersion, what: "Version" };
        self.version(layer, i64::try_from(made.version).map_err(|_| malformed)?).await
    }

    /// Makes a new version, always. Sent once: the SDK must not repeat it, because each repetition of a call whose
    /// answer was lost would be one more version.
    pub async fn publish(&self, parcel: &Parcel) -> Result<Stored, CallError> {
        let call = Call::PublishLayerVersion;
        let content = match &parcel.content {
            Content::Direct(bytes) => LayerVersionContentInput::builder().zip_file(Blob::new(bytes.to_vec())).build(),
        };
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let runtimes = parcel.runtimes.iter().map(|runtime| Runtime::from(runtime.as_str())).collect();
        let architectures = parcel.architectures.iter().map(|arch| Architecture::from(arch.name())).collect();
        let once = Builder::new()
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(self.pace.upload).build());
        let request = self
            .client
            .publish_layer_version()
            .layer_name(parcel.layer.as_str())
            .set_description(some(&parcel.description))
            .set_license_info(some(&parcel.license))
            .set_compatible_runtimes(Some(runtimes))
            .set_compatible_architectures(Some(architectures))
            .content(content);
        let made = request.customize().config_override(once).send().await;
        let made = made.map_err(|error| CallError::from_sdk(call, error))?;
        Stored::read(call, made.layer_version_arn(), made.version(), made.content())
    }

    /// Who may use a version besides its account.
    pub async fn policy(&self, layer: &LayerName, version: u64) -> Result<Policy, CallError> {
        let call = Call::GetLayerVersionPolicy;
        let request = self.client.get_layer_version_policy().layer_name(layer.as_str());
        let request = request.version_number(version.cast_signed());
        match request.send().await.map_err(|error| CallError::from_sdk(call, error)) {
            Ok(got) => serde_json::from_str(got.policy().unwrap_or_default())
                .map_err(|_| CallError::Malformed { call, what: "Policy" }),
            Err(error) if error.is_not_found() => Ok(Policy::default()),
            Err(error) => Err(error),
        }
    }

    /// Lets someone use a version. False where a statement of that name is there already.
    pub async fn grant(&self, layer: &LayerName, version: u64, grantee: &Grantee) -> Result<bool, CallError> {
        let call = Call::AddLayerVersionPermission;
        let request = self
            .client
            .add_layer_version_permission()
            .layer_name(layer.as_str())
            .version_number(version.cast_signed())
            .statement_id(grantee.statement())
            .action("lambda:GetLayerVersion")
            .principal(grantee.principal())
            .set_organization_id(grantee.organization().map(str::to_owned));
        match request.send().await.map_err(|error| CallError::from_sdk(call, error)) {
            Ok(_) => Ok(true),
            Err(CallError::Refused { status: 409, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
