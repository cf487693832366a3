//! Every bound of the room, by name.

use crate::topic;

/// Bounds and choices of all MQTT connections of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest packet a connected client may send, in bytes with its header. Default 16 MiB. Told to 5.0 clients.
    pub packet_bytes_max: u32,
    /// Longest first packet, in bytes with its header: what an unknown peer can make the broker hold. Default 384 KiB,
    /// room for six fields of full length.
    pub connect_bytes_max: u32,
    /// Publications above at-most-once that a 5.0 client may have unanswered (Receive Maximum, 1 to 65,535).
    /// Default 1,024.
    pub receive_maximum: u16,
    /// The same for older clients, which cannot be told: exceeding it ends the connection. Default 65,535, which is as
    /// many as there are packet identifiers.
    pub receive_maximum_untold: u16,
    /// Deliveries above at-most-once under way to one client, whatever larger Receive Maximum it allows. Default 1,024.
    pub deliveries_in_flight_max: u16,
    /// Topic aliases that a client may set (Topic Alias Maximum). Default 10.
    pub topic_alias_maximum: u16,
    /// Bytes of all topics behind those aliases. Default 64 KiB.
    pub topic_alias_bytes_max: u32,
    /// Topic aliases that the broker sets towards a client that allows as many. Default 16.
    pub topic_alias_out_maximum: u16,
    /// Longest keep-alive time granted to a 5.0 client, in seconds; 0: any, and none at all. Older clients cannot be told
    /// and keep theirs. Default 0.
    pub keep_alive_seconds_max: u16,
    /// Seconds until the first packet must be whole. Default 10.
    pub connect_seconds_max: u32,
    /// Longest time a session outlives its connection, in seconds; `u32::MAX`: for ever. Default for ever.
    pub session_expiry_seconds_max: u32,
    /// Longest client identifier in bytes. Default 65,535, the longest possible.
    pub client_id_bytes_max: u16,
    /// Longest client identifier of an MQTT 3.1 client in characters. MQTT 3.1 has 23; clients that still speak
    /// it have longer ones, and brokers take them. Default 65,535: any.
    pub client_id_characters_max_3_1: u16,
    /// User properties of one packet. Default 1,000. Their names and values have 512 KiB together, whatever this says.
    pub user_properties_max: usize,
    /// Filters of one SUBSCRIBE or UNSUBSCRIBE; each filter of a longer one is refused. Default 8,192.
    pub filters_per_packet_max: usize,
    /// Before 5.0, acknowledge a publication that its client may not make, and drop it, instead of closing the connection:
    /// there is no negative acknowledgement. Default no.
    pub acknowledge_unauthorized: bool,
    /// The same for one that is refused for what it is, and would be each time it comes: its payload, its topic, or as not
    /// supported. Default no.
    pub acknowledge_refused: bool,
    /// Answer a PUBREL or PUBREC for an unknown packet identifier with reason 0x92 instead of 0x00 (5.0). Default no: the
    /// identifier is free, which is all the client wants to know, and 0x92 is no error after a lost session.
    pub tell_unknown_identifiers: bool,
    /// Send a 5.0 client one copy of a message for each of its subscriptions that match, at that subscription's QoS and with
    /// its identifier, as Mosquitto does. Otherwise, and always before 5.0, it gets one copy at the highest QoS with all
    /// identifiers (MQTT-3.3.4-2 allows both). Default yes.
    pub copy_per_subscription: bool,
    /// What a 5.0 client that asks for Response Information is told to build its response topics on; empty: nothing.
    /// Default empty.
    pub response_information: String,
    /// Bounds on topic names and filters.
    pub topic: topic::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_bytes_max: 16 * 1024 * 1024,
            connect_bytes_max: 384 * 1024,
            receive_maximum: 1024,
            receive_maximum_untold: u16::MAX,
            deliveries_in_flight_max: 1024,
            topic_alias_maximum: 10,
            topic_alias_bytes_max: 64 * 1024,
            topic_alias_out_maximum: 16,
            keep_alive_seconds_max: 0,
            connect_seconds_max: 10,
            session_expiry_seconds_max: u32::MAX,
            client_id_bytes_max: u16::MAX,
            client_id_characters_max_3_1: u16::MAX,
            user_properties_max: 1000,
            filters_per_packet_max: 8192,
            acknowledge_unauthorized: false,
            acknowledge_refused: false,
            tell_unknown_identifiers: false,
            copy_per_subscription: true,
            response_information: String::new(),
            topic: topic::Limits::default(),
        }
    }
}
