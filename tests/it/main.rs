//! The one integration binary.
mod recipe_mistakes;
