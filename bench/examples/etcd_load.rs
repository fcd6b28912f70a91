//! A closed loop of puts, or of transactions that compare and put, against etcd: what `scripts/bench-peers` compares
//! with. gRPC over HTTP/2 as etcd's own clients speak it, each connection with one request under way.
//!
//! ```text
//! etcd_load ADDR fill|put|txn CONNECTIONS SECONDS VALUE_BYTES KEYS      fill: puts every key once, whatever the time
//! ```
//! Prints one JSON object with ops, rate, p50_us, p99_us and errors; fails if there were any.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "load is made of clocks and sockets, and a command prints"
)]

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use hdrhistogram::Histogram;
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Fill,
    Put,
    Txn,
}

#[derive(Clone, Debug)]
struct Asked {
    address: String,
    operation: Operation,
    connections: u64,
    seconds: f64,
    value: Vec<u8>,
    keys: u64,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(asked) = read(&words) else {
        let _ = writeln!(
            std::io::stderr(),
            "usage: etcd_load ADDR fill|put|txn CONNECTIONS SECONDS VALUE_BYTES KEYS"
        );
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let work = async move {
        match asked.operation {
            Operation::Fill => fill(asked).await,
            Operation::Put | Operation::Txn => measure(asked).await,
        }
    };
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(work)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            let _ = writeln!(std::io::stderr(), "etcd_load: {why}");
            ExitCode::FAILURE
        }
    }
}

fn read(words: &[String]) -> Option<Asked> {
    let [address, operation, connections, seconds, value_bytes, keys] = words else { return None };
    Some(Asked {
        address: address.clone(),
        operation: match operation.as_str() {
            "fill" => Operation::Fill,
            "put" => Operation::Put,
            "txn" => Operation::Txn,
            _ => return None,
        },
        connections: connections.parse().ok().filter(|n| *n > 0)?,
        seconds: seconds.parse().ok()?,
        value: vec![b'x'; value_bytes.parse().ok()?],
        keys: keys.parse().ok().filter(|n| *n > 0)?,
    })
}

async fn fill(asked: Asked) -> Outcome<()> {
    let mut fillers: Vec<JoinHandle<Outcome<()>>> = Vec::new();
    for share in 0..asked.connections {
        let (asked, mut connection) = (asked.clone(), Connection::open(&asked.address).await?);
        fillers.push(tokio::spawn(async move {
            for key in (share..asked.keys).step_by(asked.connections as usize) {
                connection.put(key, &asked.value).await?;
            }
            Ok(())
        }));
    }
    for filler in fillers {
        filler.await??;
    }
    Ok(())
}

async fn measure(asked: Asked) -> Outcome<()> {
    let end = Instant::now() + Duration::from_secs_f64(asked.seconds);
    let mut clients: Vec<JoinHandle<Outcome<Histogram<u64>>>> = Vec::new();
    for n in 0..asked.connections {
        let (asked, connection) = (asked.clone(), Connection::open(&asked.address).await?);
        clients.push(tokio::spawn(client(asked, connection, end, n)));
    }
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    for client in clients {
        latencies.add(client.await??)?;
    }
    let ops = latencies.len();
    let report = serde_json::json!({
        "ops": ops,
        "rate": (ops as f64 / asked.seconds).round(),
        "p50_us": latencies.value_at_quantile(0.5),
        "p99_us": latencies.value_at_quantile(0.99),
        "errors": 0,
    });
    Ok(writeln!(std::io::stdout(), "{report}")?)
}

/// Asks until the end; what is answered later does not count.
async fn client(asked: Asked, mut connection: Connection, end: Instant, n: u64) -> Outcome<Histogram<u64>> {
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    let mut random = n.wrapping_mul(0xd1b5_4a32_d192_ed03) | 1;
    loop {
        // xorshift64
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (key, begin) = (random % asked.keys, Instant::now());
        match asked.operation {
            Operation::Txn => connection.compare_and_put(key, &asked.value).await?,
            Operation::Fill | Operation::Put => connection.put(key, &asked.value).await?,
        }
        let now = Instant::now();
        if now >= end {
            return Ok(latencies);
        }
        latencies.saturating_record((now - begin).as_micros() as u64);
    }
}

struct Connection {
    requests: SendRequest<Bytes>,
    address: String,
}

impl Connection {
    async fn open(address: &str) -> Outcome<Connection> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (requests, connection) = h2::client::handshake(socket).await?;
        tokio::spawn(async move {
            let _ = connection.await; // who waits for an answer hears of its end
        });
        Ok(Connection { requests, address: address.to_owned() })
    }

    async fn put(&mut self, key: u64, value: &[u8]) -> Outcome<()> {
        self.call("/etcdserverpb.KV/Put", &put_request(&name(key), value)).await.map(drop)
    }

    /// Puts if the key holds this very value, which it does: what is measured is a comparison that succeeds.
    async fn compare_and_put(&mut self, key: u64, value: &[u8]) -> Outcome<()> {
        let reply = self.call("/etcdserverpb.KV/Txn", &txn_request(&name(key), value)).await?;
        if succeeded(&reply) { Ok(()) } else { Err("a comparison that must hold did not".into()) }
    }

    /// One gRPC call: a message behind its length, and a status in the trailers.
    async fn call(&mut self, path: &str, message: &[u8]) -> Outcome<Vec<u8>> {
        let request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let (response, mut body) = self.requests.clone().ready().await?.send_request(request, false)?;
        let mut framed = BytesMut::with_capacity(5 + message.len());
        framed.put_u8(0); // not compressed
        framed.put_u32(u32::try_from(message.len())?);
        framed.put_slice(message);
        body.send_data(framed.freeze(), true)?;
        let mut response = response.await?;
        let (mut reply, refused) = (Vec::new(), response.headers().get("grpc-message").cloned());
        let body = response.body_mut();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            reply.extend_from_slice(&chunk);
        }
        let status = body.trailers().await?.and_then(|trailers| trailers.get("grpc-status").cloned());
        match (status, refused) {
            (Some(status), None) if status == "0" && reply.len() >= 5 => Ok(reply.split_off(5)),
            (status, why) => Err(format!("etcd answered with status {status:?}: {why:?}").into()),
        }
    }
}

fn name(key: u64) -> Vec<u8> {
    format!("key:{key:012}").into_bytes()
}

/// A field of bytes, as Protocol Buffers write it.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(bytes);
}

fn put_request(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut put = Vec::new();
    field(&mut put, 1, key);
    field(&mut put, 2, value);
    put
}

fn txn_request(key: &[u8], value: &[u8]) -> Vec<u8> {
    // The result EQUAL is 0, the default, which is not written; target 3 is VALUE.
    let mut compare = vec![2 << 3, 3];
    field(&mut compare, 3, key);
    field(&mut compare, 7, value);
    let mut success = Vec::new();
    field(&mut success, 2, &put_request(key, value));
    let mut txn = Vec::new();
    field(&mut txn, 1, &compare);
    field(&mut txn, 2, &success);
    txn
}

/// Field 2 of a TxnResponse, which stands behind the header, field 1, of less than 128 bytes.
fn succeeded(reply: &[u8]) -> bool {
    let rest = match reply {
        [0x0a, len, rest @ ..] => rest.get(usize::from(*len)..).unwrap_or_default(),
        other => other,
    };
    rest.starts_with(&[2 << 3, 1])
}
