//! The one integration binary.
mod audit;
mod emulator;
mod lamp;
mod publish;
mod recipe_mistakes;
