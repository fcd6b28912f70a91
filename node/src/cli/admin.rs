//! The admin port of a node, over plain HTTP: what operators ask and order.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use clap::Args;
use serde_json::Value as Json;

use super::{Exit, args};

#[derive(Args, Clone, Debug)]
pub(super) struct Admin {
    /// The admin address of the node.
    #[arg(long = "admin", value_name = "ADDR", default_value = "127.0.0.1:7412", value_parser = args::address)]
    pub address: String,
    /// How long to wait for the node.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = args::duration)]
    pub timeout: Duration,
}

/// Larger than any answer.
const ANSWER_BYTES: u64 = 64 << 20;

impl Admin {
    pub(super) fn get(&self, path: &str) -> Result<String, Exit> {
        self.ask("GET", path)
    }

    pub(super) fn post(&self, path: &str) -> Result<Json, Exit> {
        let text = self.ask("POST", path)?;
        serde_json::from_str(&text).map_err(|e| self.strange(&e.to_string()))
    }

    fn ask(&self, method: &str, path: &str) -> Result<String, Exit> {
        let lost = |e: std::io::Error| {
            Exit::Unreachable(format!("{}: {e}; name the admin address with --admin", self.address))
        };
        let mut addresses = self.address.to_socket_addrs().map_err(lost)?;
        let address = addresses.next().ok_or_else(|| self.strange("its name has no address"))?;
        let mut stream = TcpStream::connect_timeout(&address, self.timeout).map_err(lost)?;
        stream.set_read_timeout(Some(self.timeout)).map_err(lost)?;
        stream.set_write_timeout(Some(self.timeout)).map_err(lost)?;
        // By its number: a node does not answer to names that are not its own.
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).map_err(lost)?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES).read_to_end(&mut answer).map_err(lost)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| self.strange("half an answer"))?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
        match code {
            Some(200..=299) => Ok(body.to_owned()),
            Some(code) => {
                let said: Option<Json> = serde_json::from_str(body).ok();
                let why = said.as_ref().and_then(|said| said["error"].as_str()).unwrap_or(body).trim();
                Err(Exit::Refused(format!("{} answers {code}: {why}", self.address)))
            }
            None => Err(self.strange("no HTTP")),
        }
    }

    fn strange(&self, why: &str) -> Exit {
        Exit::Unreachable(format!(
            "{} gave no answer that can be understood: {why}; name the admin address with --admin",
            self.address
        ))
    }
}
