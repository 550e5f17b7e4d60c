//! A resolver and a name server in one, of the zone `dyn.example`: it says what a service was told, once it is let.

use std::net::IpAddr;

use anyhow::{Context, Result};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, NS, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use sparelink::lab::netns::Netns;
use sparelink::lab::topology::ECHO4;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::services::Services;

const ZONE: &str = "dyn.example.";
const SERVER: &str = "ns.dyn.example.";
const AT: (IpAddr, u16) = (ECHO4, 53);

/// Serves by UDP and TCP until the namespace ends.
pub(super) fn serve(netns: &Netns, services: &Services) {
    netns.spawn(by_udp(services.clone()));
    netns.spawn(by_tcp(services.clone()));
}

async fn by_udp(services: Services) -> Result<()> {
    let socket = UdpSocket::bind(AT).await?;
    loop {
        let mut query = [0; 512];
        let (length, from) = socket.recv_from(&mut query).await?;
        socket.send_to(&answer(&query[..length], &services)?, from).await?;
    }
}

async fn by_tcp(services: Services) -> Result<()> {
    let listener = TcpListener::bind(AT).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(converse(stream, services.clone()));
    }
}

async fn converse(mut stream: TcpStream, services: Services) -> Result<()> {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; usize::from(length)];
        stream.read_exact(&mut query).await?;
        let answer = answer(&query, &services)?;
        stream.write_u16(u16::try_from(answer.len())?).await?;
        stream.write_all(&answer).await?;
    }
    Ok(())
}

fn answer(query: &[u8], services: &Services) -> Result<Vec<u8>> {
    let mut message = Message::from_vec(query)?;
    let question = message.queries.first().context("no question")?.clone();
    let (name, kind) = (question.name().to_lowercase(), question.query_type());
    let (zone, server) = (Name::from_ascii(ZONE)?, Name::from_ascii(SERVER)?);
    message.metadata.message_type = MessageType::Response;
    if !zone.zone_of(&name) {
        message.metadata.response_code = ResponseCode::Refused;
        return Ok(message.to_vec()?);
    }
    message.metadata.authoritative = true;
    let mut found: Vec<RData> = Vec::new();
    if kind == RecordType::NS && name == zone {
        found.push(RData::NS(NS(server.clone())));
    } else if name == server {
        found.push(data(ECHO4));
    } else {
        let told = services.public(name.to_ascii().trim_end_matches('.'));
        found.extend(told.split(',').filter_map(|ip| ip.parse().ok()).map(data));
    }
    let answers: Vec<Record> = found
        .into_iter()
        .filter(|data| data.record_type() == kind)
        .map(|data| Record::from_rdata(name.clone(), 60, data))
        .collect();
    if answers.is_empty() {
        let soa =
            SOA::new(server, Name::from_ascii("admin.dyn.example.")?, 1, 3600, 600, 86_400, 60);
        message.authorities.push(Record::from_rdata(zone, 60, RData::SOA(soa)));
    }
    message.answers.extend(answers);
    Ok(message.to_vec()?)
}

fn data(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(A(ip)),
        IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
    }
}
