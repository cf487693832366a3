//! The sections of a message (3.2): located without being copied, read where they lie, and written.

mod header;
mod properties;
mod scan;
mod write;

pub use super::codec::check::{Budget as RawBudget, value as check_raw};
pub use super::codec::read::{Descriptor as RawDescriptor, Reader as RawReader, Value as RawValue};
pub use header::Header;
pub use properties::{Id, Properties};
pub use scan::{Body, Sections};
pub use write::{
    application_properties, data, delivery_annotations, footer, header, message_annotations, properties, value,
};
