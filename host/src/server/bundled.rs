//! The bundled modules, compiled by the build script.

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));
