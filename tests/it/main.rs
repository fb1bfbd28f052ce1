//! The one integration binary.
mod apps;
mod arm64;
mod audit;
mod bench;
mod container;
mod emulator;
mod faults;
mod http_server;
mod lamp;
mod layering;
mod machine;
mod pipelines;
mod plan;
mod publish;
mod recipe_mistakes;
mod remote;
mod world;
