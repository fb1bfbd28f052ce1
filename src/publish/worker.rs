//! One region: decides for each parcel whether to publish it, does it, and proves it.

use std::sync::Arc;

use miette::Diagnostic;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::layers::{CallError, Layers, Stored};
use super::names::{Grantee, LayerVersionArn, Region};
use super::pace::Pace;
use super::parcel::Parcel;
use super::{Delivery, Failed, Grant, Intent, Permission, Planned, Published};
use crate::digest::Digest;

/// Why a layer is not in a region, or not as it should be.
#[derive(Debug, Error, Diagnostic)]
pub enum DeliveryError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Call(#[from] CallError),
    #[error(
        "{arn} is not what was sent: CodeSha256 {stored_sha256} and {stored_size} bytes, not {} and {sent_size} bytes",
        sent_sha256.base64()
    )]
    #[diagnostic(help("do not use this version; delete it, and run the same command again"))]
    Mismatch {
        arn: LayerVersionArn,
        sent_sha256: Digest,
        sent_size: u64,
        /// Base64.
        stored_sha256: String,
        stored_size: u64,
    },
    #[error("{arn}: its policy does not give {to} the use of it")]
    #[diagnostic(help(
        "a statement `{}` of the policy says something else: remove it with `aws lambda remove-layer-version-permission`, \
         and run the same command again", to.statement()
    ))]
    NotGranted { arn: LayerVersionArn, to: Grantee },
}

/// What ended a delivery, and the version that stood by then.
struct Stopped {
    published: Option<LayerVersionArn>,
    error: DeliveryError,
}

impl<E: Into<DeliveryError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self { published: None, error: error.into() }
    }
}

pub(super) struct Worker {
    pub region: Region,
    pub layers: Layers,
    pub grantees: Arc<[Grantee]>,
    pub intent: Intent,
    pub pace: Pace,
    /// Shared by all regions: permits are MiB of memory for uploads.
    pub memory: Arc<Semaphore>,
}

/// MiB of memory that all uploads together may take; one upload may always go.
pub(super) const UPLOAD_MEMORY: u32 = 512;

impl Worker {
    /// Never fails as a whole: a failure is a result like any other.
    pub async fn deliver(&self, parcel: &Parcel) -> Delivery {
        match self.settle(parcel).await {
            Ok(delivery) => delivery,
            Err(stopped) => Delivery::Failed(Failed {
                layer: parcel.layer.clone(),
                region: self.region.clone(),
                sha256: parcel.sha256,
                published: stopped.published,
                error: stopped.error,
            }),
        }
    }

    async fn settle(&self, parcel: &Parcel) -> Result<Delivery, Stopped> {
        let latest = self.layers.latest(&parcel.layer).await?;
        if let Some(stored) = latest.as_ref().filter(|stored| stored.holds(parcel)) {
            return Ok(Delivery::Unchanged(self.open_to_grantees(parcel, stored).await?));
        }
        let before = latest.as_ref().map_or(0, |stored| stored.version);
        if self.intent == Intent::DryRun {
            return Ok(Delivery::Planned(Planned {
                layer: parcel.layer.clone(),
                region: self.region.clone(),
                version: before + 1,
                sha256: parcel.sha256,
                size: parcel.content.size(),
                grants: self.grantees.iter().map(|to| grant(to, Permission::Planned)).collect(),
            }));
        }
        let made = self.create(parcel, before).await?;
        let stored = self.layers.read_back(&parcel.layer, &made).await.map_err(|error| after(&made, error))?;
        if !stored.holds(parcel) {
            let error = DeliveryError::Mismatch {
                arn: stored.arn.clone(),
                sent_sha256: parcel.sha256,
                sent_size: parcel.content.size(),
                stored_sha256: stored.sha256,
                stored_size: stored.size,
            };
            return Err(after(&made, error));
        }
        Ok(Delivery::Created(self.open_to_grantees(parcel, &stored).await?))
    }

    /// Publishes until there is an answer. PublishLayerVersion is not idempotent: where its answer is lost the version
    /// may stand, so the latest one is read again before the next attempt.
    async fn create(&self, parcel: &Parcel, before: u64) -> Result<Stored, CallError> {
        // The bytes, their base64 inside the request, and copies of both on the way: about four times the zip.
        let mebibytes = u32::try_from(4 * parcel.content.size() / 1_048_576).unwrap_or(UPLOAD_MEMORY);
        // Acquiring fails only on a closed semaphore, and nobody closes this one.
        let _memory = self.memory.acquire_many((mebibytes + 1).min(UPLOAD_MEMORY)).await.ok();
        let mut attempt = 1;
        loop {
            let error = match self.layers.publish(parcel).await {
                Ok(made) => return Ok(made),
                Err(error) if !error.may_pass() => return Err(error),
                Err(error) => error,
            };
            // The wait comes before the look: Lambda may still be at work on what it has not answered.
            sleep(self.pace.wait(attempt)).await;
            let latest = self.layers.latest(&parcel.layer).await?;
            if let Some(made) = latest.filter(|stored| stored.version > before && stored.holds(parcel)) {
                return Ok(made);
            }
            if attempt >= self.pace.attempts {
                return Err(error);
            }
            attempt += 1;
        }
    }

    async fn open_to_grantees(&self, parcel: &Parcel, stored: &Stored) -> Result<Published, Stopped> {
        let mut grants = Vec::with_capacity(self.grantees.len());
        for to in &*self.grantees {
            let permission = self.grant(parcel, stored, to).await.map_err(|error| after(stored, error))?;
            grants.push(grant(to, permission));
        }
        Ok(Published {
            layer: parcel.layer.clone(),
            region: self.region.clone(),
            arn: stored.arn.clone(),
            version: stored.version,
            sha256: parcel.sha256,
            size: stored.size,
            grants,
        })
    }

    async fn grant(&self, parcel: &Parcel, stored: &Stored, to: &Grantee) -> Result<Permission, DeliveryError> {
        if self.layers.policy(&parcel.layer, stored.version).await?.grants(to) {
            return Ok(Permission::Unchanged);
        }
        if self.intent == Intent::DryRun {
            return Ok(Permission::Planned);
        }
        let added = self.layers.grant(&parcel.layer, stored.version, to).await?;
        if !self.layers.policy(&parcel.layer, stored.version).await?.grants(to) {
            return Err(DeliveryError::NotGranted { arn: stored.arn.clone(), to: to.clone() });
        }
        Ok(if added { Permission::Granted } else { Permission::Unchanged })
    }
}

fn grant(to: &Grantee, permission: Permission) -> Grant {
    Grant { to: to.to_string(), permission }
}

fn after(stored: &Stored, error: impl Into<DeliveryError>) -> Stopped {
    Stopped { published: Some(stored.arn.clone()), error: error.into() }
}
