//! Sends audited layers into AWS regions, all regions at once, and publishes nothing twice.

use std::sync::Arc;

use miette::Diagnostic;
use serde::{Serialize, Serializer};
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

mod connection;
mod layers;
mod names;
mod pace;
mod parcel;
mod policy;
mod worker;

pub use crate::aws::RegionSource;
pub use connection::{Connection, Regions, Route};
pub use layers::{Call, CallError};
pub use names::{Grantee, LayerName, LayerVersionArn, NameError, Region};
pub use pace::Pace;
pub use parcel::{DIRECT_UPLOAD, Label, Overrides, Parcel, Refusal, Shipment};
pub use worker::DeliveryError;

use crate::digest::Digest;
use crate::progress::{Event, Reporter};
use layers::Layers;
use worker::{UPLOAD_MEMORY, Worker};

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    Publish,
    /// Only calls that read.
    DryRun,
}

/// What became of one layer in one region.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum Delivery {
    /// A new version, read back and found to be what was sent.
    Created(Published),
    /// The latest version was this zip already.
    Unchanged(Published),
    /// A dry run: it would be published.
    Planned(Planned),
    Failed(Failed),
}

/// A layer version that is in Lambda and is exactly the zip here.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Published {
    pub layer: LayerName,
    pub region: Region,
    pub arn: LayerVersionArn,
    pub version: u64,
    pub sha256: Digest,
    /// Bytes of the zip.
    pub size: u64,
    /// One for each grantee asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// What a dry run found to do.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Planned {
    pub layer: LayerName,
    pub region: Region,
    /// One above the latest. Lambda never reuses the number of a deleted version, so it may become a higher one.
    pub version: u64,
    pub sha256: Digest,
    /// Bytes of the zip.
    pub size: u64,
    /// One for each grantee asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// What could not be done; running again continues here.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Failed {
    pub layer: LayerName,
    pub region: Region,
    pub sha256: Digest,
    /// The version that stood when it stopped: not verified, or not shared with everyone asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<LayerVersionArn>,
    #[serde(serialize_with = "in_words")]
    #[schemars(with = "InWords")]
    pub error: DeliveryError,
}

/// Who may use a version, and what was done about it.
#[derive(Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Grant {
    /// `everyone`, `account N`, `organisation N`.
    pub to: String,
    pub permission: Permission,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    Granted,
    Unchanged,
    /// A dry run: it would be granted.
    Planned,
}

/// An error for programs to show: what happened and the way out.
#[derive(Serialize, schemars::JsonSchema)]
struct InWords {
    message: String,
    help: Option<String>,
}

fn in_words<S: Serializer>(error: &DeliveryError, serializer: S) -> Result<S::Ok, S::Error> {
    InWords { message: error.to_string(), help: error.help().map(|help| help.to_string()) }.serialize(serializer)
}

/// Why nothing was tried.
#[derive(Debug, Error, Diagnostic)]
pub enum PublishError {
    #[error("no region to publish to")]
    #[diagnostic(help("name one or more, `--region eu-west-1`, or set AWS_REGION, or `region` in the AWS profile"))]
    NoRegion,
    #[error("the AWS configuration names no usable region: {0}")]
    #[diagnostic(help("name one or more with --region, or mend AWS_REGION or the AWS profile"))]
    Region(#[from] NameError),
    #[error("`{text}` is not the address of an API")]
    #[diagnostic(help("write it with its scheme, like http://127.0.0.1:4566"))]
    Endpoint { text: String },
    #[error("no AWS credentials: {reason}")]
    #[diagnostic(help(
        "sign in (`aws sso login`), or name a profile with --profile or AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    ))]
    NoCredentials { reason: String },
    #[error("this machine gives no event loop for network calls: {0}")]
    Runtime(#[source] std::io::Error),
}

impl Delivery {
    pub fn layer(&self) -> &LayerName {
        match self {
            Delivery::Created(at) | Delivery::Unchanged(at) => &at.layer,
            Delivery::Planned(at) => &at.layer,
            Delivery::Failed(at) => &at.layer,
        }
    }

    pub fn region(&self) -> &Region {
        match self {
            Delivery::Created(at) | Delivery::Unchanged(at) => &at.region,
            Delivery::Planned(at) => &at.region,
            Delivery::Failed(at) => &at.region,
        }
    }

    /// In one line, for people who wait.
    fn event(&self) -> Event {
        let done = |verb, text| Event::Done { verb, text };
        match self {
            Delivery::Created(new) => done("Publish", format!("{}  {} version {}", new.region, new.layer, new.version)),
            Delivery::Unchanged(old) => done("Keep", format!("{}  {} version {}", old.region, old.layer, old.version)),
            Delivery::Planned(next) => {
                done("Plan", format!("{}  {} version {}", next.region, next.layer, next.version))
            }
            Delivery::Failed(failed) => {
                Event::Warning { text: format!("{}  {}: {}", failed.region, failed.layer, failed.error) }
            }
        }
    }
}

/// Delivers every parcel to every region of the connection: one worker a region, its parcels one after the other. One
/// region's failure stops no other. The answer has an entry for each, by region and then parcel, in their order.
pub fn publish(
    connection: &Connection,
    shipment: &Shipment,
    grantees: &[Grantee],
    intent: Intent,
    reporter: &dyn Reporter,
) -> Result<Vec<Delivery>, PublishError> {
    let regions = connection.regions().list();
    connection.block_on(async {
        let session = connection.sign_in().await?;
        let memory = Arc::new(Semaphore::new(UPLOAD_MEMORY as usize));
        let (results, mut arriving) = mpsc::unbounded_channel();
        let mut workers = JoinSet::new();
        for region in regions {
            let worker = Worker {
                region: region.clone(),
                layers: Layers::new(session.client(region), connection.pace()),
                grantees: grantees.into(),
                intent,
                pace: connection.pace(),
                memory: memory.clone(),
            };
            let (shipment, results) = (shipment.clone(), results.clone());
            workers.spawn(async move {
                for parcel in shipment.parcels() {
                    // The receiver outlives the workers; were it gone, nobody would be left to tell.
                    drop(results.send(worker.deliver(parcel).await));
                }
            });
        }
        drop(results);
        let mut deliveries = Vec::with_capacity(regions.len() * shipment.parcels().len());
        while let Some(delivery) = arriving.recv().await {
            reporter.event(delivery.event());
            deliveries.push(delivery);
        }
        // A worker that panicked would leave a region without a result: the panic goes on here instead.
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        deliveries.sort_by_key(|delivery: &Delivery| regions.iter().position(|region| region == delivery.region()));
        Ok(deliveries)
    })
}
