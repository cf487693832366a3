//! One blocking MQTT 3.1.1 connection.

use crate::bridge::{NO_ANSWER, other_protocol};
use crate::cli::Failure;
use bytes::BytesMut;
use mqttbytes::v4::{Connect, ConnectReturnCode, Disconnect, Login, Packet, read};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Largest packet that is taken, in bytes.
const PACKET_BYTES_MAX: usize = 17 << 20;

/// Bytes read with one system call.
const CHUNK: usize = 64 << 10;

/// How long a read waits before its caller may look at something else.
const WAIT: Duration = Duration::from_millis(100);

/// How long an answer is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Connection {
    stream: TcpStream,
    chunk: Vec<u8>,
    incoming: BytesMut,
    /// What [`Connection::flush`] sends.
    pub outgoing: BytesMut,
}

impl Connection {
    pub fn open(
        address: &(String, u16),
        id: String,
        login: Option<(String, String)>,
        clean: bool,
    ) -> Result<Self, Failure> {
        let (host, port) = address;
        let failed = |error: std::io::Error| Failure::Failed(format!("{host}:{port}: {error}"));
        let stream = TcpStream::connect((host.as_str(), *port)).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let mut connection =
            Self { stream, chunk: vec![0; CHUNK], incoming: BytesMut::new(), outgoing: BytesMut::new() };
        let mut connect = Connect::new(id);
        connect.keep_alive = 0;
        connect.clean_session = clean;
        connect.login = login.map(|(username, password)| Login { username, password });
        connect.write(&mut connection.outgoing).map_err(wrong)?;
        connection.stream.set_read_timeout(Some(WAIT)).map_err(failed)?;
        connection.flush()?;
        match connection.answer().map_err(|reason| Failure::Failed(format!("{host}:{port}: {reason}")))? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => {}
            other => return Err(Failure::Failed(format!("{host}:{port} does not take the connection: {other:?}"))),
        }
        Ok(connection)
    }

    /// What CONNECT is answered with, or why it is not.
    fn answer(&mut self) -> Result<Packet, String> {
        let asked = Instant::now();
        loop {
            if let Some(reason) = other_protocol(&self.incoming) {
                return Err(reason.to_owned());
            }
            match read(&mut self.incoming, PACKET_BYTES_MAX) {
                Ok(packet) => return Ok(packet),
                Err(mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(format!("a malformed packet: {error:?}")),
            }
            match self.stream.read(&mut self.chunk) {
                Ok(0) => return Err(NO_ANSWER.to_owned()),
                Ok(count) => self.incoming.extend_from_slice(&self.chunk[..count]),
                Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(error.to_string());
                }
                Err(_) if asked.elapsed() > PATIENCE => {
                    return Err(format!("it has not answered for {} s", PATIENCE.as_secs()));
                }
                Err(_) => {}
            }
        }
    }

    /// Sends what has gathered.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.stream.write_all(&self.outgoing).map_err(Failure::failed)?;
        self.outgoing.clear();
        Ok(())
    }

    /// Says that it goes, and waits until the broker has read so.
    pub fn leave(mut self) -> Result<(), Failure> {
        Disconnect.write(&mut self.outgoing).map_err(wrong)?;
        self.flush()?;
        while self.stream.read(&mut self.chunk).is_ok_and(|count| count > 0) {}
        Ok(())
    }

    /// The next packet that is here already.
    pub fn here(&mut self) -> Result<Option<Packet>, Failure> {
        match read(&mut self.incoming, PACKET_BYTES_MAX) {
            Ok(packet) => Ok(Some(packet)),
            Err(mqttbytes::Error::InsufficientBytes(_)) => Ok(None),
            Err(error) => Err(wrong(error)),
        }
    }

    /// Reads more, for a tenth of a second at most; whether anything came.
    pub fn more(&mut self) -> Result<bool, Failure> {
        match self.stream.read(&mut self.chunk) {
            Ok(0) => Err(Failure::Failed("the broker closed a connection".to_owned())),
            Ok(count) => {
                self.incoming.extend_from_slice(&self.chunk[..count]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(Failure::failed(error)),
        }
    }

    /// The next packet.
    pub fn expect(&mut self) -> Result<Packet, Failure> {
        let asked = Instant::now();
        loop {
            if let Some(packet) = self.here()? {
                return Ok(packet);
            }
            if !self.more()? && asked.elapsed() > PATIENCE {
                return Err(silent());
            }
        }
    }
}

/// A broker that does not answer.
pub(super) fn silent() -> Failure {
    Failure::Failed(format!("the broker has not answered for {} s", PATIENCE.as_secs()))
}

/// A packet that cannot be read or written.
pub(super) fn wrong(error: mqttbytes::Error) -> Failure {
    Failure::Failed(format!("a malformed packet: {error:?}"))
}
