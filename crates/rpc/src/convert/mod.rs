//! Between the messages of [`crate::v1`] and the values of `model`.
//!
//! `model` to message never fails (`From`). Message to `model` names the field at fault
//! (`TryFrom`): an unknown number in an enumeration is refused, never taken for something else.

mod copy;
mod desired;
mod grant;
mod report;
mod sync;
#[cfg(test)]
mod tests;

pub use desired::mode;
use model::{IdError, Millis, SiteId, StackId};
use std::fmt;

/// A dotted path to a field of a message, such as `cover.entries[2].stack`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field(String);

impl Field {
    fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    fn within(self, outer: &str) -> Self {
        Self(format!("{outer}.{}", self.0))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a message is no value of `model`. Names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A field that must be there is not.
    #[error("field {field} is missing; is the peer of an older version?")]
    Missing {
        /// Which.
        field: Field,
    },
    /// A text is no name of a site or stack.
    #[error("field {field}: {source}")]
    Name {
        /// Which.
        field: Field,
        /// What is wrong with the name.
        source: IdError,
    },
    /// A number stands for nothing that this version knows.
    #[error("field {field}: {value} stands for nothing known here; is the peer of a newer version?")]
    UnknownValue {
        /// Which.
        field: Field,
        /// The number.
        value: i32,
    },
    /// A list names the same stack twice.
    #[error("field {field}: {stack} is there twice; the sender is at fault")]
    Twice {
        /// Which list.
        field: Field,
        /// The stack.
        stack: StackId,
    },
}

impl ConvertError {
    /// The same error, seen from the message that has `outer` as a field.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        match self {
            Self::Missing { field } => Self::Missing { field: field.within(outer) },
            Self::Name { field, source } => Self::Name { field: field.within(outer), source },
            Self::UnknownValue { field, value } => Self::UnknownValue { field: field.within(outer), value },
            Self::Twice { field, stack } => Self::Twice { field: field.within(outer), stack },
        }
    }
}

impl From<ConvertError> for tonic::Status {
    fn from(error: ConvertError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

/// A site's name out of a message's field.
///
/// # Errors
/// [`ConvertError::Name`] with `field` as its place.
pub fn site(field: &str, text: &str) -> Result<SiteId, ConvertError> {
    SiteId::new(text).map_err(|source| ConvertError::Name { field: Field::new(field), source })
}

/// A stack's name out of a message's field.
///
/// # Errors
/// [`ConvertError::Name`] with `field` as its place.
pub fn stack(field: &str, text: &str) -> Result<StackId, ConvertError> {
    StackId::new(text).map_err(|source| ConvertError::Name { field: Field::new(field), source })
}

/// A message's field that must be there, converted.
///
/// # Errors
/// [`ConvertError::Missing`], or what is wrong with it, as seen from the outer message.
pub fn required<M, T>(field: &str, message: Option<M>) -> Result<T, ConvertError>
where
    T: TryFrom<M, Error = ConvertError>,
{
    let message = message.ok_or_else(|| ConvertError::Missing { field: Field::new(field) })?;
    T::try_from(message).map_err(|error| error.within(field))
}

/// A message's field that need not be there, converted.
///
/// # Errors
/// What is wrong with it, as seen from the outer message.
pub fn optional<M, T>(field: &str, message: Option<M>) -> Result<Option<T>, ConvertError>
where
    T: TryFrom<M, Error = ConvertError>,
{
    message.map(|m| T::try_from(m).map_err(|error| error.within(field))).transpose()
}

/// A message's list, converted.
///
/// # Errors
/// What is wrong with the first bad element, with its place in the list.
pub fn list<M, T>(field: &str, messages: Vec<M>) -> Result<Vec<T>, ConvertError>
where
    T: TryFrom<M, Error = ConvertError>,
{
    let convert = |(i, message)| {
        T::try_from(message).map_err(|error: ConvertError| error.within(&format!("{field}[{i}]")))
    };
    messages.into_iter().enumerate().map(convert).collect()
}

/// A list of stacks' names.
fn stacks(field: &str, texts: &[String]) -> Result<Vec<StackId>, ConvertError> {
    texts.iter().enumerate().map(|(i, text)| stack(&format!("{field}[{i}]"), text)).collect()
}

/// Refuses a list that names a stack twice: the first would hide the second.
fn once<'a>(field: &str, names: impl Iterator<Item = &'a StackId>) -> Result<(), ConvertError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(ConvertError::Twice { field: Field::new(field), stack: name.clone() });
        }
    }
    Ok(())
}

/// An enumeration's number as prost knows it.
fn known<E: TryFrom<i32>>(field: &str, value: i32) -> Result<E, ConvertError> {
    E::try_from(value).map_err(|_| unknown(field, value))
}

fn unknown(field: &str, value: i32) -> ConvertError {
    ConvertError::UnknownValue { field: Field::new(field), value }
}

fn messages<T, M: From<T>>(values: Vec<T>) -> Vec<M> {
    values.into_iter().map(M::from).collect()
}

fn texts(names: Vec<StackId>) -> Vec<String> {
    names.into_iter().map(String::from).collect()
}

fn millis(value: Option<u64>) -> Option<Millis> {
    value.map(Millis)
}
