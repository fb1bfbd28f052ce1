//! The one integration binary.
mod audit;
mod recipe_mistakes;
