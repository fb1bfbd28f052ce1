//! From a finished tree to a layer: what goes in, how it is zipped, what it says of itself.
pub mod bootstrap;
pub mod manifest;
