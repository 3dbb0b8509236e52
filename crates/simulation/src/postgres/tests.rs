//! The model's own behaviour, one nasty side each.
