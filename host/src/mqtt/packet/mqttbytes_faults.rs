//! Where `mqttbytes` is more lenient, or wrong: one row a fault.
