//! The one integration binary.
mod audit;
mod emulator;
mod publish;
mod recipe_mistakes;
