//! What the bundled module `translate` does, for modules that do something of it differently: they change what comes out of
//! these two functions.
//!
//! | MQTT | AMQP 1.0 | and back |
//! |---|---|---|
//! | topic | `to` | the address it was sent to |
//! | QoS | `x-opt-mqtt-qos`, `durable` where it is above 0 | the same, else `durable` |
//! | retain | `x-opt-retain-message` | the same |
//! | message expiry | `ttl` | `ttl` |
//! | content type | `content-type`, if ASCII | the same |
//! | payload format 1 | `x-opt-mqtt-payload-format` = 1 | the same, or a body that is one string |
//! | response topic | `reply-to` | the same, of a URL (`amqps://HOST/NODE`) its node, if it is a topic name |
//! | correlation data | `correlation-id`: a UUID if it is a `urn:uuid:`, a string if it is text and answers to a dynamic node, else binary | binary, string and number as bytes, a UUID as `urn:uuid:`; of a request (with `reply-to`) without one the `message-id` |
//! | user properties | `application-properties`; if a name repeats also all of them, in order, in `x-opt-mqtt-user-properties` | the latter, else what is text, number, truth or time; the first 1,000 |
//! | payload | one data section | bytes, strings; any other body as AMQP encodes it, with the content type `message/vnd.rabbitmq.amqp` |
//!
//! What has no form on the other side is left out: any other `message-id`, `user-id`, `subject`, groups, `content-encoding`.

mod encode;
mod from_amqp;
mod to_amqp;

pub use from_amqp::from_amqp;
pub use to_amqp::to_amqp;

/// Annotation: QoS.
const QOS: &str = "x-opt-mqtt-qos";
/// Annotation: retain.
const RETAIN: &str = "x-opt-retain-message";
/// Annotation: payload format.
const FORMAT: &str = "x-opt-mqtt-payload-format";
/// Annotation: all user properties in order, names and values in turn.
const USER_PROPERTIES: &str = "x-opt-mqtt-user-properties";
/// Addresses of dynamic nodes begin like this.
const DYNAMIC: &str = "/temporary/";
/// Content type of bodies that only AMQP knows.
const ENCODED: &str = "message/vnd.rabbitmq.amqp";
