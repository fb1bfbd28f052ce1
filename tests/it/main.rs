//! The one integration binary.
mod audit;
mod emulator;
mod layering;
mod publish;
mod recipe_mistakes;
