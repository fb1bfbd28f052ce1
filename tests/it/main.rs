//! The one integration binary.
mod apps;
mod audit;
mod bench;
mod container;
mod emulator;
mod faults;
mod lamp;
mod layering;
mod machine;
mod plan;
mod publish;
mod recipe_mistakes;
mod world;
