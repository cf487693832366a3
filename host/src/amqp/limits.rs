//! Every bound of the room, by name.

/// Bounds and choices of all AMQP connections of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest frame a client may send once it has sent Open, in bytes with its header (max-frame-size); at least 512.
    /// Default 128 KiB.
    pub frame_bytes_max: u32,
    /// Longest frame before that, SASL frames and Open itself: what an unknown peer can make the broker hold, in bytes.
    /// The standard says 512, which no bearer token fits. Default 8 KiB.
    pub opening_frame_bytes_max: u32,
    /// Seconds until Open must have come, authentication included. Default 10.
    pub open_seconds_max: u32,
    /// Highest channel number (channel-max): one less than the sessions of a connection. Default 255.
    pub channel_max: u16,
    /// Highest link handle of a session (handle-max): one less than its links in one direction. Default 1,023.
    pub handle_max: u32,
    /// Links of a connection, over all its sessions. More are refused, and a quarter as many may wait for their detach. Default 1,024.
    pub links_max: u32,
    /// Milliseconds of silence after which a client is given up (twice what it is told as idle-time-out, 2.4.5); 0: never.
    /// Default 120,000.
    pub idle_milliseconds_max: u32,
    /// Shortest idle-time-out that a client may ask for, in milliseconds: what it can make the broker send. Default 100.
    pub idle_milliseconds_min: u32,
    /// Steps of one SASL exchange. Default 8.
    pub sasl_steps_max: u32,
    /// Transfer frames that a session takes before it hears again of its window (incoming-window). Default 2,048.
    pub session_window: u32,
    /// Deliveries of a session, in one direction, that are not settled. Default 65,536. A client that sends is not
    /// given more credit than that over all links of a session; deliveries to it wait.
    pub unsettled_max: u32,
    /// Deliveries that a sending client may have unanswered on one link (link-credit), unless the hall says otherwise.
    /// Less where many links share a session: see `unsettled_max`. Default 512.
    pub link_credit: u32,
    /// Longest message in bytes (max-message-size). Default 16 MiB.
    pub message_bytes_max: u64,
    /// Bytes of all messages of a connection that have begun to arrive and are not whole. Default 64 MiB.
    pub partial_bytes_max: u64,
    /// Seconds without a further part after which a message that is not whole is dropped and its link detached.
    /// Default 60.
    pub partial_seconds_max: u32,
    /// Longest link name or container-id in bytes. Default 4,096.
    pub name_bytes_max: usize,
    /// Entries of the unsettled map of an attach. Default 4,096.
    pub unsettled_entries_max: usize,
    /// How deep lists, maps, arrays and descriptors may lie in each other. Default 32.
    pub depth_max: u32,
    /// Values in the performative of one frame, and in one section of a message. Default 16,384.
    pub elements_max: u32,
    /// Sections of one message. Default 1,024.
    pub sections_max: u32,
    /// Longest selector or pattern of a filter, in bytes. Default 4,096.
    pub selector_bytes_max: usize,
    /// Words and signs of a selector. Default 1,024.
    pub selector_words_max: usize,
    /// What a detach without an error means for a will: 1: it is deleted; 2: it is published, for clients that cannot put an
    /// error into a detach. A link may choose for itself. Default 1.
    pub will_mode: u32,
    /// Transactions of a connection that are not discharged. Default 64.
    pub transactions_max: usize,
    /// Messages and outcomes that wait in one of them. One that has more is rolled back. Default 10,000.
    pub transaction_entries_max: usize,
    /// Bytes of messages that wait in all transactions of a connection. Default 64 MiB.
    pub transaction_bytes_max: u64,
    /// Frames a second that carry nothing (empty ones, and flows that change nothing). Default 2,000.
    pub idle_frames_per_second_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 128 * 1024,
            opening_frame_bytes_max: 8 * 1024,
            open_seconds_max: 10,
            channel_max: 255,
            handle_max: 1023,
            links_max: 1024,
            idle_milliseconds_max: 120_000,
            idle_milliseconds_min: 100,
            sasl_steps_max: 8,
            session_window: 2048,
            unsettled_max: 65_536,
            link_credit: 512,
            message_bytes_max: 16 * 1024 * 1024,
            partial_bytes_max: 64 * 1024 * 1024,
            partial_seconds_max: 60,
            name_bytes_max: 4096,
            unsettled_entries_max: 4096,
            depth_max: 32,
            elements_max: 16_384,
            sections_max: 1024,
            selector_bytes_max: 4096,
            selector_words_max: 1024,
            will_mode: 1,
            transactions_max: 64,
            transaction_entries_max: 10_000,
            transaction_bytes_max: 64 * 1024 * 1024,
            idle_frames_per_second_max: 2000,
        }
    }
}
