//! What every way to AWS has in common: the region of the configuration, TLS, and an error in one line.

use std::error::Error;
use std::fmt;

use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::ProfileFileRegionProvider;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

/// Who chose a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegionSource {
    /// The user, by name.
    Asked,
    /// This environment variable.
    Environment(&'static str),
    /// The AWS profile.
    Profile,
}

impl fmt::Display for RegionSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegionSource::Asked => f.write_str("as asked"),
            RegionSource::Environment(name) => f.write_str(name),
            RegionSource::Profile => f.write_str("the AWS profile"),
        }
    }
}

/// rustls over ring: the SDK's own default needs a C compiler and CMake to build, and only that default would read the
/// proxy variables by itself.
pub fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector =
            Connector::builder().proxy_config(ProxyConfig::from_env()).tls_provider(Provider::Rustls(CryptoMode::Ring));
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.build()
    })
}

/// The region of the AWS configuration. The instance metadata service is not asked: where a build machine stands says
/// nothing about where a layer belongs.
pub async fn configured_region(profile: Option<&str>) -> Option<(String, RegionSource)> {
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        if let Some(region) = std::env::var(name).ok().filter(|region| !region.is_empty()) {
            return Some((region, RegionSource::Environment(name)));
        }
    }
    let mut provider = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        provider = provider.profile_name(profile);
    }
    provider.build().region().await.map(|region| (region.to_string(), RegionSource::Profile))
}

/// An error and its causes in one line, none of them twice.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}
