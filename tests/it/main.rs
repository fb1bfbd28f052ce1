//! The one integration binary.
mod audit;
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
