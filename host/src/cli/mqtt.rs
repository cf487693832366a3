//! An MQTT 5.0 connection whose acknowledgements are its user's: the packets of rumqttc, and a loop of our own.
//!
//! The library's own acknowledges what it has read, used or not, and breaks off at a release of a session that another
//! process has begun.

use crate::bridge::Stream;
use bytes::BytesMut;
use rumqttc::Transport;
use rumqttc::v5::mqttbytes::Error as Unreadable;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Connect, ConnectReturnCode, Disconnect, DisconnectReasonCode, Packet, PingReq,
};
use rumqttc::v5::{ConnectionError, MqttOptions, StateError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

/// Room for what is read at once, in bytes.
const CHUNK: usize = 65_536;
/// How long the other side may take to hear a goodbye.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// A connection that the broker has let in.
pub(super) struct Connection {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    incoming: BytesMut,
    out: BytesMut,
    /// Greatest packet that is taken, and that the broker takes, in bytes.
    bytes_max: (Option<u32>, Option<u32>),
    keep_alive: Duration,
    /// When the broker is asked again whether it is there.
    due: Instant,
    /// It was asked, and nothing has come since.
    is_asked: bool,
}

impl Connection {
    /// Connects as the options say; with what the broker answers.
    pub async fn open(options: &MqttOptions) -> Result<(Self, ConnAck), ConnectionError> {
        let patience = Duration::from_secs(options.connection_timeout());
        tokio::time::timeout(patience, Self::come_in(options)).await?
    }

    async fn come_in(options: &MqttOptions) -> Result<(Self, ConnAck), ConnectionError> {
        let (reader, writer) = tokio::io::split(dial(options).await?);
        let keep_alive = options.keep_alive();
        let mut connection = Self {
            reader,
            writer,
            incoming: BytesMut::new(),
            out: BytesMut::new(),
            bytes_max: (options.max_packet_size(), None),
            keep_alive,
            due: Instant::now() + keep_alive,
            is_asked: false,
        };
        let connect = Connect {
            keep_alive: u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX),
            client_id: options.client_id(),
            clean_start: options.clean_start(),
            properties: options.connect_properties(),
        };
        connection.say(&Packet::Connect(connect, None, options.credentials()))?;
        let answer = match connection.next().await? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => answer,
            Packet::ConnAck(answer) => return Err(ConnectionError::ConnectionRefused(answer.code)),
            other => return Err(ConnectionError::NotConnAck(Box::new(other))),
        };
        if let Some(said) = &answer.properties {
            connection.bytes_max.1 = said.max_packet_size;
            // Zero: it does not look (MQTT 5.0, 3.2.2.3.14), and we still do.
            if let Some(seconds) = said.server_keep_alive.filter(|seconds| *seconds > 0) {
                connection.keep_alive = Duration::from_secs(seconds.into());
            }
        }
        connection.due = Instant::now() + connection.keep_alive;
        Ok((connection, answer))
    }

    /// Puts a packet where `next` and `finish` send it from.
    pub fn say(&mut self, packet: &Packet) -> Result<(), ConnectionError> {
        packet.write(&mut self.out, self.bytes_max.1).map_err(StateError::from)?;
        Ok(())
    }

    /// The next packet. What was said is sent when all that was read in one go has been handed out. Nothing is lost if
    /// it is given up half-way.
    pub async fn next(&mut self) -> Result<Packet, ConnectionError> {
        loop {
            match Packet::read(&mut self.incoming, self.bytes_max.0) {
                Ok(Packet::PingResp(_)) => {}
                Ok(packet) => return Ok(packet),
                Err(Unreadable::InsufficientBytes(_)) => self.carry().await?,
                Err(error) => return Err(StateError::Deserialization(error).into()),
            }
        }
    }

    /// Waits until some bytes were sent or have come.
    async fn carry(&mut self) -> Result<(), StateError> {
        if !self.is_asked && self.due <= Instant::now() {
            Packet::PingReq(PingReq).write(&mut self.out, None).map_err(StateError::from)?;
            (self.is_asked, self.due) = (true, Instant::now() + self.keep_alive);
        }
        self.incoming.reserve(CHUNK);
        tokio::select! {
            // Whoever was kept from reading looks at what lies there before it says that nothing came.
            biased;
            wrote = self.writer.write_buf(&mut self.out), if !self.out.is_empty() => {
                if wrote? == 0 {
                    return Err(StateError::ConnectionAborted);
                }
            }
            read = self.reader.read_buf(&mut self.incoming) => match read? {
                0 if self.incoming.is_empty() => return Err(StateError::ConnectionAborted),
                0 => return Err(std::io::Error::other("bytes remaining on stream").into()),
                _ => self.is_asked = false,
            },
            () = tokio::time::sleep_until(self.due) => {
                if self.is_asked {
                    return Err(StateError::AwaitPingResp);
                }
            }
        }
        Ok(())
    }

    /// Sends what was said, and a goodbye.
    pub async fn finish(mut self) {
        if self.say(&Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection))).is_err() {
            return;
        }
        let said = async {
            self.writer.write_all_buf(&mut self.out).await?;
            self.writer.shutdown().await?;
            // Closed with something unread, the socket could take back what was said last.
            while self.reader.read_buf(&mut self.incoming).await? > 0 {
                self.incoming.clear();
            }
            std::io::Result::Ok(())
        };
        // Whoever is slow here is not waited for.
        let _ = tokio::time::timeout(FAREWELL, said).await;
    }
}

async fn dial(options: &MqttOptions) -> Result<Box<dyn Stream>, std::io::Error> {
    let (address, port) = options.broker_address();
    if matches!(options.transport(), Transport::Unix) {
        return Ok(Box::new(UnixStream::connect(address).await?));
    }
    let stream = TcpStream::connect((address, port)).await?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}
