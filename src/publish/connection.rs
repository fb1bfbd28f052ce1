//! The way to AWS: the usual configuration (environment, profile, SSO, OIDC, container, instance), TLS, one runtime.

use std::future::Future;
use std::sync::Mutex;

use aws_config::identity::IdentityCache;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::{Builder, SharedHttpClient};
use tokio::runtime::{self, Runtime};

use crate::aws::{RegionSource, chain, configured_region, http_client};

use super::PublishError;
use super::names::Region;
use super::pace::Pace;

/// What the user says about the way to AWS; the rest comes from the AWS configuration.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Empty: the region of the AWS configuration.
    pub regions: Vec<Region>,
    /// The profile whose credentials are used, and no others; else the usual chain, environment first.
    pub profile: Option<String>,
    /// Where the Lambda API answers instead of AWS, `http://…` or `https://…`.
    pub endpoint: Option<String>,
}

/// Regions in the order they were named, at least one, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regions {
    list: Vec<Region>,
    source: RegionSource,
}

impl Regions {
    /// The regions asked for; else the one configured; else an error: a default of ours would publish to where
    /// nobody looks.
    pub fn choose(asked: &[Region], configured: Option<(String, RegionSource)>) -> Result<Self, PublishError> {
        let mut list: Vec<Region> = Vec::new();
        for region in asked {
            if !list.contains(region) {
                list.push(region.clone());
            }
        }
        if !list.is_empty() {
            return Ok(Self { list, source: RegionSource::Asked });
        }
        let (name, source) = configured.ok_or(PublishError::NoRegion)?;
        Ok(Self { list: vec![name.parse()?], source })
    }

    pub fn list(&self) -> &[Region] {
        &self.list
    }

    pub fn source(&self) -> &RegionSource {
        &self.source
    }
}

/// An open way to AWS. Nothing has been sent yet.
pub struct Connection {
    runtime: Runtime,
    config: SdkConfig,
    http: SharedHttpClient,
    regions: Regions,
    pace: Pace,
}

impl Connection {
    /// Reads the AWS configuration and settles the regions; makes no call.
    pub fn open(route: &Route) -> Result<Self, PublishError> {
        if let Some(endpoint) = &route.endpoint {
            let host = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
            if host.is_none_or(|host| host.is_empty() || host.contains(char::is_whitespace)) {
                return Err(PublishError::Endpoint { text: endpoint.clone() });
            }
        }
        let runtime = start()?;
        let http = http_client();
        let regions = match &route.regions[..] {
            [] => Regions::choose(&[], runtime.block_on(configured_region(route.profile.as_deref())))?,
            asked => Regions::choose(asked, None)?,
        };
        let region = sdk_region(&regions.list[0]);
        let behavior = BehaviorVersion::v2026_01_12();
        let mut loader = aws_config::defaults(behavior).http_client(http.clone()).region(region.clone());
        if let Some(profile) = &route.profile {
            // A profile named outright is the only source: the default chain would prefer keys in the environment, and
            // take an instance's role where the profile is mistyped, and so publish into another account.
            let settings = ProviderConfig::default()
                .with_behavior_version(Some(behavior))
                .with_http_client(http.clone())
                .with_region(Some(region));
            let source = ProfileFileCredentialsProvider::builder().configure(&settings).profile_name(profile).build();
            loader = loader.profile_name(profile).credentials_provider(source);
        }
        if let Some(endpoint) = &route.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = runtime.block_on(loader.load());
        Ok(Self { runtime, config, http, regions, pace: Pace::default() })
    }

    /// A way over a given configuration, for callers that bring their own.
    pub fn over(config: SdkConfig, regions: Regions, pace: Pace) -> Result<Self, PublishError> {
        Ok(Self { runtime: start()?, config, http: http_client(), regions, pace })
    }

    pub fn regions(&self) -> &Regions {
        &self.regions
    }

    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Asks for credentials, so that their absence is one error and not one for each region.
    pub(super) async fn sign_in(&self) -> Result<Session, PublishError> {
        let no_credentials = |reason| PublishError::NoCredentials { reason };
        let source =
            self.config.credentials_provider().ok_or_else(|| no_credentials("none are configured".to_owned()))?;
        let first = source.provide_credentials().await.map_err(|error| no_credentials(chain(&error)))?;
        let credentials = Once { first: Mutex::new(Some(first)), source };
        let config = self.config.to_builder().credentials_provider(SharedCredentialsProvider::new(credentials));
        let config = config.identity_cache(IdentityCache::lazy().build()).http_client(self.http.clone());
        Ok(Session { config: config.build(), pace: self.pace })
    }
}

/// A connection with credentials, which all its clients share.
pub(super) struct Session {
    config: SdkConfig,
    pace: Pace,
}

impl Session {
    /// A client whose every call is retried by the SDK. Each region has its own budget of retries: one that is down
    /// must not use up the patience of the others.
    pub fn client(&self, region: &Region) -> Client {
        let retries = RetryConfig::standard()
            .with_max_attempts(self.pace.attempts)
            .with_initial_backoff(self.pace.first_wait)
            .with_max_backoff(self.pace.longest_wait);
        let limits = TimeoutConfig::builder().operation_attempt_timeout(self.pace.answer).build();
        let config = Builder::from(&self.config)
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(sdk_region(region))
            .retry_config(retries)
            .retry_partition(RetryPartition::custom(region.to_string()).build())
            .timeout_config(limits)
            .build();
        Client::from_conf(config)
    }
}

/// Hands out the credentials that signing in has got before it asks their source again: a source may be a program that
/// asks a person for a code.
#[derive(Debug)]
struct Once {
    first: Mutex<Option<Credentials>>,
    source: SharedCredentialsProvider,
}

impl ProvideCredentials for Once {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self.first.lock().ok().and_then(|mut first| first.take()) {
            Some(first) => future::ProvideCredentials::ready(Ok(first)),
            None => self.source.provide_credentials(),
        }
    }
}

fn sdk_region(region: &Region) -> aws_config::Region {
    aws_config::Region::new(region.to_string())
}

fn start() -> Result<Runtime, PublishError> {
    runtime::Builder::new_current_thread().enable_all().build().map_err(PublishError::Runtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_named_or_configured_and_never_guessed() {
        let asked: Vec<Region> =
            ["eu-west-1", "us-east-1", "eu-west-1"].iter().map(|name| name.parse().unwrap()).collect();
        let regions = Regions::choose(&asked, None).unwrap();
        assert_eq!(regions.list(), &asked[..2], "each once, in order");
        let environment = RegionSource::Environment("AWS_REGION");
        let regions = Regions::choose(&[], Some(("eu-west-3".to_owned(), environment.clone()))).unwrap();
        assert_eq!(regions.source(), &environment);
        assert!(matches!(Regions::choose(&[], None), Err(PublishError::NoRegion)));
        let wrong = Regions::choose(&[], Some(("europe".to_owned(), RegionSource::Profile)));
        assert!(matches!(wrong, Err(PublishError::Region(_))));
    }

    #[test]
    fn an_endpoint_is_an_address() {
        for text in ["localhost:4566", "ftp://x", "http://", "https://a b"] {
            let route = Route { endpoint: Some(text.to_owned()), ..Route::default() };
            assert!(matches!(Connection::open(&route), Err(PublishError::Endpoint { .. })), "{text}");
        }
    }
}
