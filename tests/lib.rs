//! Tests of the whole: `tidy` holds the shape of the tree, `it` runs the parts together.
