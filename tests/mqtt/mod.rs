//! MQTT on the wire, statement by statement. Ids in square brackets are those of the OASIS specifications.

mod connect;
